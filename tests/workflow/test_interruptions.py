"""Damage in the middle of a run: the next one recovers, or stops with one line that says how."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.interpreters import interpreter_with
from workflow.conftest import ROOT, SMOKE, Workflow, environment, job_counts
from workflow.test_failures import child_command

ONE_ROW = "results/rows/hashed7/seed2024.json"


def launch_command(
    workflow: Workflow, *arguments: str | Path, python: str | Path = sys.executable
) -> list[str | Path]:
    """./run on the smoke configuration, with more arguments behind it."""
    command = [python, ROOT / "envs/launch.py", "--directory", workflow.directory]
    return [*command, "--configfile", SMOKE, *arguments]


def launch(
    workflow: Workflow,
    *arguments: str | Path,
    python: str | Path = sys.executable,
    **options: Any,
) -> subprocess.CompletedProcess:
    """That command, run to its end; output and errors together in stdout."""
    command = launch_command(workflow, *arguments, python=python)
    options = {"env": environment(), "text": True} | options
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def flipped(content: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def truncated(content: bytes) -> bytes:
    """The second half is gone."""
    return content[: len(content) // 2]


def errors(output: str) -> list[str]:
    """What stages said of themselves in the logs that a failing run shows."""
    return [line for line in output.splitlines() if re.match(r"\w+\.py: error: ", line)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage", "target"),
    [
        ("models/ebls/seed2024/artifact.bin", flipped, "results/models/ebls/seed2024/audit.npz"),
        ("counts/hashed7/rank1.npz", truncated, ONE_ROW),
    ],
    ids=["artifact", "counts"],
)
def test_damaged_file_is_made_again_whatever_its_time(spare, name, damage, target):
    path, after = spare.file(name), spare.directory / target
    content, stat, made = path.read_bytes(), path.stat(), numbers_of(after)
    path.write_bytes(damage(content))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    done = launch(spare, "--", target)
    assert done.returncode == 0 and "Traceback" not in done.stdout
    assert path.read_bytes() == content and numbers_of(after) == made


def numbers_of(path: Path) -> object:
    """A file's content, but of a row's sums without times."""
    if path.suffix == ".json":
        return [one["nats"] for one in json.loads(path.read_text())["sums"]]
    return path.read_bytes()


KILL_BEFORE_RENAME = """
import os, signal, sys

def kill(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("rank1.json"):
        os.kill(os.getpid(), signal.SIGKILL)

if any(word.endswith("score_targets.py") for word in sys.orig_argv):
    sys.addaudithook(kill)
"""


@pytest.mark.slow
def test_scoring_rank_killed_between_its_outputs_is_the_only_job_to_rerun(spare, tmp_path):
    """SIGKILL when the rank's scores are there, its stats only under their temporary name."""
    python = interpreter_with(tmp_path / "python", KILL_BEFORE_RENAME)
    folder = spare.file("models/ebls/seed2024/scores")
    before = {path: path.read_bytes() for path in sorted(folder.glob("*.npz"))}
    for path in list(folder.iterdir()):
        path.unlink()
    targets = [f"results/{path.relative_to(spare.file(''))}" for path in before]
    done = launch(spare, "--", *targets, python=python)
    assert done.returncode != 0 and "rank=1" in done.stdout and "Traceback" not in done.stdout
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert left == {"rank0.npz", "rank0.json"}
    assert job_counts(spare.run("--dry-run", "--", *targets).stdout) == {"score_targets": 1}
    assert launch(spare, "--", *targets).returncode == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_full_disk_is_one_line_and_leaves_nothing_half_written(spare):
    """Files end at half of a count shard; Snakemake's own are smaller."""
    folder = spare.file("counts/hashed7")
    before = {path: path.read_bytes() for path in folder.glob("rank*.npz")}
    for path in [*before, folder / "stats.json"]:
        path.unlink()
    limit = len(before[folder / "rank0.npz"]) // 2

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    name = "results/counts/hashed7/stats.json"
    done = launch(spare, "--", name, preexec_fn=fill)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    shard = "results/counts/hashed7/rank0.npz"
    message = f"count_ngrams.py: error: {shard}: cannot write: File too large"
    assert errors(done.stdout) == [message]
    assert spare.file("logs/count_ngrams/hashed7.log").read_text().count(message) == 1
    assert [path.name for path in folder.iterdir()] == ["audit.npz"]
    assert launch(spare, "--", name).returncode == 0
    assert {path: path.read_bytes() for path in before} == before


def test_second_run_waits_for_the_first_and_finds_nothing_to_do(smoke):
    table = smoke.file("ablation.md").read_text()
    smoke.file("summary.csv").unlink()
    pipes = {"env": environment(), "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    first = subprocess.Popen(launch_command(smoke), text=True, **pipes)
    job = wait_for_job(first, "aggregate_seeds.py")
    try:
        second = subprocess.Popen(launch_command(smoke), text=True, **pipes)
        said = second.stdout.readline()
        assert said == f"another run is at work in {smoke.directory}; waiting for it\n"
        assert first.poll() is None and not smoke.file("summary.csv").exists()
    finally:
        job.resume()
    output, waited = first.communicate(timeout=120)[0], second.communicate(timeout=120)[0]
    assert (first.returncode, second.returncode) == (0, 0)
    assert "aggregate_seeds" in output and "Nothing to be done" in waited
    assert table in output and table in waited


@pytest.mark.slow
def test_killed_snakemake_leaves_nothing_that_the_next_run_cannot_mend(spare):
    override, counts = (
        {"caches": {"exact15": {"max_order": 9}}},
        "results/counts/exact15/stats.json",
    )
    command = spare.command("--", counts, override=override)
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    job = wait_for_job(process, "count_ngrams.py")
    shell = job.parent()
    process.kill()
    process.wait()
    changed = spare.directory / "override.yaml"
    done = launch(spare, changed, "--", counts)
    assert done.returncode != 0 and "is in use by pid" in done.stdout
    job.kill()
    psutil.wait_procs([job, shell], timeout=60)
    done = launch(spare, changed, "--", counts)
    assert done.returncode == 0 and "removing the lock" in done.stdout, done.stdout
    planned = spare.planned(override)
    assert "count_ngrams" not in planned and planned["audit_cache"] == 1


def wait_for_job(snakemake: subprocess.Popen, script: str) -> psutil.Process:
    """The first process that runs this stage, stopped where it is so that it cannot end."""
    while snakemake.poll() is None:
        for child in psutil.Process(snakemake.pid).children(recursive=True):
            if "".join(child_command(child)[1:2]).endswith(script):
                child.suspend()
                return child
        time.sleep(0.02)
    raise AssertionError(f"snakemake ended before {script} was seen")
