"""A gate that is watched while it mixes a row: evidence of what the scores were made from.

Before a sampled target is mixed, its whole distribution is asked for, by the gate's present state
and the counts and probabilities that the cache's and the model's own audits found there; then the
score that follows must be that distribution's. Where a target is to be changed, its block is
mixed with another future from a copy of the state before it is mixed itself. The nats are the
same as without a witness, bit for bit.
"""

import time
from copy import deepcopy
from typing import Any

import numpy as np

from fairway.audit.checks import changed_tail, first_moved
from fairway.audit.evidence import CacheEvidence, ModelEvidence, RowEvidence
from fairway.rows.gate import Piece, RowGate, cut_piece
from fairway.stage import StageError

CALIBRATION_BINS = 24  # powers of two of a probability: [1/2, 1], [1/4, 1/2), …, the last from 0
STATE_CHECKS = 16  # targets before and after which the state is hashed; it may be megabytes


class Witness:
    """Mixes as `gate` does and looks on. model, cache: evidence at the same targets.

    seconds: what looking took, which is no part of scoring.
    """

    def __init__(
        self,
        gate: RowGate,
        model: ModelEvidence,
        cache: CacheEvidence | None,
        generator: np.random.Generator,
    ) -> None:
        self.gate, self.model, self.cache, self.generator = gate, model, cache, generator
        self.vocabulary = model.distributions.shape[1]
        self.place = {int(target): i for i, target in enumerate(model.targets)}
        size = len(self.place)
        self.mass, self.difference, self.of_model = np.full((3, size), np.nan)
        self.same_counts = np.zeros(size, dtype=bool)
        hashed = np.linspace(0, size - 1, min(STATE_CHECKS, size)).astype(int)
        self.kept = dict.fromkeys(hashed.tolist(), False)
        self.stays = np.zeros(len(model.changed), dtype=bool)
        self.calibration = np.zeros((CALIBRATION_BINS, 3))
        self.seconds = 0.0

    def start(self) -> Any:
        return self.gate.start()

    def nats(self, state: Any, tokens: np.ndarray, block: Piece) -> np.ndarray:
        """−ln p of a block's targets; moves the state on."""
        begin = time.perf_counter()
        others = self._other_futures(state, tokens, block)
        self.seconds += time.perf_counter() - begin
        found = []
        for piece in cut_piece(block, self.model.targets):
            seen = tokens[piece.first_target - block.first_target :][: len(piece.nll)]
            begin = time.perf_counter()
            i = self.place.get(piece.first_target)
            expected = None if i is None else self._look(state, int(seen[0]), piece, i)
            self.seconds += time.perf_counter() - begin
            found.append(self.gate.nats(state, seen, piece))
            if i is not None:
                self.difference[i] = abs(found[-1][0] - expected)
        nats = np.concatenate(found)
        for i, other in others.items():
            self.stays[i] = first_moved(nats[: len(other)], other) is None
        return nats

    def evidence(self, artifact_sha256: str, spec: str) -> RowEvidence:
        """All that was seen. Raises StageError if the scores are of another artifact."""
        if self.model.artifact_sha256 != artifact_sha256:
            raise StageError(
                f"model's evidence: of artifact {self.model.artifact_sha256[:12]}…; "
                f"the scores are of {artifact_sha256[:12]}…"
            )
        return RowEvidence(
            targets=self.model.targets,
            changed=self.model.changed,
            stays=self.stays,
            spec=spec,
            mass=self.mass,
            difference=self.difference,
            of_model=self.of_model,
            same_counts=self.same_counts,
            kept=np.array(list(self.kept.values()), dtype=bool),
            calibration=self.calibration,
            artifact_sha256=artifact_sha256,
            model=self.model.spec,
            cache=self.cache.spec if self.cache else "",
        )

    def _look(self, state: Any, token: int, piece: Piece, i: int) -> float:
        """Nats of the target by the distribution before it, whose mass is noted."""
        before = self.gate.digest(state) if i in self.kept else ""
        model, entropy = self.model.distributions[i], piece.entropy[0]
        counts = self.cache.at(i) if self.cache else None
        whole = self.gate.distribution(state, model, entropy, counts)
        self.mass[i] = whole.sum()
        self.calibration += binned(whole, token)
        self.of_model[i] = abs(piece.nll[0] + np.log(model[token]))
        scored = model.copy()  # with the score's own digits, rounded to float32
        scored[token] = np.exp(-np.float64(piece.nll[0]))
        own = self.gate.distribution(state, scored, entropy, counts)[token]
        self.same_counts[i] = _same_counts(counts, piece, token)
        if i in self.kept:
            self.kept[i] = self.gate.digest(state) == before
        return -np.log(own)

    def _other_futures(self, state: Any, tokens: np.ndarray, block: Piece) -> dict:
        """Nats before each changed target in the block, by its number, were its future another.

        They are as if nothing had changed unless the gate looks ahead.
        """
        found = {}
        for i, target in enumerate((self.model.changed - block.first_target).tolist()):
            if 0 <= target < len(block.nll):
                changed = changed_tail(tokens, target, self.vocabulary, self.generator)
                other = self.gate.nats(deepcopy(state), changed, _other_future(block, target))
                found[i] = other[:target]
        return found


def binned(distribution: np.ndarray, token: int) -> np.ndarray:
    """A distribution (vocabulary,) by powers of two: how many tokens, their mass, had it come.

    float64 (CALIBRATION_BINS, 3); the last column is 1 in the bin of `token`, the one that came.
    Summed over targets, a calibrated rule has as many in the last column as mass in the second.
    """
    powers = -np.floor(np.log2(np.maximum(distribution, np.finfo(np.float64).tiny))) - 1
    place = np.clip(powers, 0, CALIBRATION_BINS - 1).astype(np.int64)
    came = np.zeros(len(distribution))
    came[token] = 1
    columns = (np.ones(len(distribution)), distribution, came)
    return np.stack([np.bincount(place, of, CALIBRATION_BINS) for of in columns], axis=1)


def _same_counts(counts: tuple | None, piece: Piece, token: int) -> bool:
    """Whether the counts of the whole vocabulary are, for the token that came, the row's own."""
    if counts is None:
        return True
    first, hits, last = counts
    return all(
        np.array_equal(whole, scored[0])
        for whole, scored in zip((first, hits[..., token], last), piece.counts, strict=True)
    )


def _other_future(block: Piece, at: int) -> Piece:
    """The block with other scores and counts from index `at` on, but for what was known there."""
    nll, entropy = block.nll.copy(), block.entropy.copy()
    nll[at:] = nll[at:][::-1] + 1
    entropy[at + 1 :] = entropy[at + 1 :][::-1] + 1
    counts = block.counts
    if counts is not None:
        counts = tuple(array.copy() for array in counts)
        for array in counts:
            array[at + 1 :] = array[at + 1 :][::-1]
        counts[1][at] = 0  # hits
    return Piece(block.first_target, nll, entropy, counts)
