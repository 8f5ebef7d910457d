"""Every number of the configuration: bounds in the schema, hostile values refused in one line."""

import copy
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from fairway.stage import StageError
from fairway.workflow.config import resolve_config
from support.configs import ROOT, SCHEMA, read

Path = tuple[str | int, ...]
NUMBERS = {"integer", "number"}


def base(name: str) -> dict[str, Any]:
    """A resolved configuration with every optional number in it, so that each can be changed."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config = read(name) if name != "config" else config
    config["gates"]["constant"] = {"kind": "fixed", "alpha": 0.5}
    config["corpus"]["download"] = read("download")["corpus"]["download"]
    return resolve_config(config, SCHEMA)


BASES = {name: base(name) for name in ("config", "fineweb")}


def numbers(value: Any, path: Path = ()) -> Iterator[tuple[Path, int | float]]:
    """Paths of all numbers; of a list's, only the first."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from numbers(entry, (*path, key))
    elif isinstance(value, list) and path != ("rows",):
        yield from numbers(value[0], (*path, 0)) if value else ()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def number_parts(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a schema that allows a number, references followed, and its key's name."""
    if isinstance(schema, dict):
        kinds = schema.get("type", ())
        if NUMBERS & set([kinds] if isinstance(kinds, str) else kinds):
            yield name, schema
        for key, entry in schema.items():
            yield from number_parts(entry, name if key == "items" else key)


def resolved(value: Any, definitions: dict[str, Any]) -> Any:
    """The schema with its references replaced by what they name."""
    if isinstance(value, list):
        return [resolved(entry, definitions) for entry in value]
    if not isinstance(value, dict):
        return value
    named = definitions.get(str(value.get("$ref", "")).rpartition("/")[2], {})
    return {key: resolved(entry, definitions) for key, entry in {**named, **value}.items()}


TREE = yaml.safe_load(SCHEMA.read_text())
PARTS = list(number_parts(resolved(TREE["properties"], TREE["$defs"])))


def key_of(path: Path) -> str:
    return [part for part in path if isinstance(part, str)][-1]


def changed(config: dict[str, Any], values: dict[Path, Any]) -> dict[str, Any]:
    """A copy with other values at these paths."""
    config = copy.deepcopy(config)
    for path, value in values.items():
        place: Any = config
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
    return config


def faults(config: dict[str, Any]) -> list[str]:
    try:
        resolve_config(config, SCHEMA)
    except StageError as error:
        return str(error).splitlines()
    return []


HOSTILE = [math.nan, math.inf, -math.inf, 2**64, -(2**64), 10**400, True, "1", []]


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("wrong", HOSTILE, ids=lambda value: repr(value)[:20])
def test_hostile_value_of_every_number_is_one_line_that_names_it(name, wrong):
    paths = [path for path, _ in numbers(BASES[name])]
    lines = faults(changed(BASES[name], dict.fromkeys(paths, wrong)))
    begins = [f"config key `{'.'.join(map(str, path))}`: {wrong!r}; expected " for path in paths]
    assert len(begins) > 70 and len(lines) == len(begins)
    for begin in begins:
        assert [line.startswith(begin) for line in lines].count(True) == 1, begin


@pytest.mark.parametrize("name", BASES)
def test_whole_numbers_are_not_written_as_real_ones(name):
    whole = {key for key, part in PARTS if part["type"] == "integer"}
    found = {path: value for path, value in numbers(BASES[name]) if key_of(path) in whole}
    lines = faults(changed(BASES[name], {path: float(value) for path, value in found.items()}))
    assert len(lines) == len(found) > 30
    assert all(line.endswith("; expected integer") for line in lines)


def test_every_number_of_the_schema_has_two_bounds():
    assert len(PARTS) > 70
    for name, part in PARTS:
        assert {"minimum", "exclusiveMinimum"} & part.keys(), name
        assert {"maximum", "exclusiveMaximum"} & part.keys(), name


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("bound", ["minimum", "maximum"])
def test_bounds_themselves_are_checked_in_no_time(name, bound):
    """Also where all numbers are the largest allowed, which makes the largest models."""
    bounds = {key: part[bound] for key, part in PARTS if bound in part}
    paths = [path for path, _ in numbers(BASES[name]) if key_of(path) in bounds]
    start = time.process_time()
    lines = faults(changed(BASES[name], {path: bounds[key_of(path)] for path in paths}))
    assert time.process_time() - start < 2.0
    assert all(line.startswith("config key `") for line in lines)


def test_what_is_offered_is_taken():
    """config.yaml says what 0 and null mean for these."""
    for key, value in (("checkpoint_every", 0), ("qat_below", 0), ("max_seconds", None)):
        path = ("models", "ebls", "training", key)
        assert faults(changed(BASES["config"], {path: value})) == []


@pytest.mark.parametrize("key", ["loops", "shared_blocks", "unique_blocks"])
def test_more_blocks_than_memory_are_refused_before_they_are_made(key):
    path = ("models", "ebls", "architecture", key)
    (line,) = faults(changed(BASES["config"], {path: 1_000_000_000}))
    assert line == f"config key `{'.'.join(path)}`: 1000000000; expected at most 128"
