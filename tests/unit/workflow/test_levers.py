"""What would fit, as a refusal says it: written into the configuration it is accepted."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from fairway.artifact.forecast import forecast
from fairway.stage import StageError
from fairway.workflow.config import resolve_config
from fairway.workflow.layers import put_together
from support.configs import SCHEMA, read, read_default

BASE = put_together([read_default(), read("fineweb")])
PUBLISHED = read("published_packing")["models"]["independent"]
TOO_LARGE = {  # model of fineweb.yaml, what makes it too large, keys that would make it fit
    "a little too many bits": (
        "independent",
        {"quantization": {"packed_bytes": None, "bits_per_weight": 4.9}},
        ["packed_bytes", "bits_per_weight", "blocks", "mlp_width"],
    ),
    "far too many": (
        "independent",
        {"quantization": {"packed_bytes": None, "bits_per_weight": 8}},
        ["packed_bytes", "bits_per_weight", "blocks", "mlp_width"],
    ),
    "another coder would do": (
        "independent",
        {
            "quantization": {"packed_bytes": None, "bits_per_weight": 4.6},
            "packing": {"compressor": "lzma"},
        },
        ["compressor", "packed_bytes", "bits_per_weight", "blocks", "mlp_width"],
    ),
    "percentiles": (
        "independent",
        PUBLISHED | {"architecture": {"blocks": 14}},
        ["packed_bytes", "bits_per_weight", "clip_sigmas", "blocks", "mlp_width"],
    ),
    "percentiles, shared blocks": (
        "ebls",
        PUBLISHED | {"architecture": {"shared_blocks": 12, "value_embedding_layers": [36, 37]}},
        ["packed_bytes", "bits_per_weight", "clip_sigmas", "shared_blocks", "mlp_width"],
    ),
    "clips at deviations": (
        "independent",
        {"quantization": {"packed_bytes": None, "clip_sigmas": [4.0, 10.0]}},
        ["packed_bytes", "bits_per_weight", "clip_sigmas", "blocks", "mlp_width"],
    ),
    "a large table of pairs": (
        "independent",
        {
            "quantization": {"packed_bytes": None, "bits_per_weight": 4.0},
            "architecture": {"bigram_rows": 50_000},
        },
        ["packed_bytes", "bits_per_weight", "blocks", "mlp_width", "bigram_rows"],
    ),
    "bytes that no bits are few enough for": (
        "independent",
        {"quantization": {"packed_bytes": 2_000_000}},
        ["packed_bytes", "blocks", "mlp_width"],
    ),
    "so many that none are few enough to fill": (
        "independent",
        {"architecture": {"blocks": 80, "mlp_width": 3072}},
        ["blocks", "mlp_width"],
    ),
}


def layers(model: str, change: dict[str, Any]) -> list[dict[str, Any]]:
    """fineweb.yaml with one of its models alone, changed."""
    rows = [row for row in BASE["rows"] if row["model"] == model]
    return [BASE, {"rows": rows}, overlay(model, change)]


def overlay(model: str, change: dict[str, Any]) -> dict[str, Any]:
    return {"models": {model: change}}


@cache
def refusal(name: str) -> str:
    model, change, _ = TOO_LARGE[name]
    with pytest.raises(StageError) as caught:
        resolve_config(put_together(layers(model, change)), SCHEMA)
    (line,) = str(caught.value).splitlines()
    return line


def levers_of(line: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Each lever as a configuration file would have it, and the bytes that it says."""
    for text in line.partition("What would fit: ")[2].split("; "):
        written, size = re.fullmatch(r"(.*) \(([\d,]+) bytes\)", text).groups()
        sections: dict[str, Any] = {}
        for part in re.split(r" (?:with|and) (?=\w+\.)", written):
            section, key, value = re.fullmatch(r"(\w+)\.(\w+): (.*)", part).groups()
            sections.setdefault(section, {})[key] = yaml.safe_load(value)
        yield sections, int(size.replace(",", ""))


def first_key(sections: dict[str, Any]) -> str:
    return next(iter(next(iter(sections.values()))))


@pytest.mark.parametrize("name", TOO_LARGE)
def test_every_lever_written_down_is_accepted_and_fits(name: str) -> None:
    model, change, keys = TOO_LARGE[name]
    found = list(levers_of(refusal(name)))
    assert [first_key(sections) for sections, _ in found] == keys
    for sections, size in found:
        config = resolve_config(
            put_together([*layers(model, change), overlay(model, sections)]), SCHEMA
        )
        settings = config["models"][model]
        expected = forecast(settings, 1024).expected
        assert expected == size
        most = settings["quantization"]["packed_bytes"] or 16_000_000
        assert size <= min(most, 15_999_999 - settings["packing"]["room_bytes"])


STEPS = {"blocks": 1, "shared_blocks": 1, "mlp_width": 64, "bigram_rows": 256}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_levers_are_as_small_as_they_can_be(name: str) -> None:
    model, change, _ = TOO_LARGE[name]
    for sections, _ in levers_of(refusal(name)):
        key = first_key(sections)
        if key in STEPS:
            sections["architecture"][key] += STEPS[key]
            sections["architecture"].pop("value_embedding_layers", None)
        elif key == "bits_per_weight":
            sections["quantization"][key] += 0.1
        elif key == "clip_sigmas":
            sections["quantization"][key] = [clip - 1 for clip in sections["quantization"][key]]
        else:
            continue
        changed = put_together([*layers(model, change), overlay(model, sections)])
        settings = changed["models"][model]
        if STEPS.get(key) == 1:  # of depth: the value embeddings' layers are there
            settings["architecture"]["value_embedding_layers"] = [0, 1]
        most = settings["quantization"]["packed_bytes"] or (
            15_999_999 - settings["packing"]["room_bytes"]
        )
        assert forecast(settings, 1024).expected > most, key


def test_value_embeddings_stay_as_far_from_the_end() -> None:
    line = refusal("far too many")
    assert "architecture.blocks: 7 with architecture.value_embedding_layers: [5, 6] (" in line
