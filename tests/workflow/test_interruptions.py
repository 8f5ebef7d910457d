"""Damage in the middle of a run: the next one recovers, or stops with one line that says how."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil

from workflow.conftest import ROOT, SMOKE, Workflow, environment
from workflow.test_failures import child_command


def launch(workflow: Workflow, *arguments: str) -> subprocess.CompletedProcess:
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
    assert done.returncode == 0 and f"`./run {name}` makes it again" in done.stdout
    missing = re.findall(r"`./run (\S+)` makes it again", done.stdout)
    assert launch(smoke, "--", *missing).returncode == 0
    assert path.read_bytes() == content
    assert launch(smoke).returncode == 0
    assert smoke.planned() == {}


def test_killed_snakemake_leaves_nothing_that_the_next_run_cannot_mend(smoke):
    override = {"caches": {"exact15": {"max_order": 9}}}
    before = smoke.file("summary.csv").read_text()
    command = smoke.command(override=override)
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    orphans = []
    while process.poll() is None and not orphans:
        children = psutil.Process(process.pid).children(recursive=True)
        orphans = [
            c for c in children if any("count_ngrams.py" in w for w in child_command(c)[1:2])
        ]
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert orphans, "the job was never seen"
    if orphans[0].is_running() and orphans[0].status() != psutil.STATUS_ZOMBIE:
        done = launch(smoke)
        assert done.returncode != 0 and "is in use by pid" in done.stdout
    psutil.wait_procs(orphans, timeout=60)
    done = launch(smoke)
    assert done.returncode == 0 and "removing the lock" in done.stdout, done.stdout
    assert smoke.planned() == {}
    columns = [line.split(",")[:12] for line in smoke.file("summary.csv").read_text().splitlines()]
    assert columns == [line.split(",")[:12] for line in before.splitlines()]
