"""Killed jobs, failing seeds, limits: one clear line, nothing half-written, nothing else lost."""

import subprocess
import time

import psutil

from workflow.conftest import Workflow, environment, job_counts


def start_and_kill(workflow: Workflow, override: dict, targets: list[str], *words: str) -> str:
    """Run snakemake and SIGKILL the first job whose command line has all `words`."""
    command = workflow.command("--", *targets, override=override)
    process = subprocess.Popen(
        command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            line = child_command(child)
            if line[:1] != ["/bin/sh"] and "bash" not in line[0:1] and has_all(line, words):
                child.kill()
                return process.communicate(timeout=120)[0]
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no job with {words} was seen: {process.communicate()[0]}")


def child_command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def has_all(line: list[str], words: tuple[str, ...]) -> bool:
    """Whether this is the job itself (its arguments are the words), not a shell around it."""
    return all(any(word == part or part.endswith(word) for part in line) for word in words)


def test_killed_job_is_the_only_one_to_rerun(spare):
    override, counts = {"caches": {"hashed15": {"buckets": 1024}}}, "counts/hashed15/stats.json"
    assert spare.planned(override)["count_ngrams"] == 1
    start_and_kill(spare, override, [f"results/{counts}"], "count_ngrams.py", f"results/{counts}")
    assert not list(spare.file("counts/hashed15").glob(".*")), "nothing half-written"
    done = spare.run("--", f"results/{counts}", override=override)
    assert done.returncode == 0, done.stdout
    assert job_counts(done.stdout) == {"count_ngrams": 1}
    assert "count_ngrams" not in spare.planned(override)


def test_failing_seed_does_not_lose_the_others(smoke):
    override = {"seeds": [1337, 2024, 2025]}
    kept = {p: p.read_bytes() for p in smoke.file("models").rglob("seed*/checkpoint.safetensors")}
    assert len(kept) == 2
    output = start_and_kill(smoke, override, [], "train_model.py", "2025")
    assert "train_model" in output
    planned = smoke.planned(override)
    assert planned["train_model"] == 1 and all(p.read_bytes() == kept[p] for p in kept)
    assert smoke.planned() == {}, "the first two seeds still have their table"


def test_artifact_over_the_limit_fails_with_its_ledger(spare):
    """It was forecast to fit, and the room left for code makes it a byte too large."""
    artifact = "results/models/ebls/seed1337/artifact.bin"
    limit = spare.file("models/ebls/seed1337/artifact.bin").stat().st_size + 80_000
    done = spare.run("--", artifact, override={"limits": {"artifact_bytes": limit}})
    assert done.returncode != 0
    log = spare.file("logs/pack_artifact/ebls.seed1337.log").read_text()
    assert "room_bytes" in log and "packed" in log and "error:" in log.splitlines()[-1]
    assert f"{limit:,}" in done.stdout and f"{limit:,}" in log.splitlines()[-1]
    assert not (spare.directory / artifact).exists()


def test_a_row_over_the_limit_is_not_mixed(spare):
    """Its memory fits, with its code it does not."""
    memory = spare.file("memories/training.bin").stat().st_size
    override = {"limits": {"artifact_bytes": memory + 1000}}
    done = spare.run("--", "results/rows/memory_only/seed0.json", override=override)
    assert done.returncode != 0 and "(Rule: mix_scores)" not in done.stdout
    log = spare.file("logs/pack_row/memory_only.log").read_text()
    assert f'"memory_bytes": {memory}' in log and '"bundle_bytes"' in log
    assert f"row memory_only: {memory:,} bytes" not in log
    assert f"expected less than limits.artifact_bytes, {memory + 1000:,}" in log
    assert not spare.file("rows/memory_only/ledger.json").exists()


def test_text_too_short_for_the_windows_stops_before_the_training(tmp_path):
    fresh = Workflow(tmp_path)
    override = {"corpus": {"val_fraction": 0.002}, "ranks": 64, "windows": {"stride": 64}}
    done = fresh.run(
        "--", "results/models/ebls/seed1337/checkpoint.safetensors", override=override
    )
    assert done.returncode != 0
    assert "encode_corpus.py: error: ranks: 64; the validation text has only " in done.stdout
    assert not fresh.file("models").exists()


def test_unknown_config_key_is_one_line(smoke):
    done = smoke.run("--dry-run", override={"gates": {"uniform": {"treshold": 1.0}}})
    lines = [line for line in done.stdout.splitlines() if "treshold" in line]
    assert done.returncode != 0 and len(lines) == 1
    assert "did you mean `threshold`" in lines[0] and "Traceback" not in done.stdout
