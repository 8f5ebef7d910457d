"""Gates that mix the neural model with the first match of an n-gram cache, from the top order.

    p(v) = (1 − α)·p_model(v) + α·p_ngram(v),   p_ngram(v) = min(hits(v), total) / total

α depends on the entropy of the model's distribution and on the matched order, never on the
target, so p is a distribution whenever p_ngram is one, that is, with exact counts. Where no
context matched, p is the model's. Source: parameter-golf PR #796 (entropy sigmoid, threshold per
order). All gates here are one kernel with different tables and carry no state.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fairway.gates.settings import MatchSettings
from fairway.kernels.compiled import compiled

LOWEST_MATCH_ORDER = 2  # where the threshold starts its way from low to high
HASHED_FLOOR = 1e-12  # the published clip; it adds mass, so only rows that claim nothing have it
EXACT_FLOOR = 0.0
_ORDERS = 256  # an order is stored as one byte; 0 is "no match"


@dataclass(frozen=True)
class MatchGate:
    """α = alpha_low + alpha_span·σ(slope·(entropy − thresholds[order])).

    thresholds: float64 (256,), nats, by matched order. floor: probabilities below it are
    raised to it after mixing.
    """

    alpha_low: float
    alpha_span: float
    slope: float
    thresholds: np.ndarray
    floor: float = EXACT_FLOOR

    def nats(
        self,
        nll: np.ndarray,
        entropy: np.ndarray,
        order: np.ndarray,
        hits: np.ndarray,
        total: np.ndarray,
    ) -> np.ndarray:
        """Mixed −ln p of each target, float64 (targets,).

        nll, entropy: of the model, nats, (targets,); order: matched order, 0 for none; hits and
        total: count of (context, target) and of the context at that order.
        """
        nats = np.empty(len(nll), dtype=np.float64)
        _mix_targets(nll, entropy, order, hits, total, *self._numbers(), nats)
        return nats

    def full_distribution(
        self, model: np.ndarray, entropy: float, order: int, hits: np.ndarray, total: int
    ) -> np.ndarray:
        """p(v) of the whole vocabulary at one target, float64 (vocabulary,), as `nats` has it.

        model: the model's probabilities (vocabulary,); hits: of every entry, (vocabulary,).
        """
        mixed = np.empty(len(model), dtype=np.float64)
        _mix_vocabulary(model, entropy, order, hits, total, *self._numbers(), mixed)
        return mixed

    def _numbers(self) -> tuple:
        return self.alpha_low, self.alpha_span, self.slope, self.thresholds, self.floor


def match_gate(settings: dict[str, Any], max_order: int, hashed: bool) -> MatchGate:
    """The gate of a row, from its settings, which `MatchSettings` names and checks.

    The threshold goes from low to high linearly from order 2 to max_order. hashed: whether the
    counts come from hash tables; they get the published clip at 1e-12.
    Raises StageError for settings that are no gate.
    """
    numbers = MatchSettings.from_settings(settings)
    low, high = numbers.threshold_low_order, numbers.threshold_high_order
    steps = max(1, max_order - LOWEST_MATCH_ORDER)
    share = np.clip((np.arange(_ORDERS) - LOWEST_MATCH_ORDER) / steps, 0.0, 1.0)
    thresholds = low - share * (low - high)
    floor = HASHED_FLOOR if hashed else EXACT_FLOOR
    return MatchGate(numbers.alpha_low, numbers.alpha_span, numbers.slope, thresholds, floor)


@compiled
def alpha_at(entropy, threshold, low, span, slope):
    return low + span / (1.0 + np.exp(-slope * (entropy - threshold)))


@compiled
def mixed(model, alpha, ngram, floor):
    """p of one vocabulary entry; the only place where a match is mixed in."""
    return max(floor, (1.0 - alpha) * model + alpha * ngram)


@compiled
def _mix_targets(nll, entropy, order, hits, total, low, span, slope, thresholds, floor, nats):
    for i in range(len(nll)):
        if order[i] == 0:
            nats[i] = nll[i]
            continue
        alpha = alpha_at(np.float64(entropy[i]), thresholds[order[i]], low, span, slope)
        model = np.exp(-np.float64(nll[i]))
        ngram = min(hits[i], total[i]) / total[i]
        nats[i] = -np.log(mixed(model, alpha, ngram, floor))


@compiled
def _mix_vocabulary(model, entropy, order, hits, total, low, span, slope, thresholds, floor, out):
    for v in range(len(model)):
        if order == 0:
            out[v] = model[v]
            continue
        alpha = alpha_at(np.float64(entropy), thresholds[order], low, span, slope)
        out[v] = mixed(np.float64(model[v]), alpha, min(hits[v], total) / total, floor)
