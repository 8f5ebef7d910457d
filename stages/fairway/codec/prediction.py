"""A row's distribution of the next token while tokens arrive one by one, as a decoder needs it.

The same windows, counts and gate as scoring, counting and mixing, but nothing is known ahead. An
encoder and a decoder that make the same calls get the same floats, bit for bit, on one machine.
"""

from typing import Any, Protocol

import numpy as np
from scipy.special import entr

from fairway.corpus.windows import WindowPlan
from fairway.counting.memory_index import MemoryIndex
from fairway.counting.online import OnlineCounts
from fairway.counting.settings import CacheSettings
from fairway.rows.gate import Piece, RowGate, row_gate
from fairway.rows.settings import RowSettings
from fairway.stage import StageError

ROW_KEYS = ("windows", "gate", "cache_settings", "vocabulary")  # what probabilities depend on
HASHED_REFUSAL = (
    "its counts are hashed, so its probabilities do not sum to 1 over the vocabulary and no "
    "decoder can use them; expected an exact cache (docs/validity.md)"
)


class Steps(Protocol):
    """Distributions along one text, before any cache."""

    def push(self, token: int) -> None:
        """Take the next token."""

    def distribution(self) -> np.ndarray:
        """p of the next token after at least one was pushed, float64 (vocabulary,)."""


class Base(Protocol):
    """What a row's rule starts from: a network, or nothing.

    packages: installed ones that its floats depend on; sha256: of its file, "" for none.
    """

    packages: tuple[str, ...]
    sha256: str
    vocabulary: int

    def steps(self, length: int, stride: int) -> Steps:
        """The distributions of one text, by windows of so many tokens."""


class Uniform:
    """The uniform distribution over the vocabulary, at every target."""

    packages, sha256 = (), ""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def steps(self, length: int, stride: int) -> Steps:
        return self

    def push(self, token: int) -> None:
        pass

    def distribution(self) -> np.ndarray:
        return np.full(self.vocabulary, 1 / self.vocabulary)


class RowPredictor:
    """p of the next target of a row. Push the text's first token, then ask and push in turn.

    settings: `windows` and `cache_settings` of the row, as mix_scores has them; gate: the row's,
    and state: its own to begin with, which moves; targets: how many there will be; memory: index
    of what the cache begins with, if it has one, of the depth of its highest order. Raises
    StageError for a hashed cache.
    """

    def __init__(
        self,
        base: Base,
        gate: RowGate,
        state: Any,
        settings: dict[str, Any],
        targets: int,
        memory: MemoryIndex | None = None,
    ) -> None:
        require_exact(settings)
        windows, cache = settings["windows"], settings["cache_settings"]
        self.base, self.gate, self.state = base.steps(**windows), gate, state
        self.asked: tuple[np.ndarray, np.float32, tuple | None] | None = None
        self.counts, self.whole = None, False
        if cache is not None:
            plan = WindowPlan(max(targets, windows["length"]), **windows)
            self.whole, counted = cache["output"] == "orders", CacheSettings.from_settings(cache)
            self.counts = OnlineCounts(counted, plan, base.vocabulary, memory)

    def distribution(self) -> np.ndarray:
        """p of the next target, float64 (vocabulary,)."""
        model = self.base.distribution()
        entropy = np.float32(entr(model).sum())  # float32 as in the score shards
        self.asked = model, entropy, self._read()
        return self.gate.distribution(self.state, *self.asked)

    def push(self, token: int) -> None:
        """Take the next token; if it was asked for, the gate learns from it first."""
        if self.asked is not None:
            self._learn(token, *self.asked)
            self.asked = None
        self.base.push(token)
        if self.counts is not None:
            self.counts.push(token)

    def _read(self) -> tuple | None:
        """The counts as the gate takes them: hits of every token second."""
        if self.counts is None:
            return None
        if self.whole:
            return self.counts.read()
        order, total, hits = self.counts.read_match()
        return np.uint8(order), hits, np.uint32(total)

    def _learn(
        self, token: int, model: np.ndarray, entropy: np.float32, counts: tuple | None
    ) -> None:
        """Move the gate's state over one target, as mixing moves it over the text."""
        own = None
        if counts is not None:
            first, hits, last = counts
            own = tuple(np.array([part]) for part in (first, hits[..., token], last))
        nll = -np.log(model[[token]]).astype(np.float32)
        piece = Piece(0, nll, np.array([entropy]), own)
        self.gate.nats(self.state, np.array([token], np.uint16), piece)


def require_row(settings: RowSettings) -> None:
    """Raise StageError unless the settings, each of its type, are a row's that can be a code."""
    windows, gate, cache = settings["windows"], settings["gate"], settings["cache_settings"]
    try:
        WindowPlan(windows["length"], **windows)
        if cache is not None:
            CacheSettings.from_settings(cache)
            require_exact(settings)
        row_gate(gate, cache)
    except StageError as error:
        raise StageError(f"row settings: {error}") from None


def require_exact(settings: dict[str, Any]) -> None:
    """Raise StageError, with the reason, for a row whose counts are hashed."""
    cache = settings["cache_settings"]
    if cache is not None and cache["kind"] == "hashed":
        raise StageError(f"row {settings.get('row')}: {HASHED_REFUSAL}")
