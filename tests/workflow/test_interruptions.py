"""Damage in the middle of a run: the next one recovers, or stops with one line that says how."""

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil

from workflow.conftest import ROOT, SMOKE, Workflow, environment
from workflow.test_failures import child_command


def launch(workflow: Workflow, *arguments: str | Path) -> subprocess.CompletedProcess:
    """./run on the smoke configuration, with more arguments behind it."""
    command = [sys.executable, ROOT / "envs/launch.py", "--directory", workflow.directory]
    return subprocess.run(
        [*command, "--configfile", SMOKE, *arguments],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_damaged_file_stops_the_run_with_one_line_and_is_made_again(smoke):
    name = "results/models/ebls/seed2024/artifact.bin"
    path = smoke.directory / name
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    done = launch(smoke)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    said = [line for line in done.stdout.splitlines() if ".py: error: " in line]
    assert said and all(f"error: {name}" in line for line in said)
    path.unlink()
    done = launch(smoke)
    assert done.returncode == 0
    missing = re.findall(r"(\S+) is missing; add it to the same command", done.stdout)
    assert name in missing
    assert launch(smoke, *missing).returncode == 0
    assert path.read_bytes() == content
    assert launch(smoke).returncode == 0
    assert smoke.planned() == {}


def test_killed_snakemake_leaves_nothing_that_the_next_run_cannot_mend(smoke):
    override = {"caches": {"exact15": {"max_order": 9}}}
    before = smoke.file("summary.csv").read_text()
    command = smoke.command(override=override)
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    job = wait_for_job(process, "count_ngrams.py")
    shell = job.parent()
    process.kill()
    process.wait()
    changed = smoke.directory / "override.yaml"
    done = launch(smoke, changed)
    assert done.returncode != 0 and "is in use by pid" in done.stdout
    job.kill()
    psutil.wait_procs([job, shell], timeout=60)
    done = launch(smoke, changed)
    assert done.returncode == 0 and "removing the lock" in done.stdout, done.stdout
    assert smoke.planned(override) == {}
    assert launch(smoke).returncode == 0
    assert smoke.planned() == {}
    columns = [line.split(",")[:12] for line in smoke.file("summary.csv").read_text().splitlines()]
    assert columns == [line.split(",")[:12] for line in before.splitlines()]


def wait_for_job(snakemake: subprocess.Popen, script: str) -> psutil.Process:
    """The first process that runs this stage, stopped where it is so that it cannot end."""
    while snakemake.poll() is None:
        for child in psutil.Process(snakemake.pid).children(recursive=True):
            if "".join(child_command(child)[1:2]).endswith(script):
                child.suspend()
                return child
        time.sleep(0.02)
    raise AssertionError(f"snakemake ended before {script} was seen")
