"""Results that are not the configuration's are found by content, whatever their times say.

Dry-runs on the finished smoke run; what is changed is put back.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workflow.conftest import Workflow, job_counts
from workflow.test_interruptions import flipped, launch
from workflow.test_reruns import MODEL_JOBS, SEEDS, SIZES, row_jobs, rows_with

OTHER_GATE = {"gates": {"uniform": {"threshold": 3.5}}}
OTHER_GATE_JOBS = row_jobs(rows_with("gate", "uniform"))
TRAINED = rows_with("model", "ebls")
FIRST, SECOND = (f"models/ebls/seed{seed}" for seed in SIZES["seeds"])


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@contextmanager
def changed(path: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """Within, a file has another content of the same age."""
    content, stat = path.read_bytes(), path.stat()
    try:
        path.write_bytes(change(content))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_times_in_the_future_hide_nothing(without_records):
    files = [path for path in without_records.file("").rglob("*") if path.is_file()]
    times = {path: path.stat() for path in files}
    later = time.time() + 7200
    try:
        for path in files:
            os.utime(path, (later, later))
        assert without_records.planned() == {}
        assert without_records.planned(OTHER_GATE) == OTHER_GATE_JOBS
    finally:
        for path, stat in times.items():
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_reading_and_a_refused_run_write_nothing_that_a_running_one_reads(smoke):
    before = snapshot(smoke.file(""))
    done = smoke.run("--dry-run", override=OTHER_GATE)
    assert job_counts(done.stdout) == OTHER_GATE_JOBS | {"write_specs": 1}
    smoke.run("--summary", override=OTHER_GATE)
    lock = smoke.directory / ".snakemake" / "locks" / "0.output.lock"
    lock.write_text("results/summary.csv")
    try:
        assert "cannot be locked" in smoke.run(override=OTHER_GATE).stdout
    finally:
        lock.unlink()
    assert snapshot(smoke.file("")) == before


def test_fewer_seeds_without_records(without_records):
    planned = without_records.planned({"seeds": SIZES["seeds"][:1]})
    rows = dict.fromkeys(("pack_row", "audit_row"), len(TRAINED))
    assert planned == rows | {"aggregate_seeds": 1}


def test_touched_files_are_still_of_the_other_settings(without_records):
    copy = without_records.directory / "touched"
    shutil.copytree(without_records.file(""), copy / "results")
    workflow = Workflow(copy)
    planned = workflow.planned(OTHER_GATE)
    workflow.run("--touch", override=OTHER_GATE)
    assert workflow.planned(OTHER_GATE) == planned == OTHER_GATE_JOBS
    shutil.rmtree(copy)


def test_audit_of_another_training_is_made_again(smoke):
    with changed(smoke.file("rows/neural/audit.json"), flipped):
        assert smoke.planned() == {"audit_row": 1, "aggregate_seeds": 1}


def test_model_of_another_seed_is_trained_again(smoke, tmp_path):
    kept = shutil.copytree(smoke.file(SECOND), tmp_path / "kept")
    try:
        shutil.copytree(smoke.file(FIRST), smoke.file(SECOND), dirs_exist_ok=True)
        one = {stage: count // SEEDS for stage, count in MODEL_JOBS.items()}
        rows = dict.fromkeys(("pack_row", "mix_scores", "audit_row"), len(TRAINED))
        rows["aggregate_seeds"] = 1
        assert smoke.planned() == one | rows
    finally:
        shutil.copytree(kept, smoke.file(SECOND), dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("name", "stage", "count"),
    [
        (f"{FIRST}/quantized.safetensors", "quantize_model", 1),
        ("corpus/train.bin", "encode_corpus", 1),
        ("summary.csv", "aggregate_seeds", 1),
    ],
)
def test_damaged_file_is_made_again(smoke, name, stage, count):
    with changed(smoke.file(name), flipped):
        planned = smoke.planned()
    assert planned[stage] == count
    assert "train_model" not in planned or stage == "encode_corpus"


def test_damaged_spec_hides_no_job(smoke):
    """Its job waits for it to be written, whatever else that job is to be run for."""
    spec, report = smoke.spec("quantize_model", "ebls"), smoke.file(f"{FIRST}/quantize.json")
    content, kept = spec.read_bytes(), report.read_bytes()
    try:
        spec.write_bytes(flipped(content))
        target = f"results/{FIRST}/quantize.json"
        report.unlink()
        planned = job_counts(smoke.run("--dry-run", "--", target).stdout)
        assert planned == {"write_specs": 1, "quantize_model": 1}
        with changed(smoke.file(f"{FIRST}/checkpoint.safetensors"), flipped):
            spec.write_bytes(flipped(content))
            assert smoke.planned()["quantize_model"] == SEEDS, "all that wait for the spec"
    finally:
        spec.write_bytes(content)
        report.write_bytes(kept)


def test_tables_that_are_not_this_configurations_are_not_printed(smoke):
    override = smoke.directory / "other.yaml"
    override.write_text("gates: {uniform: {threshold: 3.5}}")
    done = launch(smoke, override, "--until", "train_tokenizer")
    assert done.returncode == 0 and "| row |" not in done.stdout
    assert "no table: results/provenance/" in done.stdout
    done = launch(smoke, "--until", "train_tokenizer")
    assert "| row |" in done.stdout, "found up to date"
    assert "| row |" not in launch(smoke, "--filegraph").stdout
