"""A row mixed with many settings of its gate, over the same scores and counts.

Sums of nats by setting and part of the text: all of it, or two halves. They are those of mixing
the row with each setting by itself, to 1e-12 of the sum.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from fairway.gates.match_grid import summed_nats
from fairway.kernels.threads import share_out
from fairway.rows.gate import MatchRow, RowGate
from fairway.rows.mixing import RankShard, row_mixer


def halves(tokens: np.ndarray, bos: int) -> list[int]:
    """First targets of the two halves of a text: the second begins with a document.

    That is the first one to begin behind the middle; if none does, it is the middle itself.
    """
    targets = len(tokens) - 1
    middle = targets // 2 + 1
    begins = np.flatnonzero(tokens[middle:] == bos)
    return [1, middle + int(begins[0]) if len(begins) else middle]


def sums_by_part(
    gates: Sequence[RowGate],
    shards: Sequence[RankShard],
    tokens: np.ndarray,
    starts: Sequence[int],
    threads: int,
    progress: Callable[[int], None],
) -> np.ndarray:
    """Nats of every setting in every part, float64 (gates, parts).

    gates: of one kind, one for each setting; shards: of rank 0, 1, …; tokens: (targets + 1,);
    starts: first target of each part, from 1 on; progress: called with the number of settings
    just finished.
    """
    parts = list(itertools.pairwise([*starts, len(tokens)]))
    if isinstance(gates[0], MatchRow):
        found = _of_matches([row.gate for row in gates], shards, parts, threads)
        progress(len(gates))
        return found
    found = np.empty((len(gates), len(parts)))

    def work(_thread: int, place: int) -> None:
        found[place] = _walked(gates[place], shards, tokens, parts)
        progress(1)

    share_out(work, range(len(gates)), threads)
    return found


def _of_matches(gates, shards, parts, threads) -> np.ndarray:
    arrays = _joined([shard.scores for shard in shards], "nll", "entropy")
    arrays += _joined([shard.counts for shard in shards], "order", "hits", "total")
    found = [
        summed_nats(gates, *(array[first - 1 : stop - 1] for array in arrays), threads)
        for first, stop in parts
    ]
    return np.stack(found, axis=1)


def _joined(ranks: Sequence[object], *names: str) -> list[np.ndarray]:
    """The arrays of these names over all targets: those of every rank, one after the other."""
    return [np.concatenate([getattr(rank, name) for rank in ranks]) for name in names]


def _walked(
    gate: RowGate,
    shards: Sequence[RankShard],
    tokens: np.ndarray,
    parts: Sequence[tuple[int, int]],
) -> list[float]:
    """Nats of each part, by a gate that carries a state from target to target."""
    mixer, at = row_mixer(gate, tokens), 1
    found: list[list[float]] = [[] for _ in parts]
    for shard in shards:
        for nats in mixer(shard.scores, shard.counts):
            for sums, (first, stop) in zip(found, parts, strict=True):
                inside = nats[max(first - at, 0) : max(stop - at, 0)]
                sums.append(float(inside.sum()))
            at += len(nats)
    return [math.fsum(sums) for sums in found]
