"""The forecast: the entropy it adds up, and artifacts of trained and of made up tensors."""

import math

import numpy as np
import pytest
import torch

from fairway.artifact import forecast as module
from fairway.artifact.container import encode, section_sizes
from fairway.artifact.forecast import (
    LEAST_BITS,
    expected_clip,
    forecast,
    gaussian_entropy,
    matrix_bits,
)
from fairway.artifact.gptq import round_rows, round_with
from fairway.artifact.kinds import INT6, INT6_LIMIT, INT8, INT8_LIMIT, storage_kinds
from fairway.artifact.rates import Rounded, clip_at
from fairway.artifact.storage import StoredModel
from fairway.model.architecture import ModelConfig
from fairway.model.shapes import state_shapes
from fairway.stage import StageError
from fairway.workflow.config import resolve_config
from fairway.workflow.layers import put_together
from support.configs import SCHEMA, read, read_default

PERCENTILES = (0.999, 0.9995, 0.9999, 0.99999, 1.0)
MEASURED = {  # bytes of artifacts that trainings gave, without code
    "default": (1_024_098, 1_023_418, 1_023_811),  # ./run, with clip percentiles and LZMA
    "published": (15_916_672, 15_871_768, 15_914_852),  # the record's, less 78,113 of code
}


def model_of(name: str) -> dict:
    """A model's section: the default's with percentiles, or the record's."""
    if name == "published":
        layers = put_together([read("fineweb"), read("published_packing")])
        return resolve_config(layers, SCHEMA)["models"]["independent"]
    model = resolve_config(read_default(), SCHEMA)["models"]["ebls"]
    model["quantization"] |= {"clip_percentiles": list(PERCENTILES), "bits_per_weight": None}
    model["quantization"] |= {"clip_sigmas": None, "fp16_below": 65536, "fp16_mantissa_bits": 10}
    model["packing"]["compressor"] = "lzma"
    return model


@pytest.mark.parametrize(("clip", "limit"), [(2.8, 31), (8.0, 31), (12.85, 31), (20.0, 127)])
def test_entropy_is_that_of_rounded_gaussian_values(clip: float, limit: int) -> None:
    values = np.random.default_rng(0).standard_normal(2_000_000)
    integers = np.rint(values * limit / clip).clip(-limit, limit).astype(int) + limit
    share = np.bincount(integers) / len(values)
    measured = -(share[share > 0] * np.log2(share[share > 0])).sum()
    assert gaussian_entropy(clip, limit) == pytest.approx(measured, abs=2e-3)


def test_entropy_is_nearly_the_rule_of_thumb() -> None:
    for clip in (4.0, 6.0, 8.0):
        rule = math.log2(math.sqrt(2 * math.pi * math.e)) + math.log2(31 / clip)
        assert gaussian_entropy(clip, 31) == pytest.approx(rule, abs=5e-3)


@pytest.mark.parametrize("columns", [64, 384, 1536])
def test_clips_are_expected_percentiles(columns: int) -> None:
    rows = np.abs(np.random.default_rng(1).standard_normal((2000, columns)))
    for percentile in PERCENTILES:
        measured = np.quantile(rows, percentile, axis=1).mean()
        assert expected_clip(columns, percentile) == pytest.approx(measured, rel=0.01)


@pytest.mark.parametrize("name", MEASURED)
def test_trained_artifacts_were_forecast_within_two_percent(name: str) -> None:
    found = forecast(model_of(name), 1024)
    for measured in MEASURED[name]:
        assert found.expected == pytest.approx(measured, rel=0.02)
        assert found.low < measured < found.high


@pytest.mark.parametrize(
    ("steps", "coder", "measured"),  # the default run's model of seed 1337, packed so
    [
        ({"bits_per_weight": 4.0}, "ans", 571_446),
        ({"bits_per_weight": 4.0}, "lzma", 619_052),
        ({"bits_per_weight": 3.5}, "ans", 509_558),
        ({"bits_per_weight": 3.5}, "lzma", 557_165),
        ({"bits_per_weight": 4.0}, "zstd", 649_677),
        ({"bits_per_weight": 3.0}, "zstd", 516_271),
        ({"bits_per_weight": 4.0}, "brotli", 594_148),
        ({"bits_per_weight": 3.0}, "brotli", 472_781),
        ({"clip_sigmas": [8.0, 20.0]}, "ans", 607_199),
        ({"clip_sigmas": [8.0, 20.0]}, "lzma", 625_418),
        ({"clip_sigmas": [12.85, 20.0]}, "ans", 583_267),
        ({"clip_sigmas": [4.0, 12.0]}, "ans", 706_272),
    ],
)
def test_artifacts_of_chosen_steps_were_forecast_within_two_percent(
    steps, coder, measured
) -> None:
    model = model_of("default")
    model["quantization"] |= steps | {"fp16_below": 16384, "fp16_mantissa_bits": 6}
    model["packing"]["compressor"] = coder
    assert forecast(model, 1024).expected == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize("sigmas", [None, (8.0, 20.0)])
@pytest.mark.parametrize("name", ["lzma", "zstd", "ans"])
def test_a_packed_model_of_gaussian_tensors_was_forecast(name: str, sigmas: tuple | None) -> None:
    """The default's shapes, nothing trained: section by section."""
    model = model_of("default")
    model["packing"]["compressor"] = name
    model["training"]["steps"] = 1
    model["quantization"]["clip_sigmas"] = sigmas
    sizes = section_sizes(encode(gaussian_model(model, sigmas), name))
    found = forecast(model, 1024)
    for section in (INT6, INT8, "float16"):
        assert found.parts[section] == pytest.approx(sizes[section]["packed"], rel=0.05), section
    for section, most in (("float32", 600), ("index", 100)):
        assert found.parts[section] == pytest.approx(sizes[section]["packed"], abs=most), section


def gaussian_model(model: dict, sigmas: tuple | None) -> StoredModel:
    """Tensors drawn, each clipped there, or each row at a percentile of those of the settings."""
    config = ModelConfig.from_settings(model["architecture"], 1024)
    shapes, generator = state_shapes(config), torch.Generator().manual_seed(0)
    kinds = storage_kinds(shapes, model["quantization"]["fp16_below"])
    tensors = {}
    for place, (name, shape) in enumerate(shapes.items()):
        tensor = torch.randn(shape, generator=generator) * 0.1
        if kinds[name] not in (INT6, INT8):
            tensors[name] = tensor.half() if kinds[name] == "float16" else tensor
            continue
        limit = INT6_LIMIT if kinds[name] == INT6 else INT8_LIMIT
        if sigmas is not None:
            rounded = Rounded(tensor, limit, torch.ones(len(tensor)))
            scale = clip_at(rounded, sigmas[0 if kinds[name] == INT6 else 1])
            tensors[name] = round_with(tensor, scale, limit)
            continue
        percentile = PERCENTILES[place % 5] if kinds[name] == INT6 else 1.0
        tensors[name] = round_rows(tensor, (percentile,), limit)[0]
    return StoredModel(config.to_dict(), "ab" * 32, kinds, tensors)


def test_a_search_spends_what_it_is_given_and_fewer_mantissa_bits_are_fewer() -> None:
    model, sizes = model_of("default"), []
    weights = 294_912 + 655_360  # of kinds int6 and int8
    model["packing"]["compressor"] = "ans"
    for bits in (4.0, 3.0):
        model["quantization"]["bits_per_weight"] = bits
        found = forecast(model, 1024)
        assert found.parts[INT6] + found.parts[INT8] == pytest.approx(bits * weights / 8, rel=0.02)
        sizes.append(found.expected)
    assert sizes[0] - sizes[1] == pytest.approx(weights / 8, rel=0.01)
    model["quantization"]["fp16_mantissa_bits"] = 4
    assert sizes[1] - forecast(model, 1024).expected == pytest.approx(6 * 108_544 / 8, abs=2)


@pytest.mark.parametrize("name", ["ans", "lzma"])
def test_bytes_are_filled_as_far_as_bits_go(name: str) -> None:
    model = model_of("default")
    model["packing"]["compressor"] = name
    model["quantization"] |= {"fp16_below": 16384, "fp16_mantissa_bits": 6}
    for budget in (400_000, 571_000, 900_000):
        model["quantization"] |= {"bits_per_weight": None, "packed_bytes": budget}
        found = forecast(model, 1024)
        assert 0.99 * budget < found.low < found.expected < found.high == budget
        model["quantization"] |= {"bits_per_weight": 3.0, "packed_bytes": None}
        by_bits = forecast(model, 1024)
        more = found.bits_per_weight - by_bits.bits_per_weight
        sizes = found.expected, by_bits.expected + more * 1_015_808 / 8
        assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)


def test_bytes_beyond_the_most_bits_are_left_and_too_few_are_exceeded() -> None:
    model = model_of("default")
    model["packing"]["compressor"] = "ans"
    model["quantization"] |= {"fp16_below": 16384, "fp16_mantissa_bits": 6}
    model["quantization"]["packed_bytes"] = 2_000_000
    found = forecast(model, 1024)  # of seed 1337: 957,515
    assert found.expected == pytest.approx(957_515, rel=0.02) and found.high < 2_000_000
    model["quantization"]["packed_bytes"] = 100_000
    found = forecast(model, 1024)
    for measured in (181_201, 181_629, 180_941):  # with the coarsest, three seeds
        assert found.low < measured < found.high
        assert found.expected == pytest.approx(measured, rel=0.02)


def test_bits_that_no_search_can_have_are_not_forecast() -> None:
    model = model_of("default")
    model["packing"]["compressor"] = "ans"
    model["quantization"] |= {"fp16_below": 16384, "fp16_mantissa_bits": 6}
    for bits in (7.5, 8.0):
        model["quantization"]["bits_per_weight"] = bits
        found = forecast(model, 1024)
        for measured in (957_562, 955_022, 957_242):  # with the finest steps, three seeds
            assert found.low < measured < found.high
            assert found.expected == pytest.approx(measured, rel=0.02)
    model["quantization"]["bits_per_weight"] = LEAST_BITS
    assert found.low > forecast(model, 1024).expected > 200_000
    model["quantization"]["bits_per_weight"] = 1.2
    with pytest.raises(StageError, match=r"^quantization.bits_per_weight: 1.2; expected at least"):
        forecast(model, 1024)


def test_fewer_columns_and_lower_percentiles_take_more_bits() -> None:
    assert matrix_bits(64, 31, (1.0,)) > matrix_bits(512, 31, (1.0,))
    assert matrix_bits(512, 31, (0.99,)) > matrix_bits(512, 31, (1.0,))
    assert matrix_bits(512, 127, (1.0,)) - matrix_bits(512, 31, (1.0,)) == pytest.approx(2, 0.02)


def test_longer_trainings_have_heavier_tails_up_to_the_records() -> None:
    model, sizes = model_of("default"), []
    for steps in (1, 600, 60_000, 6_000_000, 60_000_000):
        model["training"]["steps"] = steps
        sizes.append(forecast(model, 1024).expected)
    assert sizes == sorted(sizes, reverse=True) and sizes[3] == sizes[4]


def test_nothing_of_the_forecast_needs_torch() -> None:
    assert not {"torch", "np", "numpy"} & vars(module).keys()
