"""Mix a row's score and count shards, rank after rank, into sums of nats and bytes.

A gate may carry state (the empirical-Bayes gate learns as it goes), so ranks are mixed in order
of their targets; the result does not depend on how many there are.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fairway.rows.gate import Counts, Mixing, pieces
from fairway.rows.sums import RankSum, Sums
from fairway.scoring.scores import Scores
from fairway.stage import StageError

Mixer = Callable[[Scores, Counts], Iterator[np.ndarray]]
"""Takes one rank's scores and counts, yields the nats of its targets in order, in pieces."""


def row_mixer(gate: Mixing, tokens: np.ndarray) -> Mixer:
    """The mixer of a row by its gate. tokens: the text, (targets + 1,).

    A mixer carries the gate's state from rank to rank, so every row and seed needs its own.
    """
    state = gate.start()

    def mix(scores: Scores, counts: Counts) -> Iterator[np.ndarray]:
        for piece in pieces(scores, counts):
            seen = tokens[piece.first_target : piece.first_target + len(piece.nll)]
            yield gate.nats(state, seen, piece)

    return mix


@dataclass(frozen=True)
class RankShard:
    """One rank's scores and, for a row with a cache, its counts; name: for messages."""

    name: str
    scores: Scores
    counts: Counts = None

    @property
    def provenance(self) -> tuple[str, str, str | None]:
        """Hashes that all ranks of a row must share: spec, artifact, spec of the counts."""
        counts_spec = None if self.counts is None else self.counts.spec
        return self.scores.spec, self.scores.artifact_sha256, counts_spec


def mix_row(
    mixer: Mixer,
    shards: Iterable[RankShard],
    target_bytes: np.ndarray,
    row: str,
    seed: int,
    spec: str,
) -> Sums:
    """Mix all ranks of a row and seed, in order; state is carried from one to the next.

    shards: of rank 0, 1, …, loaded one at a time; target_bytes: (targets,), bytes of targets
    1…N; spec: hash of the mixing's own spec.
    Raises StageError unless the shards cover targets 1…N exactly once, the counts cover the same
    targets as the scores, and all ranks come from one artifact and one spec.
    """
    begin = time.perf_counter()
    parts, first, next_target = [], None, 1
    for rank, shard in enumerate(in_order(shards, len(target_bytes))):
        start = time.perf_counter()
        first = first or shard
        nats = math.fsum(float(piece.sum()) for piece in mixer(shard.scores, shard.counts))
        targets = len(shard.scores.nll)
        span = target_bytes[next_target - 1 : next_target - 1 + targets]
        size, seconds = int(span.sum(dtype=np.int64)), round(time.perf_counter() - start, 3)
        parts.append(RankSum(row, seed, rank, next_target, targets, nats, size, seconds))
        next_target += targets
    if first is None or next_target != len(target_bytes) + 1:
        raise StageError(
            f"scores end at target {next_target - 1}; "
            f"the validation text has {len(target_bytes)} targets"
        )
    scores_spec, artifact, counts_spec = first.provenance
    seconds = round(time.perf_counter() - begin, 3)
    return Sums(spec, scores_spec, counts_spec, artifact, seconds, tuple(parts))


def in_order(shards: Iterable[RankShard], targets: int) -> Iterator[RankShard]:
    """The shards of rank 0, 1, …, each checked before it is used.

    Raises StageError unless each goes on where the one before ended, stays within targets
    1 … `targets`, has counts of the same targets as its scores, and shares the provenance.
    """
    first, next_target = None, 1
    for shard in shards:
        first = first or shard
        _check_shard(shard, first, next_target, targets)
        next_target += len(shard.scores.nll)
        yield shard


def _check_shard(shard: RankShard, first: RankShard, next_target: int, last: int) -> None:
    targets = len(shard.scores.nll)
    if shard.scores.first_target != next_target or targets == 0:
        raise StageError(
            f"{shard.name}: {targets} targets from target {shard.scores.first_target}; "
            f"expected to go on from target {next_target}"
        )
    if next_target + targets - 1 > last:
        raise StageError(
            f"{shard.name}: targets {next_target} to {next_target + targets - 1}; the validation "
            f"text has {last}"
        )
    counts = shard.counts
    if counts is not None and (counts.first_target, counts.targets) != (next_target, targets):
        raise StageError(
            f"{shard.name}: scores of {targets} targets from {next_target}, counts of "
            f"{counts.targets} from {counts.first_target}; expected the same targets"
        )
    named = ("scores' spec", "artifact_sha256", "counts' spec")
    for what, value, wanted in zip(named, shard.provenance, first.provenance, strict=True):
        if value != wanted:
            raise StageError(f"{shard.name}: {what} {value}; {first.name} has {wanted}")
