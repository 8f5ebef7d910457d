"""Specs: every stage's settings are read by one reader, as the kind that the stage declares."""

import copy
import hashlib
import json
import random
import re
from pathlib import Path
from typing import NotRequired, TypedDict

import pytest

from fairway.files.spec import Count, Size, read_spec
from fairway.stage import StageError, sha256_of, write_json
from support import specs
from support.configs import ROOT

READS = re.compile(r"read_spec\([\w.]+, (\w+)\)")
HOSTILE = [None, True, 0, -1, 2.5, 10**15, 1e300, "x", "\0", [], [1], {}, {"kind": 3}, "absent"]


class Inner(TypedDict):
    length: Count


class Settings(TypedDict):
    inner: Inner
    speed: Size | None
    name: NotRequired[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spec.json"


def written(path: Path, settings: object) -> Path:
    path.write_text(json.dumps({"code": "c", "settings": settings}))
    return path


def test_spec_is_settings_and_the_hash_of_the_file(path: Path) -> None:
    write_json(path, {"code": "c", "settings": {"a": 1}})
    spec = read_spec(path, dict)
    assert spec.settings == {"a": 1}
    assert spec.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == sha256_of(path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": 3}', "\xff"])
def test_damaged_spec_is_named(path: Path, content: str) -> None:
    path.write_text(content, encoding="latin-1")
    with pytest.raises(StageError, match=r"spec\.json: not "):
        read_spec(path, dict)


GOOD = {"inner": {"length": 3}, "speed": None}


@pytest.mark.parametrize("settings", [GOOD, GOOD | {"speed": 2, "name": "x"}])
def test_settings_stay_as_they_are(path: Path, settings: dict) -> None:
    assert read_spec(written(path, settings), Settings).settings == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": {}}, r"spec\.json: inner: no `length`; expected length"),
        ({"inner": {"length": 0}}, r"spec\.json: inner\.length: 0; expected 1 to 2147483647"),
        ({"inner": {"length": True}}, r"inner\.length: True; expected a whole number"),
        ({"inner": {"length": 2.0}}, r"inner\.length: 2\.0; expected a whole number"),
        ({"inner": None}, r"inner: None; expected an object"),
        ({"speed": 0}, r"speed: 0; expected more than 0 and less than 1e\+12"),
        ({"speed": 1e12}, r"speed: 1000000000000\.0; expected more than 0 and less"),
        ({"name": None}, r"name: None; expected text"),
        ({"nmae": "x"}, r"spec\.json: unknown key 'nmae'; expected inner, speed, name"),
    ],
)
def test_what_does_not_fit_is_named(path: Path, change: dict, message: str) -> None:
    with pytest.raises(StageError, match=message):
        read_spec(written(path, GOOD | change), Settings)


def test_every_stage_reads_its_spec_as_the_kind_that_is_tried_here() -> None:
    """Of the script it is read in; a spec that two scripts read is here under both."""
    files = (ROOT / "stages").glob("*.py")
    scripts = {file.stem: READS.findall(file.read_text()) for file in files}
    read = {kind for kinds in scripts.values() for kind in kinds}
    assert read == {kind.__name__ for kind in specs.KINDS.values()}
    assert {stage for stage, kinds in scripts.items() if kinds} == specs.KINDS.keys() - {"windows"}


@pytest.mark.parametrize("stage", specs.KINDS)
def test_every_setting_replaced_or_gone_is_one_line_or_is_right(stage: str, path: Path) -> None:
    settings = json.loads(specs.texts()[stage])["settings"]
    specs.read_and_use(stage, written(path, settings))
    cases = [(keys, value) for keys in places(settings) for value in HOSTILE]
    random.Random(1).shuffle(cases)
    cases = cases[: 15 if stage in ("estimate", "write_report") else 500]
    refused = 0
    for keys, value in cases:
        changed = replaced(settings, keys, value)
        try:
            specs.read_and_use(stage, written(path, changed))
        except StageError as error:
            assert len(str(error)) < 1000, error
            refused += 1
    assert refused > len(cases) / 2


def replaced(settings: dict, keys: tuple, value: object) -> dict:
    """A copy with another value at a place, or with none."""
    changed = copy.deepcopy(settings)
    *parents, last = keys
    holder = changed
    for key in parents:
        holder = holder[key]
    holder[last] = value
    if value == "absent":
        del holder[last]
    return changed


def places(value: object, before: tuple = ()) -> list[tuple]:
    """Keys to every value of nested settings; of lists the first item."""
    if isinstance(value, list):
        value = dict(enumerate(value[:1]))
    if not isinstance(value, dict):
        return []
    found = [(*before, key) for key in value]
    return found + [at for key in value for at in places(value[key], (*before, key))]
