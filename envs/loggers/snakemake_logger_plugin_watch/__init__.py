"""Snakemake's logger plugin `watch`: on a terminal, what runs, how far it is and what is done.

A line for each job that has ended; below them, a bar over all jobs and, for each that is running,
its rule and key, its time so far and the last line of its log, in which stages write their step,
speed and time left.
"""

import contextlib
import logging
import os
import time
from dataclasses import dataclass
from logging import LogRecord
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_record import job_event

TAIL = 4096  # bytes of a log that hold its last line
REFRESH = 4  # times per second
ABOUT_JOBS = (
    "RuleException:",
    "Exiting because a job execution failed",
    "WorkflowError:\nAt least one job did not complete",
)


@dataclass(frozen=True)
class Job:
    """A job that runs since `start`, in seconds of the clock."""

    name: str
    log: Path | None
    start: float


class View:
    """What is to be seen: jobs as they begin and end, drawn whenever asked."""

    def __init__(self) -> None:
        self.running: dict[int, Job] = {}
        self.done, self.total = 0, 0
        self.start = time.time()

    def take(self, event: dict[str, Any]) -> str | None:
        """Note a job's event; returns the line that remains of one that has ended."""
        number = event["job"]
        if event["event"] == "started":
            logs = [Path(log) for log in event["log"]]
            name = f"{event['rule']} {event['key']}".rstrip()
            self.running[number] = Job(name, logs[0] if logs else None, event["time"])
            return None
        job = self.running.pop(number, None)
        if job is None:
            return None
        line = f"{event['event']:8}  {job.name}  {duration(event['time'] - job.start)}"
        if event["event"] == "failed" and job.log:
            line += f"  {last_line(job.log) or job.log}"
        return line

    def __rich__(self) -> Group:
        now = time.time()
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(self.total, 1), completed=self.done, width=30),
            f"{self.done} of {self.total} jobs, {duration(now - self.start)}",
        )
        jobs = Table.grid(padding=(0, 2), expand=True)
        jobs.add_column(no_wrap=True)
        jobs.add_column(no_wrap=True, justify="right")
        jobs.add_column(no_wrap=True, overflow="ellipsis", style="dim", ratio=1)
        for job in list(self.running.values()):
            said = last_line(job.log) if job.log else ""
            jobs.add_row(Text(job.name), duration(now - job.start), Text(said))
        return Group(bar, jobs)


def duration(seconds: float) -> str:
    """Seconds, or minutes and seconds."""
    whole = round(max(seconds, 0))
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


def last_line(log: Path) -> str:
    """The last line of a file that has something in it; empty if there is none yet."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


class LogHandler(LogHandlerBase):
    """Draws the view in place of Snakemake's own lines, which its log file has."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.view = View()
        self.live = Live(
            get_renderable=lambda: self.view,
            console=self.console,
            refresh_per_second=REFRESH,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def emit(self, record: LogRecord) -> None:
        event = job_event(record)
        if event is not None:
            self.live.start()
            line = self.view.take(event)
            if line:
                self.say(line)
        elif getattr(record, "event", None) == LogEvent.PROGRESS:
            self.view.done, self.view.total = record.done, record.total
        elif getattr(record, "event", None) == LogEvent.RUN_INFO:
            self.view.total = record.stats.get("total", 0)
        elif is_for_all(record):
            self.say(record.getMessage())

    def say(self, line: str) -> None:
        """Print above what is drawn."""
        self.console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        self.live.stop()
        super().close()


def is_for_all(record: LogRecord) -> bool:
    """Whether one of Snakemake's own lines is worth a place on the terminal: warnings, errors.

    Not those on failed jobs, which have lines of their own.
    """
    text = record.getMessage()
    if record.levelno < logging.WARNING:
        return text.startswith("Nothing to be done")
    return not text.startswith(ABOUT_JOBS)
