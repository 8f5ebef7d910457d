"""The configuration's faults are one line each, and defaults are filled in."""

import copy
from pathlib import Path

import pytest
import yaml

from fairway.config import resolve_config
from fairway.stage import StageError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "config" / "schema.yaml"


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def fault(config: dict) -> str:
    with pytest.raises(StageError) as caught:
        resolve_config(config, SCHEMA)
    return str(caught.value)


STACKS = [["smoke"], ["fineweb"], ["fineweb", "download"], ["fineweb", "download", "shrunk"]]


def merge(base: dict, override: dict) -> dict:
    """Deeply, lists replaced, as Snakemake merges --configfile."""
    merged = dict(base)
    for key, value in override.items():
        deep = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if deep else value
    return merged


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())


def test_every_shipped_file_is_in_a_stack():
    files = {path.stem for path in ROOT.glob("config/*.yaml")} - {"schema"}
    assert files == {name for stack in STACKS for name in stack}


@pytest.mark.parametrize("names", [[], *STACKS], ids="+".join)
def test_shipped_configurations_are_valid(config, names):
    for name in names:
        config = merge(config, read(name))
    resolve_config(config, SCHEMA)


@pytest.mark.parametrize("name", ["ebls", "independent"])
def test_record_takes_nothing_from_the_default_or_the_schema(name):
    record = read("fineweb")
    resolved = resolve_config(record, SCHEMA)
    assert resolved["models"][name] == record["models"][name]
    assert {row["model"] for row in record["rows"]} == set(record["models"])


def test_defaults_come_from_the_schema(config):
    resolved = resolve_config(config, SCHEMA)
    assert resolved["caches"]["hashed7"]["prefill"] is True
    assert resolved["caches"]["hashed7_empty"]["prefill"] is False
    assert "prefill" not in config["caches"]["hashed7"], "the caller's config is left alone"


def test_unknown_key_names_the_nearest(config):
    config["gates"]["uniform"]["treshold"] = config["gates"]["uniform"].pop("threshold")
    text = fault(config)
    assert "gates.uniform.treshold" in text and "did you mean `threshold`" in text


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("models.ebls.training.steps", "many", "expected integer"),
        ("models.ebls.training.muon_lr", "1e-3", "write 1.0e-3"),
        ("models.ebls.architecture.layers", "sharde", "did you mean `shared`"),
        ("caches.hashed7.kind", "hash", "did you mean `hashed`"),
        ("gates.adaptive.kind", "order_adaptiv", "did you mean `order_adaptive`"),
        ("corpus.val_fraction", 1.5, "corpus.val_fraction"),
        ("ranks", 0, "`ranks`"),
        ("seeds", [1, 1], "each seed once"),
    ],
)
def test_wrong_value_names_key_and_expectation(config, path, value, expected):
    *parents, last = path.split(".")
    place = config
    for name in parents:
        place = place[name]
    place[last] = value
    text = fault(config)
    assert expected in text and len(text.splitlines()) == 1


@pytest.mark.parametrize("key", ["model", "cache", "gate"])
def test_row_naming_something_missing(config, key):
    row = next(row for row in config["rows"] if row["gate"] == "adaptive")
    row[key] += "x"
    text = fault(config)
    assert f"{key}`: '{row[key]}' is not in `{key}s`" in text and "did you mean" in text


def test_row_name_used_twice(config):
    config["rows"].append(copy.deepcopy(config["rows"][0]))
    assert "used twice" in fault(config)


def test_gate_without_the_counts_it_needs(config):
    bayes = next(row for row in config["rows"] if row["gate"] == "bayes")
    bayes["cache"] = "exact15"
    assert "needs `orders`" in fault(config)


def test_all_faults_are_reported_at_once(config):
    config["ranks"] = 0
    config["audit"]["sead"] = 1
    assert len(fault(config).splitlines()) == 2
