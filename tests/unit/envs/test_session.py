"""What ends ./run ends the run and its jobs; the exit code says what it was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from support.configs import ROOT

PROGRAM = f"""
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has told the tests to ignore
sys.path.insert(0, {str(ROOT / "envs")!r})
import session
session.GRACE = float(sys.argv[1])
sys.exit(session.run_to_end(sys.argv[2:]))
"""
# A shell whose child notes how it ended, as Snakemake's jobs do; $0 is the file they tell.
JOB = """
import pathlib, sys, time
try:
    pathlib.Path(sys.argv[1]).write_text("started")
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).write_text("cleaned up")
"""
STUBBORN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);" + JOB


def start(command: list[str], grace: float = 20, **options) -> subprocess.Popen:
    words = [sys.executable, "-c", PROGRAM, str(grace), *command]
    return subprocess.Popen(words, text=True, stderr=subprocess.PIPE, **options)


def shell(file: Path, job: str) -> list[str]:
    return ["bash", "-c", f"set -e; '{sys.executable}' -c '{job}' {file}; true"]


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def left_of(file: Path) -> list[psutil.Process]:
    """Processes that still have the file on their command line."""
    found = psutil.process_iter(["cmdline", "status"])
    return [p for p in found if str(file) in " ".join(p.info["cmdline"] or [])]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_everything_and_is_the_exit_code(tmp_path, number):
    process = start(shell(tmp_path / "told", JOB))
    wait_for(tmp_path / "told")
    process.send_signal(number)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 128 + number
    assert errors.splitlines()[-1] == f"ended by {number.name}"
    assert (tmp_path / "told").read_text() == "cleaned up"
    assert left_of(tmp_path / "told") == []


def test_signal_that_a_script_s_background_ignores_does_not_keep_a_run_from_ending(tmp_path):
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = start(shell(tmp_path / "told", JOB), preexec_fn=ignore)
    wait_for(tmp_path / "told")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    assert (tmp_path / "told").read_text() == "cleaned up"


def test_what_does_not_end_by_itself_is_killed(tmp_path):
    process = start(shell(tmp_path / "told", STUBBORN), grace=0.5)
    wait_for(tmp_path / "told")
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    assert left_of(tmp_path / "told") == []


@pytest.mark.parametrize(("ending", "code"), [("exit 3", 3), ("kill -9 $$", 128 + 9)])
def test_exit_code_is_the_command_s(ending, code):
    assert start(["sh", "-c", ending]).wait(20) == code


def test_a_stopped_run_is_stopped_whole_and_goes_on(tmp_path):
    process = start(shell(tmp_path / "told", JOB))
    wait_for(tmp_path / "told")
    process.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    deadline = time.monotonic() + 20  # the job may stop a moment later
    while left_of(tmp_path / "told")[-1].status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGCONT)
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    assert (tmp_path / "told").read_text() == "cleaned up"
