"""What a hashed cache reports as its tables grow: the score, what it is worth, and the exact one.

A gate's p sums over the vocabulary to Z = (1−α) + α·Σ_v p_ngram(v). Charging −log2 Z at every
target makes p a distribution, so its code length in bits per byte is reported + E[log2 Z]·targets
/ bytes, with E over a sample of targets.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets, distributions_at
from fairway.counting.counts import MatchCounts
from fairway.gates.match import EXACT_FLOOR, MatchGate

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Text:
    """A validation text with a model's scores.

    tokens: uint16 (targets + 1,); nll, entropy: float32 nats (targets,); bytes: of all targets.
    """

    tokens: np.ndarray
    plan: WindowPlan
    vocabulary: int
    nll: np.ndarray
    entropy: np.ndarray
    bytes: int

    def bits_per_byte(self, nats: np.ndarray) -> float:
        return math.fsum(nats) / math.log(2) / self.bytes


def exact_counterpart(cache: CacheSettings) -> CacheSettings:
    """The same cache without collisions."""
    return replace(cache, kind="exact", buckets=None)


def mass_at(
    text: Text,
    cache: CacheSettings,
    gate: MatchGate,
    counts: MatchCounts,
    targets: np.ndarray,
) -> np.ndarray:
    """Z at the sampled targets, float64, in their order. counts: of the whole text.

    Only the order that matched is asked, so that this costs one order's count for each of them.
    Any distribution in place of the model's gives the same Z (but for the floor), so a uniform
    one is taken.
    """
    mass = np.ones(len(targets))
    model = np.full(text.vocabulary, 1 / text.vocabulary)
    orders = counts.order[targets - 1]
    for order in np.unique(orders[orders > 0]).tolist():
        rows = np.flatnonzero(orders == order)
        one = replace(cache, min_order=order, max_order=order)
        found = distributions_at(text.tokens, text.plan, targets[rows], one, text.vocabulary)
        for row, total, hits in zip(rows, found.totals, found.hits, strict=True):
            entropy = text.entropy[targets[row] - 1]
            mass[row] = gate.full_distribution(model, entropy, order, hits, total).sum()
    return mass


def sweep_line(
    text: Text,
    cache: CacheSettings,
    gate: MatchGate,
    targets: np.ndarray,
    exact: MatchCounts,
    progress: Progress,
) -> dict[str, float]:
    """One line of the table: a number of buckets. exact: the counts without collisions.

    load: tokens per bucket. collision_fraction: of the matches, how many are at an order that
    never occurred often enough. bpb_normalized_error: standard error, from the sample of Z.
    """
    last = text.plan.targets
    counts = count_targets(text.tokens, text.plan, 1, last, cache, progress=progress)
    nats = gate.nats(text.nll, text.entropy, counts.order, counts.hits, counts.total)
    mass = mass_at(text, cache, gate, counts, targets)
    log2_mass = np.log2(mass)
    per_byte = text.plan.targets / text.bytes
    reported = text.bits_per_byte(nats)
    exact_gate = replace(gate, floor=EXACT_FLOOR)
    exact_nats = exact_gate.nats(text.nll, text.entropy, exact.order, exact.hits, exact.total)
    matched = counts.order > 0
    return {
        "buckets": cache.buckets,
        "load": text.plan.targets / cache.buckets,
        "matched_fraction": float(matched.mean()),
        "collision_fraction": float((counts.order > exact.order)[matched].mean()),
        "z_mean": float(mass.mean()),
        "z_max": float(mass.max()),
        "bpb_reported": reported,
        "bpb_normalized": reported + float(log2_mass.mean()) * per_byte,
        "bpb_normalized_error": float(log2_mass.std(ddof=1)) / math.sqrt(len(mass)) * per_byte,
        "bpb_exact": text.bits_per_byte(exact_nats),
        "bpb_neural": text.bits_per_byte(text.nll),
    }
