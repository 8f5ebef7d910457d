"""All gates behind one interface, and the counts they take, piece by piece.

Mixing a row calls `nats` of targets as they come; whoever must know the whole distribution before
a target (the audit, a decoder) asks for `distribution`. Both run the same steps.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from fairway.counting.counts import MatchCounts
from fairway.counting.order_counts import OrderCounts
from fairway.counting.segments import NO_MEMORY
from fairway.counting.settings import CacheSettings
from fairway.gates.bayes import BayesGate, BayesState, TargetCounts
from fairway.gates.match import MatchGate, match_gate
from fairway.scoring.scores import Scores
from fairway.stage import StageError

Counts = MatchCounts | OrderCounts | None


class Piece(NamedTuple):
    """Some consecutive targets: the model's nats and what the cache knew.

    nll, entropy: float32 (targets,). counts: None, (order, hits, total) of the match, or (totals,
    hits, distinct) of every order; arrays (targets, …).
    """

    first_target: int
    nll: np.ndarray
    entropy: np.ndarray
    counts: tuple[np.ndarray, ...] | None


class Mixing(Protocol):
    """What mixing a row needs of a gate. A state belongs to one walk over a text."""

    def start(self) -> Any:
        """The state before target 1."""

    def nats(self, state: Any, tokens: np.ndarray, piece: Piece) -> np.ndarray:
        """−ln p of the piece's targets, float64; moves the state on. tokens: x_j of each."""


class RowGate(Mixing, Protocol):
    """What a row does with the model's probabilities, whole distributions as well."""

    def digest(self, state: Any) -> str:
        """A hash of the state."""

    def distribution(
        self, state: Any, model: np.ndarray, entropy: np.float32, counts: tuple | None
    ) -> np.ndarray:
        """p(v) of the next target, float64 (vocabulary,); leaves the state as it is.

        model: the model's probabilities; counts: as in a piece, of one target, without the first
        axis, hits with the vocabulary as last axis.
        """


class _Stateless:
    def start(self) -> None:
        return None

    def digest(self, state: None) -> str:
        return ""


class NeuralRow(_Stateless):
    """The model alone."""

    def nats(self, state: None, tokens: np.ndarray, piece: Piece) -> np.ndarray:
        return piece.nll.astype(np.float64)

    def distribution(self, state, model, entropy, counts) -> np.ndarray:
        return model


class MatchRow(_Stateless):
    """A gate that mixes in the first match."""

    def __init__(self, gate: MatchGate) -> None:
        self.gate = gate

    def nats(self, state: None, tokens: np.ndarray, piece: Piece) -> np.ndarray:
        return self.gate.nats(piece.nll, piece.entropy, *piece.counts)

    def distribution(self, state, model, entropy, counts) -> np.ndarray:
        return self.gate.full_distribution(model, entropy, *counts)


class BayesRow:
    """The empirical-Bayes gate over all orders, behind a memory."""

    def __init__(self, gate: BayesGate, memory: np.ndarray = NO_MEMORY) -> None:
        self.gate, self.memory = gate, memory

    def start(self) -> BayesState:
        return self.gate.start(self.memory)

    def digest(self, state: BayesState) -> str:
        return state.digest()

    def nats(self, state: BayesState, tokens: np.ndarray, piece: Piece) -> np.ndarray:
        seen = np.array(tokens, dtype=np.uint16)
        return self.gate.nats(state, seen, piece.nll, piece.entropy, TargetCounts(*piece.counts))

    def distribution(self, state, model, entropy, counts) -> np.ndarray:
        return self.gate.full_distribution(state, model, entropy, TargetCounts(*counts))


def row_gate(
    gate: dict[str, Any] | None,
    cache: dict[str, Any] | None,
    memory: np.ndarray = NO_MEMORY,
) -> RowGate:
    """The gate of a row from the settings of its gate and cache, both None for neural alone.

    memory: uint16, the tokens that the cache begins with.
    Raises StageError if one is given without the other or they do not fit each other.
    """
    if (gate is None) != (cache is None):
        raise StageError(f"row: gate {gate}, cache {cache}; expected both or neither")
    if gate is None:
        return NeuralRow()
    if gate["kind"] == "empirical_bayes":
        return BayesRow(BayesGate.from_settings(gate, cache), memory)
    if cache["output"] != "match":
        raise StageError(
            f"gate {gate['kind']}: cache with output {cache['output']}; expected output match"
        )
    return MatchRow(match_gate(gate, cache["max_order"], hashed=cache["kind"] == "hashed"))


def pieces(scores: Scores, counts: Counts) -> Iterator[Piece]:
    """One rank's targets in order, in pieces as long as their counts are read at a time.

    counts: of the same targets. A piece's arrays may be overwritten when the next one is read.
    """
    if counts is None:
        yield Piece(scores.first_target, scores.nll, scores.entropy, None)
        return
    for first, *rows in count_blocks(counts):
        part = slice(first - scores.first_target, first - scores.first_target + len(rows[0]))
        yield Piece(first, scores.nll[part], scores.entropy[part], tuple(rows))


def count_blocks(counts: MatchCounts | OrderCounts) -> Iterator[tuple]:
    """Runs of targets as they are read: the first target, then the three arrays of a piece."""
    if isinstance(counts, OrderCounts):
        yield from counts.chunks()
    else:
        yield counts.first_target, counts.order, counts.hits, counts.total


def load_counts(path: Path, cache: CacheSettings) -> MatchCounts | OrderCounts:
    """One rank's counts, which can be the cache's; raises StageError naming the file."""
    return (OrderCounts if cache.output == "orders" else MatchCounts).load(path, cache)


def cut_piece(piece: Piece, cuts: np.ndarray) -> Iterator[Piece]:
    """The same targets in pieces of which one begins at every target in `cuts` (sorted)."""
    first, stop = piece.first_target, piece.first_target + len(piece.nll)
    inside = cuts[(cuts > first) & (cuts < stop)].tolist()
    for begin, end in itertools.pairwise([first, *inside, stop]):
        part = slice(begin - first, end - first)
        counts = piece.counts and tuple(array[part] for array in piece.counts)
        yield Piece(begin, piece.nll[part], piece.entropy[part], counts)
