"""GPUs go to one process each; without any GPU, since the locks only know names."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairway.machine import devices
from fairway.machine.gpu_locks import hold_free, try_to_hold
from fairway.stage import StageError

NAMES = ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]
HOLDER = """
import sys
from pathlib import Path
from fairway.machine.gpu_locks import hold_free
print(*hold_free(sys.argv[3:], int(sys.argv[2]), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A function that starts a process which wants `count` of the GPUs and keeps them."""
    started = []

    def start(count: int, names: list[str] = NAMES) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "locks"), str(count), *names],
            env={"PYTHONPATH": str(Path(devices.__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def indices(process: subprocess.Popen) -> list[int]:
    return [int(word) for word in process.stdout.readline().split()]


def test_processes_at_once_get_different_gpus(holder):
    processes = [holder(1) for _ in NAMES]
    assert sorted(indices(process)[0] for process in processes) == [0, 1, 2, 3]


def test_the_same_gpu_under_another_index_is_known_again(holder):
    assert indices(holder(1, ["GPU-a", "GPU-b"])) == [0]
    assert indices(holder(1, ["GPU-b", "GPU-a"])) == [0]
    assert "waiting for 1 of 1 GPUs" in holder(1, ["GPU-a"]).stderr.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_waiting_process_goes_on_when_the_holder_is_killed(holder, number):
    first = holder(3)
    assert indices(first) == [0, 1, 2]
    second = holder(2)
    assert second.stderr.readline() == "waiting for 2 of 4 GPUs: others hold them\n"
    first.send_signal(number)
    assert indices(second) == [0, 1]


def test_too_few_free_ones_are_left_to_others(holder, tmp_path):
    assert indices(holder(3)) == [0, 1, 2]
    place = os.open(tmp_path / "locks", os.O_RDONLY)
    assert try_to_hold(NAMES, 2, place) == []
    os.close(place)
    assert indices(holder(1)) == [3]


def test_more_than_there_are_is_one_clear_error(tmp_path):
    with pytest.raises(StageError, match="2 GPUs wanted, this machine has 1"):
        hold_free(["GPU-a"], 2, tmp_path / "locks")


def others_folder(folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root gives folders away")
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)


UNSAFE = {
    "a link": lambda folder: folder.symlink_to("precious"),
    "a file": Path.touch,
    "open to others": lambda folder: (folder.mkdir(), folder.chmod(0o755)),
    "another user's": others_folder,
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_a_folder_that_others_could_have_made_is_refused(tmp_path, kind):
    (tmp_path / "precious").mkdir(mode=0o700)
    UNSAFE[kind](tmp_path / "locks")
    with pytest.raises(StageError, match=r"locks: .*; expected a folder that only this user"):
        hold_free(NAMES, 1, tmp_path / "locks")
    assert not list((tmp_path / "precious").iterdir())


@pytest.mark.parametrize("name", ["taking", "GPU-a"])
def test_links_in_the_folder_are_not_followed(tmp_path, name):
    precious, locks = tmp_path / "precious", tmp_path / "locks"
    precious.write_text("text")
    locks.mkdir(mode=0o700)
    (locks / f"{name}.lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        hold_free(NAMES, 1, locks)
    assert precious.read_text() == "text"


def test_lock_files_keep_what_they_hold(tmp_path):
    (tmp_path / "locks").mkdir(mode=0o700)
    for name in ("taking", "GPU-a"):
        (tmp_path / f"locks/{name}.lock").write_text("text")
    process = subprocess.run(
        [sys.executable, "-c", HOLDER, str(tmp_path / "locks"), "1", *NAMES],
        env={"PYTHONPATH": str(Path(devices.__file__).parents[2])},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert process.stdout == "0\n", process.stderr
    assert {(tmp_path / f"locks/{n}.lock").read_text() for n in ("taking", "GPU-a")} == {"text"}


@pytest.mark.parametrize(("shown", "expected"), [(None, "1,2"), ("5,6,7", "6,7")])
def test_ranks_are_shown_the_held_gpus_only(monkeypatch, shown, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("os.environ", {"CUDA_VISIBLE_DEVICES": shown} if shown else {})
    devices.show_gpus([1, 2])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
