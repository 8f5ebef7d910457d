"""Real training processes: world sizes that agree, kills that do not show, errors that end."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
import torch

from fairway.stage import StageError
from fairway.training.checkpoints import Checkpoint
from fairway.training.processes import Place, joined
from fairway.training.settings import TrainingSettings
from support.tiny_training import (
    TRAINING,
    read_metrics,
    run_stage,
    stage_command,
    start_stage,
    write_corpus,
    write_spec,
)

LOSS_TOLERANCE = 1e-4  # nats per token, over 12 steps; 5e-7 was seen
WEIGHT_TOLERANCE = 1e-3  # of each tensor's norm
# fake quantisation multiplies differences: the rounding of sums can move a weight over a step of
# its scale; so only the last step has it, and of the long ones the last four
SHORT = {"qat_below": 0.2}
LONG = {
    **{"steps": 60, "warmdown_steps": 50, "qat_below": 0.1},
    **{"checkpoint_every": 7, "log_every": 3},
}

UNTIL_KILLED = {"world_size": 2, "steps": 100_000, "checkpoint_every": 2, "log_every": 100_000}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of one process, never interrupted."""
    return finished_run(corpus, tmp_path_factory.mktemp("alone"), **SHORT)


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


def torchrun(spec: Path, corpus: Path, folder: Path) -> tuple[int, str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
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
    assert_identical(finished_run(corpus, tmp_path, **SHORT), alone)
    assert len(losses(alone)) == 12 and losses(alone)[-1] < losses(alone)[0] - 0.5


def test_four_processes_of_its_own_see_the_same_batches(
    corpus: Path, alone: Path, tmp_path: Path
) -> None:
    assert_same_training(finished_run(corpus, tmp_path, world_size=4, **SHORT), alone)


def test_two_processes_of_torchrun_see_the_same_batches(
    corpus: Path, alone: Path, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.json", world_size=2, **SHORT)
    code, errors = torchrun(spec, corpus, tmp_path)
    assert code == 0, errors
    assert_same_training(tmp_path, alone)


def test_another_count_of_launched_processes_than_the_spec_s_is_refused() -> None:
    settings = TrainingSettings.from_settings(TRAINING | {"world_size": 2})
    expected = "training.world_size: 2; launched with 1 processes"
    with pytest.raises(StageError, match=expected), joined(settings, Place(0, 1, 0, 1, 0)):
        pytest.fail("there is one process, and not two")


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, "ended before it was there"
        time.sleep(0.01)


def ranks_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes that a training has started, by rank."""
    children = psutil.Process(process.pid).children()
    started = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    return sorted(started, key=lambda child: child.create_time())


def listening(process: psutil.Process) -> list[str]:
    """The addresses at which a process waits for connections."""
    sockets = process.net_connections(kind="inet")
    return [one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN]


def named(name: str) -> list[str]:
    """What to put before a command so that the machine it runs on has this name."""
    apart = ["unshare", "--user", "--map-root-user", "--uts"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"]).returncode != 0:
        pytest.skip("no other name for a machine without unshare and user namespaces")
    return [*apart, "sh", "-c", 'hostname "$0" && exec "$@"', name]


def test_nothing_of_a_training_can_be_reached_from_elsewhere(corpus: Path, tmp_path: Path) -> None:
    """On a machine whose name is an address by which others reach it, if it has one."""
    found = [one for several in psutil.net_if_addrs().values() for one in several]
    outside = (one.address for one in found if one.family == socket.AF_INET)
    name = next((one for one in outside if not one.startswith("127.")), "localhost")
    spec = write_spec(tmp_path / "spec.json", **UNTIL_KILLED)
    with start_stage(spec, corpus, tmp_path, before=named(name)) as process:
        wait_for(tmp_path / "resume.safetensors", process)
        family = [psutil.Process(process.pid), *ranks_of(process)]
        addresses = [address for one in family for address in listening(one)]
        process.terminate()
        _, errors = process.communicate(timeout=30)
        assert not psutil.wait_procs(family[1:], timeout=10)[1]
    assert len(family) == 3 and addresses, "gloo listens"
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert process.returncode == 2
    assert errors == "train_model.py: error: stopped by SIGTERM\n"


def test_the_machines_name_need_not_resolve(corpus: Path, alone: Path, tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.json", world_size=2, **SHORT)
    with start_stage(spec, corpus, tmp_path, before=named("no-such-machine.invalid")) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert_same_training(tmp_path, alone)


def test_another_machine_whose_name_does_not_resolve_is_one_line() -> None:
    """As torchrun on several nodes starts a rank."""
    place = Place(1, 2, 0, 1, parent=0)
    settings = TrainingSettings.from_settings(TRAINING | {"world_size": 2})
    expected = "rank 1 of 2: cannot join the others at MASTER_ADDR no-such-machine.invalid: "
    with (
        mock.patch.dict("os.environ", MASTER_ADDR="no-such-machine.invalid", MASTER_PORT="1"),
        pytest.raises(StageError, match=expected),
        joined(settings, place),
    ):
        pytest.fail("there is nobody to join")


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
    spec = write_spec(tmp_path / "spec.json", world_size=2, scalar_lr=9e11, warmup_steps=0)
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
        ranks = ranks_of(process)
        ranks[1].kill()
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
    spec = write_spec(tmp_path / "spec.json", **UNTIL_KILLED)
    with start_stage(spec, corpus, tmp_path) as process:
        wait_for(tmp_path / "resume.safetensors", process)
        ranks = ranks_of(process)
        process.kill()
        assert not psutil.wait_procs(ranks, timeout=30)[1]
        process.communicate()
