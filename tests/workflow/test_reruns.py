"""After a finished run, each change reruns exactly what it touches."""

import os
import time

import pytest
import yaml

from workflow.conftest import SMOKE

SIZES = yaml.safe_load(SMOKE.read_text())
ROWS, SEEDS, RANKS = SIZES["rows"], len(SIZES["seeds"]), SIZES["ranks"]
CACHES = {row["cache"] for row in ROWS} - {"none"}
MODEL_JOBS = {
    "train_model": SEEDS,
    "quantize_model": SEEDS,
    "pack_artifact": SEEDS,
    "score_targets": SEEDS * RANKS,
    "audit_model": SEEDS,
}


def mixings(rows: list[dict]) -> int:
    """Jobs of mixing these rows: one a seed, or one where nothing is trained."""
    return sum(1 if row["model"] == "none" else SEEDS for row in rows)


def row_jobs(rows: list[dict]) -> dict[str, int]:
    """Jobs of packing, mixing, auditing and, where it can be, proving these rows; the table."""
    proven = len([row for row in rows if not row["cache"].startswith("hashed")])
    jobs = {"mix_scores": mixings(rows), "aggregate_seeds": 1}
    jobs |= dict.fromkeys(("pack_row", "audit_row"), len(rows))
    return jobs | ({"prove_row": proven} if proven else {})


def rows_with(key: str, *names: str) -> list[dict]:
    return [row for row in ROWS if row[key] in names]


def test_nothing_changed(smoke):
    assert smoke.planned() == {}


def test_a_gates_number(smoke):
    override = {"gates": {"uniform": {"threshold": 3.5}}}
    assert smoke.planned(override) == row_jobs(rows_with("gate", "uniform"))
    assert smoke.planned() == {}, "reverted"


def test_a_caches_buckets(smoke):
    override = {"caches": {"hashed15": {"buckets": 4096}}}
    expected = {"count_ngrams": 1, "audit_cache": 1} | row_jobs(rows_with("cache", "hashed15"))
    assert smoke.planned(override) == expected


def test_a_models_learning_rate(smoke):
    override = {"models": {"ebls": {"training": {"muon_lr": 0.01}}}}
    assert smoke.planned(override) == MODEL_JOBS | row_jobs(rows_with("model", "ebls"))


def test_a_memorys_size(smoke):
    override = {"memories": {"training": {"budget": "tokens", "size": 50_000}}}
    expected = {"pack_memory": 1, "count_ngrams": 1, "audit_cache": 1}
    assert smoke.planned(override) == expected | row_jobs(rows_with("cache", "exact15_memory"))


def test_quantisation_settings_leave_the_training(smoke):
    override = {"models": {"ebls": {"quantization": {"damping": 0.02}}}}
    expected = {key: MODEL_JOBS[key] for key in MODEL_JOBS if key != "train_model"}
    assert smoke.planned(override) == expected | row_jobs(rows_with("model", "ebls"))


def test_one_seed_added(smoke):
    override = {"seeds": [*SIZES["seeds"], 2025]}
    one = {stage: count // SEEDS for stage, count in MODEL_JOBS.items()}
    rows = len(rows_with("model", "ebls"))
    of_rows = dict.fromkeys(("pack_row", "mix_scores", "audit_row"), rows)
    expected = one | of_rows | {"aggregate_seeds": 1}
    assert smoke.planned(override) == expected


def test_one_row_added(smoke):
    row = {"name": "extra", "model": "ebls", "cache": "exact15", "gate": "uniform"}
    assert smoke.planned({"rows": [*ROWS, row]}) == row_jobs([row])


def test_the_windows_change_everything_that_scores(smoke):
    planned = smoke.planned({"windows": {"stride": 16}})
    assert "train_model" not in planned
    assert planned["score_targets"] == SEEDS * RANKS and planned["count_ngrams"] == len(CACHES)


def test_other_targets_for_the_audit_train_and_score_nothing(smoke):
    expected = {"audit_model": SEEDS, "audit_cache": len(CACHES)} | row_jobs(ROWS)
    for stage in ("prove_row", "pack_row"):
        expected.pop(stage)
    assert smoke.planned({"audit": {"mass_targets": 16}}) == expected


def test_a_longer_null_stream_audits_again_and_nothing_else(smoke):
    expected = {"audit_row": len(ROWS), "aggregate_seeds": 1}
    assert smoke.planned({"audit": {"null_tokens": 3000}}) == expected


def test_comments_and_key_order_of_the_config(edited):
    workflow = edited("config.yaml", "# a remark\n")
    config = yaml.safe_load((workflow.checkout / "config.yaml").read_text())
    text = yaml.safe_dump(dict(reversed(config.items())), sort_keys=True) + "# a remark\n"
    (workflow.checkout / "config.yaml").write_text(text)
    assert workflow.planned() == {}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("stages/mix_scores.py", {**row_jobs(ROWS), "prove_row": 0}),
        ("stages/fairway/counting/hashed.py", None),
        ("stages/aggregate_seeds.py", {"aggregate_seeds": 1}),
        ("stages/fairway/tables/aggregation.py", {"aggregate_seeds": 1}),
        ("stages/fairway/artifact/gptq.py", MODEL_JOBS | row_jobs(rows_with("model", "ebls"))),
    ],
)
def test_edited_code_reruns_the_rules_that_use_it(edited, file, expected):
    workflow = edited(file, "\n\nADDED = 1\n")
    planned = workflow.planned()
    if file.endswith("hashed.py"):
        expected = {"count_ngrams": len(CACHES), "audit_cache": len(CACHES)} | row_jobs(ROWS)
        counted = row_jobs([row for row in ROWS if row["cache"] != "none"])
        expected |= {stage: counted[stage] for stage in ("mix_scores", "prove_row")}
    if file.endswith("gptq.py"):
        expected = {key: value for key, value in expected.items() if key != "train_model"}
    assert planned == {stage: count for stage, count in expected.items() if count}


def test_comment_in_a_module_reruns_nothing(edited):
    assert edited("stages/fairway/stage.py", "\n# a remark\n").planned() == {}


def test_edit_of_what_every_stage_imports_reruns_everything(edited):
    planned = edited("stages/fairway/stage.py", "\nADDED = 1\n").planned()
    assert planned["train_tokenizer"] == planned["encode_corpus"] == 1
    assert planned["train_model"] == SEEDS and planned["aggregate_seeds"] == 1


def test_touched_inputs_rerun_nothing(smoke):
    files = [path for path in smoke.file("").rglob("*") if path.is_file()]
    times = {path: path.stat() for path in files}
    try:
        for path in files:
            os.utime(path)
            time.sleep(0.001)
        assert smoke.planned() == {}
    finally:
        for path, stat in times.items():
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_lost_snakemake_records(without_records):
    assert without_records.planned() == {}
    override = {"gates": {"uniform": {"threshold": 3.5}}}
    assert without_records.planned(override) == row_jobs(rows_with("gate", "uniform"))


def test_deleted_intermediate_is_reported_and_rebuilt(smoke, tmp_path):
    name = "results/counts/hashed7/rank1.npz"
    original = (smoke.directory / name).read_bytes()
    (smoke.directory / name).unlink()
    done = smoke.run("--dry-run")
    assert f"{name} is missing; add it to the same command to make it again" in done.stdout
    done = smoke.run("--", name)
    assert done.returncode == 0, done.stdout
    assert (smoke.directory / name).read_bytes() == original
    assert smoke.planned() == {"aggregate_seeds": 1}, "rebuilt bit for bit; only its time is new"
    assert smoke.run().returncode == 0
