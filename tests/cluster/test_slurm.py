"""The smoke run through Slurm: same table as here, a GPU per rank, cancelled jobs again."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from cluster.slurm import ROOT, Slurm, Unavailable, running, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"
# One seed and two rows, for time: Slurm and Snakemake's polling take seconds for every job. Two
# processes in one training job, as eight would be on a real node.
OVERRIDE = {
    "seeds": [1337],
    "models": {"ebls": {"training": {"world_size": 2}}},
    "rows": [
        {"name": "neural", "model": "ebls", "cache": "none", "gate": "none"},
        {"name": "exact15_bayes", "model": "ebls", "cache": "exact15_orders", "gate": "bayes"},
    ],
}
CANCELLED = "train_model"


@dataclass(frozen=True)
class Run:
    """A finished run: its working directory and what Snakemake printed."""

    directory: Path
    output: str

    def jobs(self, rule: str) -> list[str]:
        """Slurm's numbers of a rule's jobs, in the order of submission."""
        return re.findall(rf"SLURM jobid (\d+) \(log: \S*/rule_{rule}/", self.output)

    def read(self, pattern: str) -> dict[str, Path]:
        """Result files that match a pattern, by their path under results."""
        results = self.directory / "results"
        return {str(p.relative_to(results)): p for p in sorted(results.glob(pattern))}


def launch(
    directory: Path, *arguments: str, env: dict[str, str], python: Path | str = sys.executable
) -> Run:
    """Run the smoke configuration as ./run does."""
    override = directory / "override.yaml"
    override.write_text(yaml.safe_dump(OVERRIDE))
    command = [str(python), str(ROOT / "envs" / "launch.py"), "--directory", str(directory)]
    command += ["--configfile", str(ROOT / "config" / "smoke.yaml"), str(override), *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return Run(directory, done.stdout)


def profile_with_gpus(folder: Path) -> Path:
    """The Slurm profile, but training and scoring ask for GPUs although they run on the CPU."""
    profile = yaml.safe_load(PROFILE.read_text())
    profile["set-resources"]["train_model"]["gpu"] = 8
    profile["set-resources"]["score_targets"]["gpu"] = 1
    profile |= {"slurm-init-seconds-before-status-checks": 10, "latency-wait": 10}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    return folder


def cancel_one(slurm: Slurm, finished: threading.Event) -> None:
    """Cancel the first job of the rule CANCELLED as soon as it runs."""
    while not finished.is_set():
        jobs = slurm.ask("squeue", "--noheader", "--states=RUNNING", "--format=%i %k")
        for line in jobs.splitlines():
            number, comment = line.split(maxsplit=1)
            if comment.startswith(f"rule_{CANCELLED}"):
                slurm.ask("scancel", number)
                return
        time.sleep(0.2)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    try:
        with running() as started:
            yield started
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def local(slurm, tmp_path_factory) -> Run:
    """The same run without Slurm, on the same machine."""
    return launch(tmp_path_factory.mktemp("local"), "--cores", "2", env=dict(os.environ))


@pytest.fixture(scope="module")
def remote(slurm, tmp_path_factory) -> Run:
    """The run through Slurm, with one training job cancelled on the way."""
    profile = profile_with_gpus(tmp_path_factory.mktemp("profiles") / "slurm")
    finished = threading.Event()
    canceller = threading.Thread(target=cancel_one, args=(slurm, finished))
    canceller.start()
    try:
        directory = tmp_path_factory.mktemp("remote")
        arguments = "--workflow-profile", str(profile)
        return launch(directory, *arguments, env=slurm.environment, python=slurm.python)
    finally:
        finished.set()
        canceller.join()


def test_same_table_and_scores_as_without_slurm(local, remote):
    tables = [pd.read_csv(run.directory / "results" / "summary.csv") for run in (local, remote)]
    timeless = [t.drop(columns=[c for c in t if "seconds" in c]) for t in tables]
    assert len(timeless[0]) == len(OVERRIDE["rows"])
    pd.testing.assert_frame_equal(*timeless, check_exact=True)
    scores = [run.read("models/*/*/scores/*.npz") for run in (local, remote)]
    assert scores[0].keys() == scores[1].keys() and len(scores[0]) == 2
    for name, path in scores[0].items():
        here, there = np.load(path), np.load(scores[1][name])
        for key in ("nll", "entropy"):
            assert np.array_equal(here[key], there[key]), (name, key)


def test_each_job_gets_its_gpus(slurm, remote):
    devices = slurm.devices()
    every = ",".join(map(str, range(8)))
    assert {devices[job] for job in remote.jobs("train_model")} == {every}
    scoring = [devices[job] for job in remote.jobs("score_targets")]
    assert sorted(scoring) == ["0", "1"], "two ranks at once, one GPU each"
    for rule in ("encode_corpus", "count_ngrams", "mix_scores"):
        assert {devices[job] for job in remote.jobs(rule)} == {"-"}


def test_cancelled_job_is_tried_again_with_twice_the_limits(slurm, remote):
    assert "SLURM status is: 'CANCELLED'" in remote.output
    jobs = remote.jobs(CANCELLED)
    assert len(jobs) == 2
    limits = [re.search(r"TimeLimit=(\S+)", slurm.ask("scontrol", "show", "job", j)) for j in jobs]
    assert [limit[1] for limit in limits] == ["00:30:00", "01:00:00"]


def test_nothing_to_do_without_slurm_afterwards(remote):
    again = launch(remote.directory, "--cores", "2", "--dry-run", env=dict(os.environ))
    assert "Nothing to be done" in again.output


def test_all_that_was_started_is_stopped_after_an_error(slurm):
    before = {process.pid for process in psutil.process_iter()}
    with pytest.raises(ZeroDivisionError), running() as second:
        ours = [p.pid for p in psutil.process_iter() if str(second.folder) in " ".join(line(p))]
        assert len(ours) >= 3, "munged, slurmctld, slurmd"
        second.ask("sbatch", "--output=/dev/null", "--wrap", "sleep 600")
        assert wait_until(lambda: second.processes() != [], 20), "the job runs"
        raise ZeroDivisionError
    left = [p for p in psutil.process_iter() if str(second.folder) in " ".join(line(p))]
    assert left == [] and second.processes() == []
    assert not second.folder.exists()
    assert {process.pid for process in slurm.processes()} <= before, "the other one is untouched"
    assert "idle" in slurm.ask("sinfo", "--noheader")


def line(process: psutil.Process) -> list[str]:
    """Command line of a process, empty if it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
