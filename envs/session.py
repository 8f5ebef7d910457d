"""A command in a session of its own: what ends this program ends it, with all that it started."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from types import FrameType

import psutil

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 30.0  # seconds for jobs to end by themselves


def run_to_end(command: list[str]) -> int:
    """Run a command and return its exit code; 128 + n if signal n ended it, or this program.

    Ctrl-C, SIGTERM and SIGHUP all reach the whole session as Ctrl-C does, whereupon Snakemake
    cancels jobs, also those on a cluster, and stages remove what they have half written. What has
    not ended by then is killed, so nothing is left running. Ctrl-Z stops and continues it all.
    """
    received: list[int] = []
    process: subprocess.Popen | None = None

    def end(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if process is not None:
            send(process.pid, signal.SIGINT)

    def pause(_number: int, _frame: FrameType | None) -> None:
        if process is not None:
            send(process.pid, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            send(process.pid, signal.SIGCONT)

    for number in ENDING:
        is_ignored = signal.getsignal(number) is signal.SIG_IGN  # nohup; a script's background
        # A function in any case: what is ignored would be so in the command as well.
        signal.signal(number, (lambda *_: None) if is_ignored else end)
    signal.signal(signal.SIGTSTP, pause)
    process = subprocess.Popen(command, start_new_session=True)
    if received:  # before there was anything to send it to
        send(process.pid, signal.SIGINT)
    code = wait(process, received)
    if received:
        print(f"ended by {signal.Signals(received[0]).name}", file=sys.stderr)
        return 128 + received[0]
    return 128 - code if code < 0 else code


def wait(process: subprocess.Popen, received: list[int]) -> int:
    """Wait for a command and, once a signal was received, for its whole session."""
    while not received:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=0.2)
    deadline = time.monotonic() + GRACE
    while is_alive(process.pid) and time.monotonic() < deadline:
        process.poll()
        time.sleep(0.05)
    send(process.pid, signal.SIGKILL)
    return process.wait()


def is_alive(session: int) -> bool:
    """Whether any process of a group is left that is not merely waited for."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def send(session: int, number: int) -> None:
    """Send a signal to every process of a group, if one is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, number)
