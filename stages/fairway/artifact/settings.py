"""How a model is quantised and packed: its sections `quantization` and `packing`; no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Self, TypedDict

from fairway.files.records import Within
from fairway.files.spec import Count, Device, Precision, Share, Size, Threads, Whole
from fairway.stage import StageError

Percentile = Annotated[float, Within(1e-9, 1)]
Sigma = Annotated[float, Within(0, 1000, between=True)]
Bits = Annotated[float, Within(0, 8)]
Compressor = Literal["lzma", "zstd", "brotli", "ans"]


class QuantizationSettings(TypedDict):
    """What quantize_model depends on: the `quantization` section, and what packs its bytes.

    compressor: `packing.compressor` where packed_bytes are to be met; else None.
    """

    device: Device
    threads: Threads
    precision: Precision
    calibration_tokens: Count
    gradient_tokens: Count
    batch_sequences: Count
    damping: Size
    block: Count
    clip_percentiles: Annotated[list[Percentile], Within(1, 100)]
    clip_sigmas: tuple[Sigma, Sigma] | None
    bits_per_weight: Bits | None
    packed_bytes: Count | None
    compressor: Compressor | None
    fp16_mantissa_bits: Annotated[int, Within(1, 10)]
    fp16_below: Whole


class ForecastBytes(TypedDict):
    """What the configuration made expect of the artifact's size."""

    low: int
    expected: int
    high: int


class PackingSettings(TypedDict):
    """What pack_artifact depends on: the `packing` section, the limit and the forecast."""

    compressor: Compressor
    prune_fraction: Share
    room_bytes: Whole
    artifact_bytes: Count
    forecast: ForecastBytes


@dataclass(frozen=True)
class StepSettings:
    """How the scales of integers are chosen: by one of these, or by clip percentiles if by none.

    clip_sigmas: where the largest int6 and the largest int8 stand, in deviations of the matrix;
    bits_per_weight: what a search is to spend on all integers; packed_bytes: what the artifact
    may take, the search spending as many bits as that leaves.
    """

    clip_sigmas: Sequence[float] | None = None
    bits_per_weight: float | None = None
    packed_bytes: int | None = None

    def __post_init__(self) -> None:
        given = {key: value for key, value in vars(self).items() if value is not None}
        if len(given) > 1:
            (key, value), *others = given.items()
            beside = " and ".join(f"{other} {found}" for other, found in others)
            raise StageError(
                f"quantization.{key}: {value} beside {beside}; expected one of them, the other "
                "null"
            )

    @classmethod
    def from_settings(cls, quantization: Mapping[str, Any]) -> Self:
        """From the `quantization` section; StageError if it gives more than one."""
        return cls(**{field.name: quantization[field.name] for field in fields(cls)})

    @property
    def searched(self) -> bool:
        """Whether a search chooses them."""
        return self.bits_per_weight is not None or self.packed_bytes is not None
