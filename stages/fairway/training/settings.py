"""A model's `training` section, checked; no torch."""

from dataclasses import dataclass, fields
from typing import Any

from fairway.stage import StageError

MICRO_BATCHES = 8  # per optimiser step, over all processes
KERNELS = ("leaky_square", "turned", "without_own_value")  # that there are, of Triton


@dataclass(frozen=True)
class TrainingSettings:
    """What every key means is said in config.yaml. Raises StageError for a bad value."""

    device: str
    world_size: int
    threads: int
    compile: bool
    kernels: tuple[str, ...]
    precision: str
    batch_tokens: int
    sequence: int
    steps: int
    max_seconds: float | None
    warmup_steps: int
    warmdown_steps: int
    muon_lr: float
    muon_momentum: tuple[float, float]
    muon_momentum_steps: int
    embedding_lr: float
    scalar_lr: float
    weight_decay: float
    adam_betas: tuple[float, float]
    adam_epsilon: float
    gradient_clip: float
    ema_decay: float
    swa_every: int
    swa_below: float
    qat_below: float
    qat_sharpness: tuple[float, float]
    checkpoint_every: int
    log_every: int

    @classmethod
    def from_settings(cls, values: dict[str, Any]) -> "TrainingSettings":
        """From the section as read; lists become tuples. Every key must be there."""
        names = {field.name for field in fields(cls)}
        for key in sorted(names ^ values.keys()):
            raise StageError(f"training.{key}: {'unknown' if key in values else 'missing'}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def require_context(self, rope_context: int) -> None:
        """Raise StageError unless a sequence fits into the positions that the model has."""
        if self.sequence > rope_context:
            raise StageError(
                f"training.sequence: {self.sequence}; expected at most "
                f"architecture.rope_context ({rope_context})"
            )

    def __post_init__(self) -> None:
        for key, wrong, expected in self._rules():
            if wrong:
                raise StageError(f"training.{key}: {getattr(self, key)}; expected {expected}")

    def _rules(self) -> list[tuple[str, bool, str]]:
        unit = MICRO_BATCHES * self.sequence
        at_least_one = ("world_size", "threads", "sequence", "steps", "swa_every", "log_every")
        positive = ("muon_lr", "embedding_lr", "scalar_lr", "gradient_clip", "adam_epsilon")
        counts = ("warmup_steps", "warmdown_steps", "muon_momentum_steps", "checkpoint_every")
        pairs = ("muon_momentum", "adam_betas", "qat_sharpness")
        return [
            *((key, getattr(self, key) < 1, "at least 1") for key in at_least_one),
            *((key, getattr(self, key) < 0, "at least 0") for key in (*counts, "weight_decay")),
            *((key, not getattr(self, key) > 0, "above 0") for key in positive),
            *((key, len(getattr(self, key)) != 2, "two numbers") for key in pairs),
            *(
                (key, not all(0 <= value < 1 for value in getattr(self, key)), "from 0 to below 1")
                for key in ("muon_momentum", "adam_betas")
            ),
            ("qat_sharpness", not min(self.qat_sharpness) > 0, "above 0"),
            ("ema_decay", not 0 <= self.ema_decay < 1, "from 0 to below 1"),
            ("device", self.device not in ("cpu", "cuda"), "cpu or cuda"),
            ("precision", self.precision not in ("float32", "bfloat16"), "float32 or bfloat16"),
            (
                "kernels",
                bool(set(self.kernels) - set(KERNELS if self.device == "cuda" else ())),
                f"some of {', '.join(KERNELS)}"
                if self.device == "cuda"
                else f"[] with device: {self.device}",
            ),
            (
                "world_size",
                MICRO_BATCHES % self.world_size != 0,
                f"a divisor of the {MICRO_BATCHES} micro-batches of a step",
            ),
            (
                "batch_tokens",
                self.batch_tokens < unit or self.batch_tokens % unit != 0,
                f"a multiple of {MICRO_BATCHES} × sequence = {unit}",
            ),
            (
                "max_seconds",
                self.max_seconds is not None and not self.max_seconds > 0,
                "null or above 0",
            ),
        ]
