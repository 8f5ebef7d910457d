"""Specs: what each kind of job depends on, and what must not be in it."""

import json
from pathlib import Path

import pytest
import yaml

from fairway.stage import StageError, write_json
from fairway.workflow.config import resolve_config
from fairway.workflow.specs import SpecWriter

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def specs(tmp_path: Path) -> SpecWriter:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    return SpecWriter(resolve_config(config, ROOT / "config" / "schema.yaml"), tmp_path / "specs")


def test_windows_are_in_no_spec_that_models_depend_on(specs: SpecWriter) -> None:
    stages = [("encode_corpus",), ("train_model", "ebls"), ("quantize_model", "ebls")]
    before = [specs.text(*stage) for stage in stages]
    specs.windows["windows"] = {"length": 128, "stride": 1}
    assert [specs.text(*stage) for stage in stages] == before
    settings = json.loads(Path(specs.windows_path()).read_text())["settings"]
    claims = [row["name"] for row in specs.config["rows"] if "claim" in row]
    assert settings == {"windows": {"length": 128, "stride": 1}, "ranks": 8, "claims": claims}


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (255, r"255 targets; expected at least one window .*manifest\.json; if the text has"),
        (256 + 6 * 64, r"ranks: 8; the validation text has only 7 windows \(.*manifest\.json"),
        (256 + 7 * 64, None),
    ],
)
def test_text_that_is_there_must_hold_the_windows(specs, tmp_path, targets, message) -> None:
    manifest = tmp_path / "manifest.json"
    specs.check_text(manifest)
    made = {"spec": specs.sha256("encode_corpus"), "val": {"targets": targets}}
    write_json(manifest, made)
    if message:
        with pytest.raises(StageError, match=message):
            specs.check_text(manifest)
    else:
        specs.check_text(manifest)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"spec": "x"}', '{"spec": "x", "val": {"targets": 1}}']
)
def test_text_that_is_to_be_made_anew_is_not_looked_at(specs, tmp_path, content) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(content)
    specs.check_text(manifest)
