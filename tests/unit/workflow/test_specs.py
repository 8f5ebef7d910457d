"""Specs: what each kind of job depends on, and what must not be in it."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from fairway.stage import StageError, write_json
from fairway.workflow.config import resolve_config
from fairway.workflow.jobs import KEYS
from fairway.workflow.specs import Specs, imported_version

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def specs(tmp_path: Path) -> Specs:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    return Specs(resolve_config(config, ROOT / "config" / "schema.yaml"), tmp_path / "specs")


def other(specs: Specs, **changes: object) -> Specs:
    """Specs of the configuration with other values."""
    return Specs(specs.config | changes, specs.folder)


def test_windows_are_in_no_spec_that_models_depend_on(specs: Specs) -> None:
    stages = [("encode_corpus",), ("train_model", "ebls"), ("quantize_model", "ebls")]
    before = [specs.text(*stage) for stage in stages]
    specs = other(specs, windows={"length": 128, "stride": 1})
    assert [specs.text(*stage) for stage in stages] == before
    settings = json.loads(specs.texts[specs.windows_path()])["settings"]
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


def test_a_name_holds_the_hash_and_nothing_is_written(specs: Specs, tmp_path: Path) -> None:
    path = specs.path("mix_scores", "hashed7")
    digits = specs.sha256("mix_scores", "hashed7")[:16]
    assert path == str(tmp_path / "specs" / "mix_scores" / f"hashed7.{digits}.json")
    gates = specs.config["gates"] | {"uniform": {"kind": "fixed", "alpha": 0.5}}
    assert other(specs, gates=gates).path("mix_scores", "hashed7") != path
    assert not (tmp_path / "specs").exists()


@pytest.mark.parametrize(
    ("section", "key", "value", "stages"),
    [
        ("packing", "compressor", "brotli", {"pack_artifact"}),
        # the forecast, which is in the spec of packing, changes as well
        ("quantization", "bits_per_weight", 3.25, {"quantize_model", "pack_artifact"}),
        ("quantization", "damping", 0.02, {"quantize_model"}),
    ],
)
def test_a_coder_packs_again_and_steps_quantise_again(specs, section, key, value, stages) -> None:
    model = specs.config["models"]["ebls"]
    models = {"ebls": model | {section: model[section] | {key: value}}}
    changed = other(specs, models=models)
    of_models = ("train_model", "quantize_model", "pack_artifact", "score_targets")
    found = {
        stage for stage in of_models if changed.text(stage, "ebls") != specs.text(stage, "ebls")
    }
    assert found == stages


def test_a_coder_quantises_again_where_its_bytes_are_to_be_filled(specs: Specs) -> None:
    model = specs.config["models"]["ebls"]
    steps = {"bits_per_weight": None, "packed_bytes": 500_000}
    filled = model | {"quantization": model["quantization"] | steps}
    lzma = filled | {"packing": model["packing"] | {"compressor": "lzma"}}
    before, after = (other(specs, models={"ebls": found}) for found in (filled, lzma))
    assert before.quantize_model("ebls")["compressor"] == "ans"
    assert before.text("quantize_model", "ebls") != after.text("quantize_model", "ebls")


def test_seeds_are_in_the_specs_of_what_depends_on_them(specs: Specs) -> None:
    before = {stage: specs.text(stage, "neural") for stage in ("audit_row", "prove_row")}
    fewer = other(specs, seeds=[1337])
    assert fewer.text("audit_row", "neural") != before["audit_row"]
    assert fewer.text("prove_row", "neural") == before["prove_row"], "still the first seed"
    assert other(specs, seeds=[2024, 1337]).text("prove_row", "neural") != before["prove_row"]


@pytest.mark.parametrize(
    ("package", "stages"),
    [
        ("torch", {"train_model", "quantize_model", "audit_model", "score_targets"}),
        ("numba", {"count_ngrams", "audit_cache", "mix_scores", "audit_row", "sweep_row"}),
        ("sentencepiece", {"train_tokenizer", "encode_corpus", "prove_row"}),
    ],
)
def test_versions_of_what_computes_are_in_specs(specs: Specs, package: str, stages: set) -> None:
    keys = {"model": "ebls", "cache": "hashed7", "row": "neural", "memory": "training"}
    keys["sweep"] = "buckets"
    for stage, names in KEYS.items():
        versions = json.loads(specs.text(stage, names and keys[names[0]]))["versions"]
        assert "tqdm" not in versions and all("+" not in found for found in versions.values())
        assert package in versions or stage not in stages
        assert "torch" not in versions or stage not in ("count_ngrams", "mix_scores")


def test_a_package_that_is_not_installed_has_no_version():
    assert imported_version("no_such_package") == ""
    assert imported_version("yaml") == version("PyYAML")
