"""Configuration files are read strictly, and put over each other by kind."""

from pathlib import Path

import pytest
import yaml

from fairway.gates.settings import KIND_KEYS as GATE_KEYS
from fairway.stage import StageError
from fairway.workflow.config import resolve_config
from fairway.workflow.layers import put_together, read_layer
from support.configs import ROOT, SCHEMA


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def faults(file: Path, text: str | bytes) -> list[str]:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(StageError) as caught:
        read_layer(file)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(file)) for line in lines)
    return [line.removeprefix(str(file)) for line in lines]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: {b: 1,\n    b: 2}", ", line 2: key `b` is given twice (first in line 1); expected"),
        ("a: 1\nb: 2\n'a': 3", ", line 3: key `a` is given twice (first in line 1); expected it"),
        ('{"a": {"b": 1, "b": 2}}', ": key `b` is given twice; expected it once"),
        ("x: {<<: {a: 1}, <<: {b: 1}}", ", line 1: key `<<` is given twice (first in line 1)"),
        ("on: 1", ", line 1: key `on`: read as bool (YAML 1.1); expected text, in quotes"),
        ("{1: 1}", ", line 1: key `1`: read as int (YAML 1.1); expected text, in quotes"),
        ("{[a]: 1}", ", line 1: key seq: read as seq (YAML 1.1); expected text, in quotes"),
        ("a: 010", ", line 1: `010`: read as 8, octal (YAML 1.1); expected no leading 0, or quo"),
        ("a: 09", ", line 1: `09`: read as text (YAML 1.1); expected no leading 0, or quotes"),
        ("a: 0o17", ", line 1: `0o17`: read as text (YAML 1.1); expected a decimal number, or "),
        ("a: 12:30", ", line 1: `12:30`: read as 750, base 60 (YAML 1.1); expected 750 itself"),
        ("a: 1:2.5", ", line 1: `1:2.5`: read as 62.5, base 60 (YAML 1.1); expected 62.5 itself"),
        ("\na: 1e-3", ", line 2: `1e-3`: read as text (YAML 1.1); expected 0.001, or quotes"),
        ("a: [1, 1e-9]", ", line 1: `1e-9`: read as text (YAML 1.1); expected 1.0e-09, or quotes"),
        ("a: 1.5e30", ", line 1: `1.5e30`: read as text (YAML 1.1); expected 1.5e+30, or quotes"),
        ("a: 2024-01-01", ", line 1: `2024-01-01`: read as a date (YAML 1.1); expected quotes"),
        ("a: &b [*b]", ", line 1: an alias of something that it is itself in"),
        ("a: [1", ", line 1: expected ',' or ']', but got '<stream end>'"),
        ("a: *b", ", line 1: found undefined alias 'b'"),
        ("a: !!python/name:os.system 1", ", line 1: could not determine a constructor for"),
        ("a: 1\n---\nb: 1", ", line 2: but found another document"),
        ("\ta: 1", ", line 1: found character '\\t' that cannot start any token"),
        ("a: " + "9" * 5000, ": Exceeds the limit"),
        ("[" * 100_000, ": "),
        (b"a: \xff", ": not UTF-8 text; expected a configuration file"),
        (b"a: \x00", ": "),
        ("", ": empty; expected keys and values"),
        ("[a, b]", ": a list; expected keys and values"),
    ],
)
def test_what_would_be_dropped_or_changed_in_silence_is_one_line(file, text, line):
    (found,) = faults(file, text)
    assert found.startswith(line)


def test_all_faults_of_a_file_are_told(file):
    assert len(faults(file, "a: 010\nb: 1e-3\na: 2\n")) == 3


def test_missing_file_and_folder_are_one_line(tmp_path):
    for path, reason in ((tmp_path / "no.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(StageError, match=reason):
            read_layer(path)


@pytest.mark.parametrize(
    "text",
    [
        "a: {b: 0.5, c: 1.0e-3, d: -3, e: 0, f: 0x1f, g: 1_000, h: '010', i: '1e-3', j: no}",
        "a: &x {b: 1}\nc: {<<: *x, b: 2}\nd: *x",
        '{"a": 1e-3, "b": {"a": 1}}',
        "\ufeffa: 1",
    ],
)
def test_other_files_are_read_as_ever(file, text):
    file.write_text(text)
    assert read_layer(file) == yaml.safe_load(text.replace("1e-3,", "0.001,"))


def test_lists_are_replaced_and_mappings_deeply_put_together():
    layers = [{"a": {"b": 1, "c": [1]}, "d": {"e": 1}}, {"a": {"c": [2]}, "d": None}, {"d": {}}]
    assert put_together(layers) == {"a": {"b": 1, "c": [2]}, "d": {}}
    assert layers[0] == {"a": {"b": 1, "c": [1]}, "d": {"e": 1}}, "layers are left alone"


@pytest.fixture
def default() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def test_gate_keys_are_the_schema_s():
    definitions = yaml.safe_load(SCHEMA.read_text())["$defs"]
    for kind, keys in GATE_KEYS.items():
        assert keys == definitions[f"gate_{kind}"]["properties"].keys() - {"kind"}


NEURAL = {"rows": [{"name": "neural", "model": "ebls", "cache": "none", "gate": "none"}]}


@pytest.mark.parametrize(
    "override",
    [
        {"gates": {"uniform": {"kind": "fixed", "alpha": 0.3}}},
        {"gates": {"uniform": {"kind": "empirical_bayes"}}},
        {
            "models": {
                "ebls": {
                    "architecture": {
                        "layers": "independent",
                        "blocks": 2,
                        "value_embedding_layers": [1],
                    }
                }
            }
        },
        {"caches": {"hashed7": {"kind": "exact"}}},
        {"caches": {"exact15_orders": {"kind": "hashed", "buckets": 1024}}},
    ],
)
def test_another_kind_drops_what_only_the_former_has(default, override):
    resolve_config(put_together([default, NEURAL, override]), SCHEMA)


def test_keys_that_both_kinds_have_stay(default):
    override = {"gates": {"uniform": {"kind": "order_adaptive", "threshold_low_order": 4}}}
    layers = [default, {"gates": {"uniform": {"alpha_low": 0.1}}}, override]
    assert put_together(layers)["gates"]["uniform"] == {
        "kind": "order_adaptive",
        "threshold_low_order": 4,
        "alpha_low": 0.1,
    }


@pytest.mark.parametrize(
    ("layers", "key"),
    [
        ([{"kind": "fixed", "alpha": 0.3, "slope": 1.0}], "slope"),
        ([{"kind": "fixed", "alpha": 0.3}, {"slope": 1.0}], "slope"),
        ([{"slope": 1.0, "alpha": 0.3}], "alpha"),
        ([{"kind": "entropy", "alpha": 0.3}], "alpha"),
    ],
)
def test_wrong_keys_that_the_user_wrote_are_still_refused(default, layers, key):
    overrides = [{"gates": {"uniform": layer}} for layer in layers]
    with pytest.raises(StageError, match=f"`gates.uniform.{key}`: unknown"):
        resolve_config(put_together([default, *overrides]), SCHEMA)


@pytest.mark.parametrize("kind", ["fixd", 3, None, ["fixed"]])
def test_wrong_kind_is_the_schema_s_to_refuse(default, kind):
    override = {"gates": {"uniform": {"kind": kind}}}
    with pytest.raises(StageError, match=r"`gates.uniform.kind`: "):
        resolve_config(put_together([default, override]), SCHEMA)
