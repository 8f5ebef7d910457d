"""The estimate: every job of a configuration counted, sizes as the files will have them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import estimate as estimate_stage
from fairway.artifact.sizes import ModelSizes, model_sizes
from fairway.files.tensors import save_tensors
from fairway.model.architecture import ModelConfig
from fairway.model.network import Model
from fairway.stage import StageError
from fairway.workflow.config import resolve_config
from fairway.workflow.estimation import (
    CorpusSizes,
    Estimate,
    as_markdown,
    estimate,
    planned_jobs,
)
from support.configs import SCHEMA, read, read_default
from support.made_up_submission import write_manifest

CORPUS = CorpusSizes(1_000_000, 100_001, "made up")


@pytest.fixture
def config() -> dict[str, Any]:
    return resolve_config(read("fineweb"), SCHEMA)


def sizes_of(config: dict[str, Any]) -> dict[str, ModelSizes]:
    return {name: model_sizes(config["models"][name], 1024) for name in ("independent", "ebls")}


def test_parameters_of_the_published_model(config: dict[str, Any]) -> None:
    assert model_sizes(config["models"]["independent"], 1024).parameters == 27_124_848


def test_checkpoint_is_as_large_as_its_file(config: dict[str, Any], tmp_path: Path) -> None:
    model = config["models"]["ebls"]
    model["architecture"] |= {"width": 32, "mlp_width": 64, "rope_dims": 4}
    state = Model(ModelConfig.from_settings(model["architecture"], 1024)).state_dict()
    save_tensors(tmp_path / "checkpoint", state, {})
    expected = model_sizes(model, 1024).checkpoint
    assert 0 <= (tmp_path / "checkpoint").stat().st_size - expected < 20_000, "only a header more"


def test_jobs_of_every_rule(config: dict[str, Any]) -> None:
    found = estimate(config, CORPUS, sizes_of(config))
    jobs = {cost.rule: cost.jobs for cost in found.rules}
    assert jobs == {
        "train_tokenizer": 1,
        "encode_corpus": 1,
        "train_model": 6,
        "quantize_model": 6,
        "pack_artifact": 6,
        "audit_model": 6,
        "score_targets": 48,
        "count_ngrams": 5,
        "audit_cache": 5,
        "pack_row": 14,
        "mix_scores": 42,
        "audit_row": 14,
        "prove_row": 6,
        "aggregate_seeds": 1,
    }


WAYS = {  # to choose steps, and whether gradients are taken for it
    "clips": {"bits_per_weight": None, "packed_bytes": None},
    "bits": {"bits_per_weight": 4.0, "packed_bytes": None},
    "bytes": {"bits_per_weight": None, "packed_bytes": 15_000_000},
}


def test_a_search_for_bits_takes_gradients_of_some_of_the_calibration_text(config) -> None:
    quantization = config["models"]["ebls"]["quantization"]
    found = {}
    for way, steps_of in WAYS.items():
        for tokens in (50, 12_800, 1_000_000):
            quantization |= steps_of | {"calibration_tokens": tokens, "gradient_tokens": 12_800}
            jobs = list(planned_jobs(config, CORPUS, sizes_of(config)))
            found[way, tokens] = [job.size for job in jobs if job.rule == "quantize_model"][-1]
    assert [found["clips", tokens] for tokens in (50, 12_800, 1_000_000)] == [
        50,
        12_800,
        1_000_000,
    ]
    for way in ("bits", "bytes"):
        assert found[way, 50] == 3.5 * 50 and found[way, 12_800] == 3.5 * 12_800
        assert found[way, 1_000_000] == 1_000_000 + 2.5 * 12_800


def test_download_is_a_job_and_on_the_disk(config: dict[str, Any]) -> None:
    config["corpus"]["download"] = {"train_shards": 1}
    (fetch, *_) = estimate(config, CORPUS, sizes_of(config)).rules
    assert (fetch.rule, fetch.jobs, fetch.disk) == ("fetch_corpus", 1, 2 * 1_100_001)


def test_hours(config: dict[str, Any]) -> None:
    speeds = config["estimates"]["rules"]
    speeds["train_model"] = {"seconds": 40, "per_second": 10.0, "source": "measured"}
    speeds["score_targets"] = {"seconds": 5, "per_second": 100.0, "source": "measured"}
    config["seeds"], config["ranks"] = [1], 2
    for model in config["models"].values():
        model["training"]["max_seconds"] = 560
    found = {c.rule: c for c in estimate(config, CORPUS, sizes_of(config)).rules}
    training, scoring = found["train_model"], found["score_targets"]
    assert training.longest == 40 + 560, "max_seconds ends it before 20,000 steps of 0.1 s"
    assert training.gpu_seconds == 2 * 8 * 600 and training.cpu_seconds == 2 * 16 * 600
    assert scoring.longest == 5 + 50_000 / 100 and scoring.gpu_seconds == 2 * 2 * 505
    config["models"]["ebls"]["training"] |= {"max_seconds": None, "device": "cpu"}
    found = {c.rule: c for c in estimate(config, CORPUS, sizes_of(config)).rules}
    assert found["train_model"].longest == 40 + 2000
    assert found["train_model"].gpu_seconds == 8 * 600


def test_unused_caches_and_models_cost_nothing(config: dict[str, Any]) -> None:
    config["rows"] = config["rows"][:2]
    models = {"independent": sizes_of(config)["independent"]}
    rules = [job.rule for job in planned_jobs(config, CORPUS, models)]
    assert rules.count("count_ngrams") == 1 and rules.count("train_model") == 3


def test_the_records_configuration_has_a_speed_for_every_rule(config: dict[str, Any]) -> None:
    """Also for those that none of its rows has: rows are what others change."""
    schema = yaml.safe_load(SCHEMA.read_text())
    rules = schema["$defs"]["estimates"]["properties"]["rules"]["properties"]
    assert set(config["estimates"]["rules"]) == set(rules)


def test_states_to_resume_from_count_where_there_are_any(config: dict[str, Any]) -> None:
    def found() -> Estimate:
        return estimate(config, CORPUS, sizes_of(config))

    assert found().resume_bytes == 0 and "resume" not in as_markdown(found(), CORPUS)
    config["models"]["ebls"]["training"]["checkpoint_every"] = 500
    checkpoint = sizes_of(config)["ebls"].checkpoint
    assert found().resume_bytes == 4 * checkpoint < 4 * sizes_of(config)["independent"].checkpoint
    assert f"{4 * checkpoint / 1e6:.1f} MB to resume from" in as_markdown(found(), CORPUS)


def test_undeclared_speed_names_its_key(config: dict[str, Any]) -> None:
    del config["estimates"]["rules"]["mix_scores"]
    with pytest.raises(StageError, match=r"estimates\.rules\.mix_scores"):
        estimate(config, CORPUS, sizes_of(config))


@pytest.mark.parametrize(("wanted", "size"), [(4096, 4096), ("all", 244_000), (10**9, 244_000)])
def test_a_proof_is_of_so_many_bytes(config: dict[str, Any], wanted, size) -> None:
    config["proof"]["bytes"] = wanted
    jobs = planned_jobs(config, CORPUS, sizes_of(config))
    assert {job.size for job in jobs if job.rule == "prove_row"} == {size}


def test_the_stage_needs_no_speeds_to_say_how_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    spec, report = tmp_path / "spec.json", tmp_path / "estimate.md"
    settings = resolve_config(read_default(), SCHEMA)
    settings["rows"] = [row for row in settings["rows"] if row["name"] in ("neural", "hashed7")]
    settings["sweeps"] = {}
    spec.write_text(json.dumps({"code": "", "settings": settings}))
    arguments = ["estimate.py", "--spec", str(spec), "--report", str(report)]
    monkeypatch.setattr("sys.argv", arguments)
    estimate_stage.main()
    text = report.read_text()
    assert capsys.readouterr().out == text
    assert text.startswith("Hours and disk: no `estimates` in the configuration")
    (neural,) = [line for line in text.splitlines() if line.startswith("| neural |")]
    code = int(neural.split(" | ")[5].replace(",", ""))
    assert 10_000 < code < 100_000


def test_bytes_are_printed_although_a_speed_is_missing(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    spec, report = tmp_path / "spec.json", tmp_path / "estimate.md"
    del config["estimates"]["rules"]["mix_scores"]
    spec.write_text(json.dumps({"code": "", "settings": config}))
    arguments = ["estimate.py", "--spec", str(spec), "--report", str(report)]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setattr(estimate_stage, "code_size", lambda network, decodable: 70_000)
    with pytest.raises(StageError, match=r"^config key `estimates\.rules\.mix_scores`: missing"):
        estimate_stage.main()
    assert "| rows | network |" in capsys.readouterr().out and not report.exists()


def test_only_the_manifest_of_this_configuration_counts(config, tmp_path: Path) -> None:
    write_manifest(tmp_path / "corpus")
    path = tmp_path / "corpus" / "manifest.json"
    for spec, expected in ((None, 9), ("s", 9), ("another", 62_021_846)):
        assert estimate_stage.corpus_sizes(config, path, spec).val_tokens == expected
    del config["estimates"]
    assert estimate_stage.corpus_sizes(config, path, "another") is None


def test_table_has_totals(config: dict[str, Any]) -> None:
    found = estimate(config, CORPUS, sizes_of(config))
    table = as_markdown(found, CORPUS)
    gpu_hours = sum(cost.gpu_seconds for cost in found.rules) / 3600
    assert f"| **total** | 161 | | {gpu_hours:.2f} |" in table
    assert "100,001 validation tokens (made up)" in table
