"""Many match gates over the same targets at once: sums of nats, and Z.

What no gate changes is worked out once: the model's probability, the cache's, and all nats of
targets where nothing matched. Targets that matched are ordered by their order, so that a gate has
one threshold for a run of them. Their probabilities are multiplied, and a logarithm is taken of
the product once it is small: a sum then differs from that of `MatchGate.nats` by rounding, less
than 1e-12 of it. Gates are shared out to threads, each sum is one thread's.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from fairway.gates.match import MatchGate, alpha_at, mixed
from fairway.kernels.compiled import compiled
from fairway.kernels.threads import run_threads, split

_BLOCK = 8192  # targets, whose numbers stay in a core's cache while all gates pass over them
_SMALL = 1e-150  # of which a product has its logarithm taken


def summed_nats(
    gates: Sequence[MatchGate],
    nll: np.ndarray,
    entropy: np.ndarray,
    order: np.ndarray,
    hits: np.ndarray,
    total: np.ndarray,
    threads: int = 1,
) -> np.ndarray:
    """The sum over all targets of what each gate's `nats` gives, float64 (gates,)."""
    matched = np.flatnonzero(order)
    matched = matched[np.argsort(order[matched], kind="stable")]
    model = np.exp(-nll[matched].astype(np.float64))
    ngram = np.minimum(hits[matched], total[matched]) / total[matched]
    entropies, orders = entropy[matched].astype(np.float64), order[matched]
    alone = math.fsum(nll[order == 0].tolist())
    found = np.full(len(gates), alone)
    _share_out(gates, threads, _sum_up, (model, ngram, entropies, orders), found)
    return found


def masses(
    gates: Sequence[MatchGate],
    model: np.ndarray,
    entropy: np.ndarray,
    order: np.ndarray,
    hits: np.ndarray,
    total: np.ndarray,
    threads: int = 1,
) -> np.ndarray:
    """Z of every gate at some targets, float64 (gates, targets).

    model: the model's distributions, float64 (targets, vocabulary); hits: of every token, the
    same shape; entropy, order, total: (targets,).
    """
    ngram = np.minimum(hits, total[:, None]) / np.maximum(total, 1)[:, None]
    found = np.empty((len(gates), len(order)))
    targets = model, ngram, entropy.astype(np.float64), order
    _share_out(gates, threads, _add_up_masses, targets, found)
    return found


def _share_out(
    gates: Sequence[MatchGate],
    threads: int,
    kernel: Callable,
    targets: tuple[np.ndarray, ...],
    found: np.ndarray,
) -> None:
    """Fill `found` (gates, …): a thread calls the kernel on all targets with its gates' numbers.

    These are alpha_low, alpha_span, slope (gates,), thresholds (gates, 256) and floor (gates,).
    """
    columns = ("alpha_low", "alpha_span", "slope", "thresholds", "floor")
    numbers = [np.array([getattr(gate, key) for gate in gates]) for key in columns]

    def work(thread: int) -> None:
        first, stop = split(len(gates), threads)[thread]
        kernel(*targets, *(column[first:stop] for column in numbers), found[first:stop])

    run_threads(work, threads)


@compiled
def _sum_up(model, ngram, entropy, order, low, span, slope, thresholds, floor, sums):
    for begin in range(0, len(model), _BLOCK):
        end = min(begin + _BLOCK, len(model))
        for gate in range(len(low)):
            nats, product = 0.0, 1.0
            for i in range(begin, end):
                threshold = thresholds[gate, order[i]]
                alpha = alpha_at(entropy[i], threshold, low[gate], span[gate], slope[gate])
                p = mixed(model[i], alpha, ngram[i], floor[gate])
                before, product = product, product * p
                if product < _SMALL:
                    nats -= np.log(before) + np.log(p)
                    product = 1.0
            sums[gate] += nats - np.log(product)


@compiled
def _add_up_masses(model, ngram, entropy, order, low, span, slope, thresholds, floor, found):
    for gate in range(len(low)):
        for i in range(len(order)):
            mass = 0.0
            if order[i] == 0:
                for v in range(model.shape[1]):
                    mass += model[i, v]
            else:
                threshold = thresholds[gate, order[i]]
                alpha = alpha_at(entropy[i], threshold, low[gate], span[gate], slope[gate])
                for v in range(model.shape[1]):
                    mass += mixed(model[i, v], alpha, ngram[i, v], floor[gate])
            found[gate, i] = mass
