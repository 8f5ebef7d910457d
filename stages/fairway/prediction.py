"""A row's distribution of the next token while tokens arrive one by one, as a decoder needs it.

The same windows, counts and gate as scoring, counting and mixing, but nothing is known ahead. An
encoder and a decoder that make the same calls get the same floats, bit for bit, on one machine.
"""

from typing import Any, Protocol

import numpy as np
import torch
from scipy.special import entr

from fairway.bayes import BayesGate, TargetCounts
from fairway.caches import CacheSettings
from fairway.gates import MatchGate, match_gate
from fairway.model import Model
from fairway.online import OnlineCounts
from fairway.stage import StageError
from fairway.windows import WindowPlan

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


class Mixer(Protocol):
    """Turns the model's distribution of the next target into the row's, and then learns it."""

    def mix(self, model: np.ndarray) -> np.ndarray:
        """p of the next target, float64 (vocabulary,), from the model's."""

    def push(self, token: int) -> None:
        """Take the target's token; the first one pushed is the token before target 1."""


class _Neural:
    """The row without a cache."""

    def mix(self, model: np.ndarray) -> np.ndarray:
        return model

    def push(self, token: int) -> None:
        pass


class _Match:
    """A gate over the first match of an exact cache; it has no state of its own."""

    def __init__(self, gate: MatchGate, counts: OnlineCounts) -> None:
        self.gate, self.counts = gate, counts

    def mix(self, model: np.ndarray) -> np.ndarray:
        order, total, hits = self.counts.read_match()
        return self.gate.full_distribution(model, _entropy(model), order, hits, total)

    def push(self, token: int) -> None:
        self.counts.push(token)


class _Bayes:
    """The empirical-Bayes gate over every order of an exact cache; it learns each token."""

    def __init__(self, gate: BayesGate, counts: OnlineCounts) -> None:
        self.gate, self.counts = gate, counts
        self.state = gate.start()
        self.target: tuple[np.ndarray, TargetCounts] | None = None

    def mix(self, model: np.ndarray) -> np.ndarray:
        self.target = model, TargetCounts(*self.counts.read())
        return self.gate.full_distribution(self.state, model, _entropy(model), self.target[1])

    def push(self, token: int) -> None:
        if self.target is not None:
            model, (totals, hits, distinct) = self.target
            own = TargetCounts(totals[None], hits[None, :, token], distinct[None])
            nll = -np.log(model[[token]]).astype(np.float32)
            seen, entropy = np.array([token], np.uint16), _entropy(model)[None]
            self.gate.nats(self.state, seen, nll, entropy, own)
        self.counts.push(token)


def _entropy(model: np.ndarray) -> np.float32:
    """Entropy in nats, float32 as in the score shards."""
    return np.float32(entr(model).sum())


class RowPredictor:
    """p of the next target of a row. Push the text's first token, then ask and push in turn.

    settings: `windows`, `gate` and `cache_settings` of the row, as mix_scores has them; targets:
    how many there will be. A cache without prefill starts at target 1 only, as rank 0's does.
    Raises StageError for a hashed cache.
    """

    def __init__(self, model: Model, settings: dict[str, Any], targets: int) -> None:
        windows = settings["windows"]
        self.neural = NeuralSteps(model, **windows)
        plan = WindowPlan(max(targets, windows["length"]), **windows)
        self.mixer = _mixer(settings, plan, model.config.vocabulary)

    def push(self, token: int) -> None:
        """Take the next token."""
        self.neural.push(token)
        self.mixer.push(token)

    def distribution(self) -> np.ndarray:
        """p of the next target, float64 (vocabulary,)."""
        return self.mixer.mix(self.neural.distribution())


def require_exact(settings: dict[str, Any]) -> None:
    """Raise StageError, with the reason, for a row whose counts are hashed."""
    cache = settings["cache_settings"]
    if cache is not None and cache["kind"] == "hashed":
        raise StageError(f"row {settings['row']}: {HASHED_REFUSAL}")


def _mixer(settings: dict[str, Any], plan: WindowPlan, vocabulary: int) -> Mixer:
    require_exact(settings)
    if settings["cache_settings"] is None:
        return _Neural()
    gate, cache = settings["gate"], CacheSettings.from_settings(settings["cache_settings"])
    counts = OnlineCounts(cache, plan, vocabulary)
    if gate["kind"] == "empirical_bayes":
        return _Bayes(BayesGate.from_settings(gate, settings["cache_settings"]), counts)
    return _Match(match_gate(gate, cache.max_order, hashed=False), counts)
