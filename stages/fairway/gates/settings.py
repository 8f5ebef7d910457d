"""The gates' settings, checked; no numpy and no numba, so that the Snakefile has them too.

What a gate does with them is said in `fairway.gates.match` and `fairway.gates.bayes`.
"""

from dataclasses import dataclass
from typing import Any, Literal, NotRequired, Self, TypedDict

from fairway.files.spec import Real, Whole
from fairway.stage import StageError

_SIGMOID = frozenset({"alpha_low", "alpha_span", "slope"})
KIND_KEYS = {  # every key of each kind beside `kind`
    "fixed": frozenset({"alpha"}),
    "entropy": _SIGMOID | {"threshold"},
    "order_adaptive": _SIGMOID | {"threshold_low_order", "threshold_high_order"},
    "empirical_bayes": frozenset(
        {"learning_rate", "document_orders", "continuation_orders", "kin"}
    ),
}


class GateEntry(TypedDict):
    """An entry of `gates`, as written; which keys a kind has is checked by the classes below."""

    kind: Literal["fixed", "entropy", "order_adaptive", "empirical_bayes"]
    alpha: NotRequired[Real]
    alpha_low: NotRequired[Real]
    alpha_span: NotRequired[Real]
    slope: NotRequired[Real]
    threshold: NotRequired[Real]
    threshold_low_order: NotRequired[Real]
    threshold_high_order: NotRequired[Real]
    learning_rate: NotRequired[Real]
    document_orders: NotRequired[Whole]
    continuation_orders: NotRequired[Whole]
    kin: NotRequired[bool]


@dataclass(frozen=True)
class MatchSettings:
    """Numbers of a gate over matches: α = alpha_low + alpha_span·σ(slope·(entropy − threshold)).

    threshold_low_order, threshold_high_order: nats, at order 2 and at the cache's highest order.
    """

    alpha_low: float
    alpha_span: float
    slope: float
    threshold_low_order: float
    threshold_high_order: float

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """From `kind` and its numbers: `fixed` {alpha}; `entropy` {threshold}; `order_adaptive`
        {threshold_low_order, threshold_high_order}; the last two also take alpha_low, alpha_span
        and slope.

        Raises StageError for an unknown kind, a missing number or α that can leave [0, 1).
        """
        kind = settings.get("kind")
        if kind == "fixed":
            numbers = cls(_number(settings, "alpha"), 0.0, 0.0, 0.0, 0.0)
        elif kind in ("entropy", "order_adaptive"):
            ends = ("threshold_low_order", "threshold_high_order")
            thresholds = ("threshold",) * 2 if kind == "entropy" else ends
            numbers = cls(
                _number(settings, "alpha_low", 0.05),
                _number(settings, "alpha_span", 0.55),
                _number(settings, "slope", 2.0),
                *(_number(settings, key) for key in thresholds),
            )
        else:
            raise StageError(
                f"gate kind: {kind!r}; a cache with matches takes fixed, entropy or order_adaptive"
            )
        low, high = numbers.alpha_low, numbers.alpha_low + numbers.alpha_span
        if not 0.0 <= low <= high < 1.0:
            raise StageError(f"gate {kind}: alpha from {low} to {high}; expected within [0, 1)")
        return numbers


def _number(settings: dict[str, Any], key: str, default: float | None = None) -> float:
    value = settings.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StageError(f"gate {settings['kind']}.{key}: {value!r}; expected a number")
    return float(value)


@dataclass(frozen=True)
class BayesSettings:
    """Settings of the empirical-Bayes gate.

    min_order, max_order: of the cache whose counts it is given. learning_rate: of AdaGrad on the
    weights. document_orders, continuation_orders (0 leaves them out), kin: see
    `fairway.gates.bayes`.
    Raises StageError for numbers out of range.
    """

    min_order: int
    max_order: int
    learning_rate: float = 0.25
    document_orders: int = 5
    continuation_orders: int = 2
    kin: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.learning_rate <= 10.0:
            raise StageError(
                f"gate empirical_bayes.learning_rate: {self.learning_rate}; "
                "expected more than 0 and at most 10"
            )
        if not isinstance(self.kin, bool):
            raise StageError(f"gate empirical_bayes.kin: {self.kin}; expected true or false")
        for key, most in (
            ("document_orders", 32),
            ("continuation_orders", self.max_order - 1),
        ):
            if not 0 <= getattr(self, key) <= most:
                raise StageError(
                    f"gate empirical_bayes.{key}: {getattr(self, key)}; expected 0 to {most}"
                )
        if self.continuation_orders and self.min_order > self.continuation_orders + 1:
            raise StageError(
                f"gate empirical_bayes.continuation_orders: {self.continuation_orders}; the "
                f"cache's min_order, {self.min_order}, must be at most one more"
            )

    @classmethod
    def from_settings(cls, settings: dict[str, Any], cache: dict[str, Any]) -> Self:
        """From the settings of the gate and of its cache (exact, output: orders)."""
        if (cache["kind"], cache["output"]) != ("exact", "orders"):
            raise StageError(
                f"gate empirical_bayes: cache of kind {cache['kind']}, output {cache['output']}; "
                "expected kind exact, output orders"
            )
        keys = KIND_KEYS["empirical_bayes"]
        numbers = {key: settings[key] for key in keys if key in settings}
        return cls(cache["min_order"], cache["max_order"], **numbers)
