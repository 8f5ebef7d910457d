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

from fairway.compiled import compiled
from fairway.stage import StageError

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
    """The gate of a row, from its settings.

    settings: `kind` and its numbers. `fixed` {alpha}; `entropy` {threshold}; `order_adaptive`
    {threshold_low_order, threshold_high_order}, linear from order 2 to max_order; the last two
    also take alpha_low, alpha_span, slope. hashed: whether the counts come from hash tables;
    they get the published clip at 1e-12.
    Raises StageError for an unknown kind, a missing number or α that can leave [0, 1).
    """
    kind = settings.get("kind")
    floor = HASHED_FLOOR if hashed else EXACT_FLOOR
    if kind == "fixed":
        low, span, slope = _number(settings, "alpha"), 0.0, 0.0
        thresholds = np.zeros(_ORDERS)
    elif kind in ("entropy", "order_adaptive"):
        low, span = _number(settings, "alpha_low", 0.05), _number(settings, "alpha_span", 0.55)
        slope = _number(settings, "slope", 2.0)
        thresholds = _thresholds(settings, max_order)
    else:
        raise StageError(
            f"gate kind: {kind!r}; a cache with matches takes fixed, entropy or order_adaptive"
        )
    if not (0.0 <= low < 1.0 and span >= 0.0 and low + span < 1.0):
        raise StageError(f"gate {kind}: alpha from {low} to {low + span}; expected within [0, 1)")
    return MatchGate(low, span, slope, thresholds, floor)


def _thresholds(settings: dict[str, Any], max_order: int) -> np.ndarray:
    if settings["kind"] == "entropy":
        return np.full(_ORDERS, _number(settings, "threshold"))
    low = _number(settings, "threshold_low_order")
    high = _number(settings, "threshold_high_order")
    steps = max(1, max_order - LOWEST_MATCH_ORDER)
    share = np.clip((np.arange(_ORDERS) - LOWEST_MATCH_ORDER) / steps, 0.0, 1.0)
    return low - share * (low - high)


def _number(settings: dict[str, Any], key: str, default: float | None = None) -> float:
    value = settings.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StageError(f"gate {settings['kind']}.{key}: {value!r}; expected a number")
    return float(value)


@compiled
def _alpha(entropy, threshold, low, span, slope):
    return low + span / (1.0 + np.exp(-slope * (entropy - threshold)))


@compiled
def _mixed(model, alpha, hits, total, floor):
    """p of one vocabulary entry; the only place where a match is mixed in."""
    ngram = min(hits, total) / total
    return max(floor, (1.0 - alpha) * model + alpha * ngram)


@compiled
def _mix_targets(nll, entropy, order, hits, total, low, span, slope, thresholds, floor, nats):
    for i in range(len(nll)):
        if order[i] == 0:
            nats[i] = nll[i]
            continue
        alpha = _alpha(np.float64(entropy[i]), thresholds[order[i]], low, span, slope)
        model = np.exp(-np.float64(nll[i]))
        nats[i] = -np.log(_mixed(model, alpha, hits[i], total[i], floor))


@compiled
def _mix_vocabulary(model, entropy, order, hits, total, low, span, slope, thresholds, floor, out):
    for v in range(len(model)):
        if order == 0:
            out[v] = model[v]
            continue
        alpha = _alpha(np.float64(entropy), thresholds[order], low, span, slope)
        out[v] = _mixed(np.float64(model[v]), alpha, hits[v], total, floor)
