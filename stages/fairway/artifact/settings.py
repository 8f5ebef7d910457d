"""How a model is quantised and packed: its sections `quantization` and `packing`; no torch."""

from typing import Annotated, Literal, TypedDict

from fairway.files.records import Within
from fairway.files.spec import Count, Device, Precision, Share, Size, Threads, Whole

Percentile = Annotated[float, Within(1e-9, 1)]
Sigma = Annotated[float, Within(0, 1000, between=True)]
Bits = Annotated[float, Within(0, 8)]


class QuantizationSettings(TypedDict):
    """What quantize_model depends on: the `quantization` section."""

    device: Device
    threads: Threads
    precision: Precision
    calibration_tokens: Count
    batch_sequences: Count
    damping: Size
    block: Count
    clip_percentiles: Annotated[list[Percentile], Within(1, 100)]
    clip_sigmas: tuple[Sigma, Sigma] | None
    bits_per_weight: Bits | None
    fp16_mantissa_bits: Annotated[int, Within(1, 10)]
    fp16_below: Whole


class ForecastBytes(TypedDict):
    """What the configuration made expect of the artifact's size."""

    low: int
    expected: int
    high: int


class PackingSettings(TypedDict):
    """What pack_artifact depends on: the `packing` section, the limit and the forecast."""

    compressor: Literal["lzma", "zstd", "brotli", "ans"]
    prune_fraction: Share
    room_bytes: Whole
    artifact_bytes: Count
    forecast: ForecastBytes
