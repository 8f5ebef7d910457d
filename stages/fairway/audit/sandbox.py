"""Other people's code in a process of its own, with limits on time and memory.

Whatever it does there, crash, hang or print, becomes one line that says so. A process that means
harm is not held: it has its user's rights, sees the file system and the network.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from fairway.audit.frames import receive, send
from fairway.stage import StageError

STAGES = Path(__file__).resolve().parents[2]
_SHOWN = 120  # characters of what a scorer printed


class ScorerFailure(Exception):
    """The scorer crashed or hung; in one line, what happened."""


@dataclass(frozen=True)
class Limits:
    """seconds: for an answer on 1,000 tokens or fewer, more in proportion for more tokens.

    memory_gb: address space of a process, in GiB.
    """

    seconds: float = 60.0
    memory_gb: float = 8.0

    def seconds_for(self, tokens: int) -> float:
        """The time that an answer on so many tokens may take."""
        return self.seconds * max(1.0, tokens / 1000)

    def command(self, command: list[str]) -> list[str]:
        """The command under the limit on memory."""
        kibibytes = int(self.memory_gb * 2**20)
        return ["sh", "-c", f'ulimit -v {kibibytes} && exec "$0" "$@"', *command]


def end(process: subprocess.Popen) -> None:
    """Kill a process that leads a session of its own, with its children, and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def describe_end(status: int, errors: str) -> str:
    """One line for how a process ended; errors: what it wrote to standard error."""
    if status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    else:
        how = f"ended with exit code {status}"
    return f"crashed: {how}{_last_line(errors)}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return f": {lines[-1].strip()[:_SHOWN]}" if lines else ""


class Worker:
    """A process that has a scorer from somebody's Python file (`fairway.audit.worker`).

    given: keyword arguments of `make`; offered: more of them, for a `make` that takes them; about:
    what it says of the scorer. Raises ScorerFailure if the file or its `make` crashes,
    StageError if there is no such function.
    """

    def __init__(
        self,
        file: Path,
        function: str,
        vocabulary: int,
        given: dict[str, Any],
        offered: dict[str, Any],
        limits: Limits,
    ) -> None:
        self.limits = limits
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.connection, other = Pipe()
        call = json.dumps([str(file.resolve()), function, vocabulary, given, offered])
        arguments = ["-m", "fairway.audit.worker", str(other.fileno()), call]
        places = [str(STAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            limits.command([sys.executable, *arguments]),
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.errors,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
            start_new_session=True,
        )
        other.close()
        try:
            self.about, _ = self._next("make()", limits.seconds)
        except BaseException:
            self.close()
            raise

    def ask(
        self, do: str, *arrays: np.ndarray, **message: Any
    ) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
        """The answers to a request, one per array, each within the limit on time."""
        try:
            send(self.connection, message | {"do": do}, *arrays)
        except OSError:
            raise ScorerFailure(self._ended()) from None
        sizes = list(map(len, arrays))
        seconds = self.limits.seconds_for(sum(sizes) if do == "batch" else max(sizes))
        for _ in arrays:
            yield self._next(do, seconds)

    def _next(self, what: str, seconds: float) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The next answer; ScorerFailure if there is none in time or it is an error."""
        try:
            if not self.connection.poll(seconds):
                end(self.process)
                raise ScorerFailure(f"hangs: no answer to {what} in {seconds:g} s")
            answer, found = receive(self.connection)
        except (EOFError, OSError, ValueError):
            raise ScorerFailure(self._ended()) from None
        if "missing" in answer:
            raise StageError(answer["missing"])
        if "error" in answer:
            raise ScorerFailure(f"crashed: {answer['error'][: 4 * _SHOWN]}")
        return answer, found

    def _ended(self) -> str:
        try:
            self.process.wait(self.limits.seconds)
        except subprocess.TimeoutExpired:
            end(self.process)
            return "crashed: it broke its connection"
        return describe_end(self.process.returncode, _content(self.errors))

    def printed(self) -> str | None:
        """What the scorer printed so far, in words; None if nothing."""
        lines = _content(self.output).splitlines()
        return f"prints; {len(lines):,} lines, first {lines[0][:_SHOWN]!r}" if lines else None

    def close(self) -> None:
        """End the process."""
        end(self.process)
        self.connection.close()
        self.output.close()
        self.errors.close()


def _content(file: Any) -> str:
    return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")  # moves no position
