"""Real training processes: world sizes that agree, kills that do not show, errors that end."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from fairway.training.checkpoints import Checkpoint
from support.tiny_training import (
    read_metrics,
    run_stage,
    stage_command,
    start_stage,
    write_corpus,
    write_spec,
)

LOSS_TOLERANCE = 1e-4  # nats per token, over 12 steps; 5e-7 was seen
WEIGHT_TOLERANCE = 1e-3  # of each tensor's norm
LONG = {  # rounding of weights multiplies differences, so only the last four steps have it
    **{"steps": 60, "warmdown_steps": 50, "qat_below": 0.1},
    **{"checkpoint_every": 7, "log_every": 3},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of one process, never interrupted."""
    return finished_run(corpus, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def long(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with more steps, and states to resume from on the way."""
    return finished_run(corpus, tmp_path_factory.mktemp("long"), **LONG)


def finished_run(corpus: Path, folder: Path, **training: Any) -> Path:
    code, errors = run_stage(write_spec(folder / "spec.json", **training), corpus, folder)
    assert code == 0, errors
    return folder


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(folder) if "loss" in line]


def torchrun(processes: int, spec: Path, corpus: Path, folder: Path) -> tuple[int, str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *launcher, *stage_command(spec, corpus, folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def assert_same_training(folder: Path, reference: Path) -> None:
    assert losses(folder) == pytest.approx(losses(reference), abs=LOSS_TOLERANCE)
    found, expected = (
        Checkpoint.load(place / "checkpoint.safetensors").tensors for place in (folder, reference)
    )
    for name, tensor in expected.items():
        distance = torch.linalg.vector_norm(found[name] - tensor)
        assert distance <= WEIGHT_TOLERANCE * torch.linalg.vector_norm(tensor), name


def assert_identical(folder: Path, reference: Path) -> None:
    name = "checkpoint.safetensors"
    assert (folder / name).read_bytes() == (reference / name).read_bytes()
    assert losses(folder) == losses(reference)
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".json") == [
        "checkpoint.safetensors",
        "metrics.jsonl",
    ]  # no resume file, nothing temporary


def test_one_process_gives_the_same_bytes_again(corpus: Path, alone: Path, tmp_path: Path) -> None:
    assert_identical(finished_run(corpus, tmp_path), alone)
    assert len(losses(alone)) == 12 and losses(alone)[-1] < losses(alone)[0] - 0.5


def test_four_processes_of_its_own_see_the_same_batches(
    corpus: Path, alone: Path, tmp_path: Path
) -> None:
    assert_same_training(finished_run(corpus, tmp_path, world_size=4), alone)


def test_two_processes_of_torchrun_see_the_same_batches(
    corpus: Path, alone: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.json", world_size=2)
    code, errors = torchrun(2, spec, corpus, tmp_path)
    assert code == 0, errors
    assert_same_training(tmp_path, alone)


def test_torchrun_with_another_count_than_the_spec_is_refused(
    corpus: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.json", world_size=2)
    code, errors = torchrun(1, spec, corpus, tmp_path)
    assert code != 0
    assert "error: training.world_size: 2; launched with 1 processes" in errors


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, "ended before it was there"
        time.sleep(0.01)


def test_a_killed_training_resumes_to_the_same_bytes(
    corpus: Path, long: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.json", **LONG)
    with start_stage(spec, corpus, tmp_path) as process:
        wait_for(tmp_path / "resume.safetensors", process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "checkpoint.safetensors").exists()
    for file in tmp_path.glob(".*.tmp*"):  # a write that the kill interrupted
        file.unlink()
    code, errors = run_stage(spec, corpus, tmp_path)
    assert code == 0 and "resuming after step " in errors
    assert_identical(tmp_path, long)
    assert [line.get("step") for line in read_metrics(tmp_path)] == [*range(3, 61, 3), None]


def test_a_loss_that_is_not_finite_ends_all_processes_in_one_line(
    corpus: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.json", world_size=2, scalar_lr=1e30, warmup_steps=0)
    code, errors = run_stage(spec, corpus, tmp_path)
    assert code == 2
    assert errors.count("\n") == 1 and "train_model.py: error: training step 2: loss" in errors
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_killed_process_ends_the_others_in_one_line_and_all_resume_together(
    corpus: Path, long: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.json", world_size=2, **LONG)
    with start_stage(spec, corpus, tmp_path) as process:
        wait_for(tmp_path / "resume.safetensors", process)
        ranks = psutil.Process(process.pid).children()
        victim = next(rank for rank in ranks if rank.environ().get("RANK") == "1")
        victim.kill()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "train_model.py: error: rank 1 of 2 ended with signal SIGKILL" in errors
    assert not psutil.wait_procs(ranks, timeout=10)[1]
    assert not (tmp_path / "checkpoint.safetensors").exists()
    code, errors = run_stage(spec, corpus, tmp_path)
    assert code == 0, errors
    (step,) = re.findall(r"^resuming after step (\d+)$", errors, re.MULTILINE)  # said once
    assert int(step) > 0 and int(step) % LONG["checkpoint_every"] == 0
    assert [line.get("step") for line in read_metrics(tmp_path)] == [*range(3, 61, 3), None]
    assert_same_training(tmp_path, long)


def test_processes_do_not_outlive_their_launcher(corpus: Path, tmp_path: Path) -> None:
    spec = write_spec(
        tmp_path / "spec.json", world_size=2, steps=100_000, checkpoint_every=2, log_every=100_000
    )
    with start_stage(spec, corpus, tmp_path) as process:
        wait_for(tmp_path / "resume.safetensors", process)
        ranks = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        assert not psutil.wait_procs(ranks, timeout=30)[1]
        process.communicate()
