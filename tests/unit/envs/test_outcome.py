"""What a run came to: told from the record of its jobs, which Snakemake's log records become."""

import json
import logging
import sys
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from support.configs import ROOT

sys.path.insert(0, str(ROOT / "envs"))
sys.path.insert(0, str(ROOT / "envs" / "loggers"))
import launch
from outcome import JOBS, failures, read_jobs, refusals, time_by_stage
from snakemake_logger_plugin_record import LogHandler, LogHandlerSettings, job_event


def record(event: LogEvent | None, time: float = 0.0, **told) -> logging.LogRecord:
    """A log record as Snakemake makes it."""
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, "message", (), None)
    made.__dict__ |= told | ({} if event is None else {"event": event}) | {"created": time}
    return made


def begun(number: int, rule: str, time: float, **wildcards: str) -> logging.LogRecord:
    told = {"jobid": number, "rule_name": rule, "wildcards": wildcards}
    log = [] if rule == "all" else [f"{rule}.log"]
    return record(LogEvent.JOB_INFO, time, log=log, **told)


def test_only_what_is_about_a_job_is_recorded():
    assert job_event(record(None)) is None
    assert job_event(record(LogEvent.PROGRESS, done=1, total=2)) is None
    assert job_event(begun(3, "mix", 1.0, row="a", seed="1")) == {
        "event": "started",
        "job": 3,
        "time": 1.0,
        "rule": "mix",
        "key": "row=a seed=1",
        "log": ["mix.log"],
    }
    finished = job_event(record(LogEvent.JOB_FINISHED, 2.0, job_id=3))
    assert finished == {"event": "finished", "job": 3, "time": 2.0}
    failed = job_event(record(LogEvent.JOB_ERROR, 2.0, jobid=3))
    assert failed == {"event": "failed", "job": 3, "time": 2.0}


def recorder(directory: Path) -> LogHandler:
    return LogHandler(None, LogHandlerSettings(directory / JOBS))


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A working directory after a run: two trainings, one at the second try, a failed packing."""
    monkeypatch.chdir(tmp_path)
    handler = recorder(tmp_path)
    for made in (
        begun(1, "train", 0.0, seed="1"),
        begun(2, "train", 0.0, seed="2"),
        record(None),
        record(LogEvent.JOB_FINISHED, 10.0, job_id=1),
        record(LogEvent.JOB_ERROR, 4.0, jobid=2),
        begun(2, "train", 5.0, seed="2"),
        record(LogEvent.JOB_FINISHED, 12.5, job_id=2),
        begun(3, "pack", 13.0),
        begun(4, "all", 13.0),
        record(LogEvent.JOB_FINISHED, 13.0, job_id=4),
        record(LogEvent.JOB_ERROR, 14.0, jobid=3),
    ):
        handler.emit(made)
    handler.close()
    Path("pack.log").write_text("working\npack.py: error: too large\n\n")
    return tmp_path


def test_time_by_stage_counts_every_try(run):
    assert time_by_stage(read_jobs(run)) == [
        "| stage | jobs | seconds | longest |",
        "|---|--:|--:|--:|",
        "| train | 3 | 21.5 | 10.0 |",
        "| pack | 1 | 1.0 | 1.0 |",
    ]


def test_the_last_line_is_the_failing_stage_s_error(run):
    lines = failures(read_jobs(run))
    assert lines == [f"log: {run}/pack.log", "error: pack: pack.py: error: too large"]
    (run / "pack.log").write_text("")
    assert failures(read_jobs(run))[-1] == "error: pack: no word in its log"
    (run / "pack.log").unlink()
    assert failures(read_jobs(run)) == ["error: pack: failed and left no log"]


def test_a_run_of_no_jobs_has_no_times_and_no_failures(tmp_path):
    assert read_jobs(tmp_path) == [] and time_by_stage([]) == [] and failures([]) == []


def test_jobs_that_were_running_when_all_was_killed_are_left_out(run):
    with (run / JOBS).open("a") as file:
        file.write(json.dumps(job_event(begun(9, "late", 1.0))) + "\n")
    assert "late" not in [job.rule for job in read_jobs(run)]


FAULTS = [
    "config key `seedz`: unknown; did you mean `seeds`?",
    "config key `ranks`: 0; expected 1",
]
MISSING = "Missing input files for rule a:\n    output: b\n    affected files:\n        c.txt"
REFUSED = {
    "\n".join(['WorkflowError in file "S", line 3:', *FAULTS, '  File "S", line 3']): FAULTS,
    "InputFunctionException in rule a:\nError:\n  StageError: c\nTraceback:\n  File 1": ["c"],
    f'MissingInputException in rule a in file "S":\n{MISSING}': [" ".join(MISSING.split())],
    "Error: no such profile": ["Error: no such profile"],
}


@pytest.mark.parametrize(
    ("said", "lines"), REFUSED.items(), ids=["ours", "a function's", "missing", "other"]
)
def test_an_error_of_no_job_is_recorded_and_told_in_its_own_lines(tmp_path, said, lines):
    assert refusals(tmp_path) == []
    handler = recorder(tmp_path)
    made = record(LogEvent.ERROR, exception="E")
    made.msg = said
    handler.emit(made)
    handler.close()
    assert refusals(tmp_path) == [f"error: {line}" for line in lines]
    assert read_jobs(tmp_path) == []


@pytest.mark.parametrize(("found", "options", "code"), [
    (True, [], 0), (False, [], 1), (False, ["--until", "mix_scores"], 0),
])  # fmt: skip
def test_a_run_that_ends_without_its_table_has_failed(tmp_path, monkeypatch, found, options, code):
    monkeypatch.chdir(tmp_path)
    commands = []
    monkeypatch.setattr(launch, "run_to_end", lambda command: commands.append(command) or 0)
    monkeypatch.setattr(launch, "print_table", lambda config: found)
    assert launch.run_pipeline(["--directory", str(tmp_path), *options]) == code
    assert commands[0][-3:] == ["--", "results/summary.csv", "results/ablation.md"]


@pytest.mark.parametrize("options", [["--quiet", "all"], ["-n"]], ids=["quiet", "dry"])
def test_a_run_that_is_refused_ends_in_one_line(tmp_path, monkeypatch, capsys, options):
    def refuse(command: list[str]) -> int:
        (told,) = (word for word in command if word.startswith("--logger-record-file="))
        event = {"event": "refused", "said": "MissingRuleException:\nNo rule to produce x"}
        file = Path(told.partition("=")[2])
        file.parent.mkdir()
        file.write_text(json.dumps(event))
        return 1

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "run_to_end", refuse)
    assert launch.run_pipeline(["--directory", str(tmp_path), *options, "--", "x"]) == 1
    assert capsys.readouterr().err == "error: No rule to produce x\n"
