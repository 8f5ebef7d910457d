"""A model's `training` section, checked; no torch."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, TypedDict

from fairway.files.records import Within, build
from fairway.files.spec import Count, Device, Precision, Share, Size, Threads, Vocabulary, Whole
from fairway.stage import StageError

MICRO_BATCHES = 8  # per optimiser step, over all processes
KERNELS = ("leaky_square", "turned", "without_own_value")  # that there are, of Triton


class ModelSettings(TypedDict):
    """What train_model depends on: a model's sections `architecture` and `training`."""

    architecture: dict[str, Any]
    training: dict[str, Any]
    vocabulary: Vocabulary


@dataclass(frozen=True)
class TrainingSettings:
    """What every key means is said in config.yaml. Raises StageError for a bad value."""

    device: Device
    world_size: Count
    threads: Threads
    compile: bool
    kernels: tuple[str, ...]
    precision: Precision
    batch_tokens: Count
    sequence: Count
    steps: Count
    max_seconds: Size | None
    warmup_steps: Whole
    warmdown_steps: Whole
    muon_lr: Size
    muon_momentum: tuple[Share, Share]
    muon_momentum_steps: Whole
    embedding_lr: Size
    scalar_lr: Size
    weight_decay: Annotated[float, Within(0, 1e9)]
    adam_betas: tuple[Share, Share]
    adam_epsilon: Size
    gradient_clip: Size
    ema_decay: Share
    swa_every: Count
    swa_below: Share
    qat_below: Share
    qat_sharpness: tuple[Size, Size]
    checkpoint_every: Whole
    log_every: Count
    compare_every: Whole

    @classmethod
    def from_settings(cls, values: dict[str, Any]) -> "TrainingSettings":
        """From the section as read; lists become tuples. Every key must be there."""
        names = {field.name for field in fields(cls)}
        for key in sorted(names ^ values.keys()):
            raise StageError(f"training.{key}: {'unknown' if key in values else 'missing'}")
        return build(cls, values, "training")

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
        return [
            *(
                (key, max(getattr(self, key)) >= 1, "from 0 to below 1")
                for key in ("muon_momentum", "adam_betas")
            ),
            ("ema_decay", self.ema_decay >= 1, "from 0 to below 1"),
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
        ]
