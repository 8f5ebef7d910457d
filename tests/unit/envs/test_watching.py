"""What is to be seen on a terminal while jobs run."""

import io
import logging
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from snakemake_interface_logger_plugins.common import LogEvent

from support.configs import ROOT

sys.path.insert(0, str(ROOT / "envs" / "loggers"))
from snakemake_logger_plugin_watch import LogHandler, View, duration, last_line


def started(number: int, rule: str, log: Path, ago: float) -> dict:
    told = {"rule": rule, "key": "seed=1", "log": [str(log)], "time": time.time() - ago}
    return {"event": "started", "job": number} | told


def drawn(view: View, width: int = 80) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width).print(view)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_running_jobs_show_the_last_line_of_their_logs(tmp_path):
    view, log = View(), tmp_path / "train.log"
    view.done, view.total = 3, 12
    view.take(started(1, "train", log, 75))
    assert drawn(view)[1] == "train seed=1  1 min 15 s", "no log yet"
    log.write_text("begins [1/2]\n20/600 steps, 5 steps/s, 116 s left\n\n")
    bar, job = drawn(view)
    assert "3 of 12 jobs, " in bar
    assert job == "train seed=1  1 min 15 s  20/600 steps, 5 steps/s, 116 s left"
    narrow = drawn(view, width=60)[1]
    assert narrow.startswith("train seed=1  1 min 15 s  20/600 steps, ") and narrow.endswith("…")
    assert view.take({"event": "finished", "job": 1, "time": time.time()}) == (
        "finished  train seed=1  1 min 15 s"
    )
    assert len(drawn(view)) == 1


def test_failed_job_says_why(tmp_path):
    view, log = View(), tmp_path / "pack.log"
    log.write_text("pack.py: error: too large\n")
    view.take(started(1, "pack", log, 3))
    line = view.take({"event": "failed", "job": 1, "time": time.time()})
    assert line == "failed    pack seed=1  3 s  pack.py: error: too large"
    assert view.take({"event": "failed", "job": 1, "time": time.time()}) is None


def test_last_line_of_any_log(tmp_path):
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_bytes(b"x" * 100_000 + b"\n\xff a line \n \n")
    assert last_line(log) == "\ufffd a line"


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0 s"), (59.4, "59 s"), (60, "1 min 00 s")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_warnings_and_errors_are_printed_and_snakemake_s_own_lines_are_not(tmp_path):
    handler = LogHandler(None, None)
    output = io.StringIO()
    handler.console = Console(file=output, width=80)
    for level, message, told in (
        (logging.INFO, "Building DAG of jobs...", {}),
        (logging.INFO, "Nothing to be done (all requested files are present).", {}),
        (logging.WARNING, "a file [x] is missing", {}),
        (logging.ERROR, "WorkflowError:\nbad key", {"event": LogEvent.ERROR}),
        (logging.ERROR, "RuleException:\nCalledProcessError in …", {"event": LogEvent.ERROR}),
        (logging.INFO, "stats", {"event": LogEvent.RUN_INFO, "stats": {"total": 7}}),
        (logging.INFO, None, {"event": LogEvent.PROGRESS, "done": 1, "total": 7}),
    ):
        record = logging.LogRecord("snakemake", level, "", 0, message, (), None)
        record.__dict__ |= told
        handler.emit(record)
    handler.close()
    assert output.getvalue().splitlines() == [
        "Nothing to be done (all requested files are present).",
        "a file [x] is missing",
        "WorkflowError:",
        "bad key",
    ]
    assert (handler.view.done, handler.view.total) == (1, 7)
