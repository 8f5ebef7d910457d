"""A row's distribution of the next token while tokens arrive one by one, as a decoder needs it.

The same windows, counts and gate as scoring, counting and mixing, but nothing is known ahead. An
encoder and a decoder that make the same calls get the same floats, bit for bit, on one machine.
"""

from typing import Any

import numpy as np
import torch
from scipy.special import entr

from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings
from fairway.counting.online import OnlineCounts
from fairway.model.network import Model
from fairway.rows.gate import Piece, row_gate
from fairway.stage import StageError

ROW_KEYS = ("windows", "gate", "cache_settings")  # what the probabilities depend on
HASHED_REFUSAL = (
    "its counts are hashed, so its probabilities do not sum to 1 over the vocabulary and no "
    "decoder can use them; expected an exact cache (docs/validity.md)"
)


class NeuralSteps:
    """The model's distribution of the next token, by the windows of scoring.

    A window grows token by token to `length`; then the next one, `stride` further, is computed
    anew from its first tokens, as scoring does.
    """

    def __init__(self, model: Model, length: int, stride: int) -> None:
        self.model, self.length, self.stride = model, length, stride
        self.window: list[int] = []
        self.waiting: list[int] = []
        self.state = model.start_state(1, length)

    def push(self, token: int) -> None:
        """Take the next token; nothing is computed until it is asked for."""
        self.window.append(token)
        self.waiting.append(token)
        if len(self.window) > self.length:
            self.window = self.window[self.stride :]
            self.waiting = list(self.window)
            self.state = self.model.start_state(1, self.length)

    @torch.inference_mode()
    def distribution(self) -> np.ndarray:
        """p of the next token after at least one was pushed, float64 (vocabulary,)."""
        tokens = torch.tensor([self.waiting])
        self.waiting = []
        logits = self.model.step(tokens, self.state)[0, -1]
        return torch.softmax(logits.double(), dim=-1).numpy()


class RowPredictor:
    """p of the next target of a row. Push the text's first token, then ask and push in turn.

    settings: `windows`, `gate` and `cache_settings` of the row, as mix_scores has them; targets:
    how many there will be. Raises StageError for a hashed cache.
    """

    def __init__(self, model: Model, settings: dict[str, Any], targets: int) -> None:
        require_exact(settings)
        windows, cache = settings["windows"], settings["cache_settings"]
        self.neural = NeuralSteps(model, **windows)
        self.gate = row_gate(settings["gate"], cache)
        self.state = self.gate.start()
        self.asked: tuple[np.ndarray, np.float32, tuple | None] | None = None
        self.counts, self.whole = None, False
        if cache is not None:
            plan = WindowPlan(max(targets, windows["length"]), **windows)
            vocabulary, self.whole = model.config.vocabulary, cache["output"] == "orders"
            self.counts = OnlineCounts(CacheSettings.from_settings(cache), plan, vocabulary)

    def distribution(self) -> np.ndarray:
        """p of the next target, float64 (vocabulary,)."""
        model = self.neural.distribution()
        entropy = np.float32(entr(model).sum())  # float32 as in the score shards
        self.asked = model, entropy, self._read()
        return self.gate.distribution(self.state, *self.asked)

    def push(self, token: int) -> None:
        """Take the next token; if it was asked for, the gate learns from it first."""
        if self.asked is not None:
            self._learn(token, *self.asked)
            self.asked = None
        self.neural.push(token)
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


def require_row(settings: dict[str, Any], context: int) -> None:
    """Raise StageError unless the settings are a row's that can be a code, under this model.

    context: tokens that the model can look at.
    """
    missing = [key for key in ROW_KEYS if key not in settings]
    if missing:
        raise StageError(f"row settings: no `{missing[0]}`; expected a spec of mix_scores")
    windows, gate, cache = (settings[key] for key in ROW_KEYS)
    try:
        if not all(type(windows[key]) is int for key in ("length", "stride")):
            raise StageError(f"windows: {windows}; expected whole numbers")
        WindowPlan(windows["length"], **windows)
        if windows["length"] > context:
            raise StageError(f"windows.length: {windows['length']}; the model takes {context}")
        if cache is not None:
            CacheSettings.from_settings(cache)
            require_exact(settings)
        row_gate(gate, cache)
    except StageError as error:
        raise StageError(f"row settings: {error}") from None
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise StageError(f"row settings: {reason}; expected a spec of mix_scores") from None


def require_exact(settings: dict[str, Any]) -> None:
    """Raise StageError, with the reason, for a row whose counts are hashed."""
    cache = settings["cache_settings"]
    if cache is not None and cache["kind"] == "hashed":
        raise StageError(f"row {settings.get('row')}: {HASHED_REFUSAL}")
