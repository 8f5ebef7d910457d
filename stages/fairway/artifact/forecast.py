"""How large an artifact will be, from the settings alone: before anything is trained; no torch.

A row of a matrix is taken for Gaussian. Rounded to L steps on either side of 0, the last at k
standard deviations σ, a weight has about 2.047 + log2(L / k) bits of entropy: that of a Gaussian
(log2 √(2πe) = 2.047) in steps of k·σ/L. Here it is summed up exactly. k is what `clip_sigmas` is;
with clip percentiles it is the expected order statistic of a row: about 2.8 of 128 columns, 3.5 of
1,536. Trained weights have heavier tails, so that the largest stand further out than that and the
rest takes fewer bits. How many fewer is measured, at two ends: `_TAIL_BITS`. A search spends on
integers the bits that it is given, or that the rest leaves of the bytes that are to be filled.

A float's sign and exponent take 3.46 bits for a Gaussian of any σ, a little more once coded; its
mantissa is noise. What else is measured is so on the default run's models.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist
from typing import Any

from fairway.artifact.kinds import (
    DTYPES,
    FLOAT16,
    FLOAT32,
    INT6,
    INT6_LIMIT,
    INT8,
    INT8_LIMIT,
    SCALE,
    storage_kinds,
)
from fairway.artifact.settings import StepSettings
from fairway.model.architecture import ModelConfig
from fairway.model.shapes import state_shapes
from fairway.stage import StageError

_SIGN_AND_EXPONENT = 3.6  # bits, coded; 2.047 − E[log2 |x|] + ½ = 3.46 for x Gaussian
_FLOAT16_MANTISSA, _FLOAT32_MANTISSA = 10, 23
_SCALE_BITS = 10.7  # of a scale, float16, with percentiles: rows of a matrix are alike
_EVEN_SCALE_BITS = {"lzma": 0.3, "zstd": 0.3, "brotli": 0.3, "ans": 0.1}  # one for a matrix
# Of a float16 with fewer bits of mantissa, which a byte's end does not part from the others.
_CUT_OVER = {"lzma": 0.33, "zstd": 1.05, "brotli": 0.0, "ans": 0.0}
# Where a search chooses steps, in half octaves: bits of a scale, and of an integer beyond what it
# is to spend, which it counts as `ans` does.
_SEARCHED_SCALE_BITS = {"lzma": 4.6, "zstd": 5.0, "brotli": 4.6, "ans": 3.1}
_SEARCHED_OVER = {"lzma": 0.33, "zstd": 0.54, "brotli": 0.16, "ans": -0.01}
# Bits that tails take from a weight with clip percentiles, by training tokens per parameter: of
# the default run (1,024,112 bytes), and of the published record's artifacts (15.9 MB, 179 tokens).
_TAIL_BITS = (1.0, 0.07), (179.0, 0.83)
# Of an int6 weight, above the entropy of a matrix (fairway.artifact.coders); `ans` tells rows and
# columns apart.
_CODER_BITS = {"lzma": 0.05, "zstd": 0.04, "brotli": 0.0, "ans": -0.07}
# Of an integer of kind int6 and int8 above a Gaussian's, clips being at so many deviations.
_EVEN_CODER_BITS = {
    "lzma": {INT6: 0.04, INT8: -0.07},
    "zstd": {INT6: 0.05, INT8: 0.2},
    "brotli": {INT6: -0.01, INT8: -0.17},
    "ans": {INT6: -0.09, INT8: -0.2},
}
_INDEX_BYTES = 620, 1.2  # packed: in all, and for each tensor
_SPREAD = 0.045  # of the whole: rows and factors that training hardly touched, seeds, coders
_TAIL_SPREAD = 0.25  # of the tails' bits
# Of a weight of trained models with a search's coarsest steps (0.86 to 1.12) and with its finest
# (6.5 to 7.3), of which more bits make no more. Gaussian rows that matter alike have 1.24 with the
# coarsest, two deviations: a search is given a little more at least.
_COARSEST_BITS, LEAST_BITS, MOST_BITS = 0.93, 1.25, 7.0
_FILLED_LEFT, _MOST_LEFT = 0.0005, 0.005  # of the bytes that a search fills; seldom more
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Forecast:
    """Bytes of an artifact, what they lie between, and the expected ones by section;
    bits_per_weight: of the integers alone, coded."""

    expected: int
    low: int
    high: int
    parts: dict[str, int]
    bits_per_weight: float

    def in_words(self) -> str:
        """The expected bytes and what they lie between."""
        return f"{self.expected:,} bytes ({self.low:,} to {self.high:,})"


def forecast(model: Settings, vocabulary: int) -> Forecast:
    """The artifact of a model. model: its section of the configuration.

    Raises StageError for an architecture that cannot be, for scales chosen in two ways, and for
    fewer bits per weight than any steps take.
    """
    steps = StepSettings.from_settings(model["quantization"])
    if steps.packed_bytes is not None:
        return _filled(model, vocabulary, steps.packed_bytes)
    if steps.bits_per_weight is None:
        return _forecast(model, vocabulary)
    if steps.bits_per_weight < LEAST_BITS:
        raise StageError(
            f"quantization.bits_per_weight: {steps.bits_per_weight}; expected at least "
            f"{LEAST_BITS}, as even the coarsest steps may take so many"
        )
    return _with_bits(model, vocabulary, min(steps.bits_per_weight, MOST_BITS))


def _with_bits(model: Settings, vocabulary: int, bits: float) -> Forecast:
    """With so many bits per weight, whatever the settings have."""
    steps = {"bits_per_weight": bits, "packed_bytes": None}
    quantization = {**model["quantization"], **steps}
    return _forecast({**model, "quantization": quantization}, vocabulary)


def _filled(model: Settings, vocabulary: int, packed_bytes: int) -> Forecast:
    """With the bits per weight that fill so many bytes, as far as a search can."""
    smallest, largest = (
        _with_bits(model, vocabulary, bits) for bits in (_COARSEST_BITS, MOST_BITS)
    )
    if smallest.expected > packed_bytes:
        return smallest
    if largest.expected < packed_bytes:
        return replace(largest, high=min(largest.high, packed_bytes))
    share = (packed_bytes - smallest.expected) / (largest.expected - smallest.expected)
    bits = _COARSEST_BITS + share * (MOST_BITS - _COARSEST_BITS)
    found = _with_bits(model, vocabulary, bits)
    expected, low = (round((1 - left) * packed_bytes) for left in (_FILLED_LEFT, _MOST_LEFT))
    return replace(found, expected=expected, low=low, high=packed_bytes)


def _forecast(model: Settings, vocabulary: int) -> Forecast:
    quantization, coder = model["quantization"], model["packing"]["compressor"]
    shapes = state_shapes(ModelConfig.from_settings(model["architecture"], vocabulary))
    kinds = storage_kinds(shapes, quantization["fp16_below"])
    tails = _tail_bits(quantization, model["training"], sum(map(math.prod, shapes.values())))
    mantissa = {FLOAT16: quantization["fp16_mantissa_bits"], FLOAT32: _FLOAT32_MANTISSA}
    if mantissa[FLOAT16] < _FLOAT16_MANTISSA:
        mantissa[FLOAT16] += _CUT_OVER[coder]
    bits = dict.fromkeys(DTYPES, 0.0)
    for name, shape in shapes.items():
        kind, values = kinds[name], math.prod(shape)
        if kind in mantissa:
            bits[kind] += values * (mantissa[kind] + _SIGN_AND_EXPONENT)
        else:
            bits[kind] += values * (_integer_bits(quantization, kind, shape[1], coder) - tails)
            searched = quantization["bits_per_weight"] is not None and kind == INT6
            scales = shape[0] + (shape[1] if searched else 0)  # of columns as well
            bits[SCALE] += scales * _scale_bits(quantization, coder)
    parts = {name: round(found / 8) for name, found in bits.items()}
    parts["index"] = round(_INDEX_BYTES[0] + _INDEX_BYTES[1] * len(shapes))
    expected = sum(parts.values())
    integers = sum(math.prod(shapes[name]) for name in shapes if kinds[name] in (INT6, INT8))
    spread = round(_SPREAD * expected + _TAIL_SPREAD * tails * integers / 8)
    of_integer = 8 * (parts[INT6] + parts[INT8]) / max(1, integers)
    return Forecast(expected, expected - spread, expected + spread, parts, of_integer)


def _integer_bits(quantization: Settings, kind: str, columns: int, coder: str) -> float:
    """Bits of an integer of Gaussian rows, as its step is chosen."""
    if quantization["bits_per_weight"] is not None:
        return quantization["bits_per_weight"] + _SEARCHED_OVER[coder]
    limit = INT6_LIMIT if kind == INT6 else INT8_LIMIT
    if quantization["clip_sigmas"] is not None:
        clip = quantization["clip_sigmas"][0 if kind == INT6 else 1]
        return gaussian_entropy(clip, limit) + _EVEN_CODER_BITS[coder][kind]
    percentiles = tuple(quantization["clip_percentiles"]) if kind == INT6 else (1.0,)
    over = _CODER_BITS[coder] if kind == INT6 else 0.0
    return matrix_bits(columns, limit, percentiles) + over


def _scale_bits(quantization: Settings, coder: str) -> float:
    if quantization["bits_per_weight"] is not None:
        return _SEARCHED_SCALE_BITS[coder]
    if quantization["clip_sigmas"] is not None:
        return _EVEN_SCALE_BITS[coder]
    return _SCALE_BITS


def _tail_bits(quantization: Settings, training: Settings, parameters: int) -> float:
    """Bits of a weight that tails take with percentiles: between the two ends that are known."""
    if quantization["bits_per_weight"] is not None or quantization["clip_sigmas"] is not None:
        return 0.0
    (few, least), (many, most) = _TAIL_BITS
    tokens = training["steps"] * training["batch_tokens"] / parameters
    share = math.log(max(tokens, few) / few) / math.log(many / few)
    return least + (most - least) * min(share, 1.0)


def matrix_bits(columns: int, limit: int, percentiles: tuple[float, ...]) -> float:
    """Entropy of a value of Gaussian rows, each clipped at one of the percentiles, in ±limit.

    Which one GPTQ chooses is about evenly spread, but for 1.0.
    """
    clips = [expected_clip(columns, percentile) for percentile in percentiles]
    return sum(gaussian_entropy(clip, limit) for clip in clips) / len(clips)


def expected_clip(columns: int, percentile: float) -> float:
    """Expected percentile of so many magnitudes of Gaussian values, in σ.

    The n-th of N in order is expected at the quantile (n − 3/8) / (N + 1/4) (Blom, 1958); between
    two of them it is a straight line.
    """
    place = percentile * (columns - 1) + 1
    shares = ((n - 0.375) / (columns + 0.25) for n in (math.floor(place), math.ceil(place)))
    below, above = (NormalDist().inv_cdf(0.5 + 0.5 * share) for share in shares)
    return below + (place % 1) * (above - below)


@cache
def gaussian_entropy(clip: float, limit: int) -> float:
    """Bits of a Gaussian value rounded to the nearest of ±limit steps of clip·σ / limit."""
    step = clip / limit / math.sqrt(2)
    edges = [math.erf((i + 0.5) * step) for i in range(limit)]
    sides = [(above - below) / 2 for below, above in zip(edges, [*edges[1:], 1.0], strict=True)]
    shares = [edges[0], *sides, *sides]
    return -sum(share * math.log2(share) for share in shares if share > 0)
