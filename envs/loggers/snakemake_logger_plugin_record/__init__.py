"""Snakemake's logger plugin `record`: when each job began and how it ended, a line of JSON each.

Into the file of --logger-record-file, {"event": "started", "finished" or "failed",
"job", "time"}; "started" has "rule", "key" and "log" too. {"event": "refused", "said"} is what
Snakemake says of an error that is no job's, also when it is to be quiet. envs/outcome.py reads it.
"""

import json
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path
from typing import IO, Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """file: an absolute path, since Snakemake changes folders."""

    file: Path = field(
        default=Path("jobs.jsonl"), metadata={"help": "where the record is written"}
    )


def job_event(record: LogRecord) -> dict[str, Any] | None:
    """What a log record of Snakemake's says of a job; None if it is about something else."""
    event, time = getattr(record, "event", None), record.created
    if event == LogEvent.JOB_INFO:
        wildcards = [f"{name}={value}" for name, value in record.wildcards.items()]
        told = {"rule": record.rule_name, "key": " ".join(wildcards), "log": list(record.log)}
        return {"event": "started", "job": record.jobid, "time": time} | told
    if event == LogEvent.JOB_FINISHED:
        return {"event": "finished", "job": record.job_id, "time": time}
    if event == LogEvent.JOB_ERROR:
        return {"event": "failed", "job": record.jobid, "time": time}
    return None


def refusal(record: LogRecord) -> dict[str, Any] | None:
    """What a log record of Snakemake's says of an error; None if it is of something else."""
    if getattr(record, "event", None) != LogEvent.ERROR:
        return None
    return {"event": "refused", "said": record.getMessage()}


class LogHandler(LogHandlerBase):
    """Writes the record beside what Snakemake prints."""

    writes_to_stream = False
    writes_to_file = False  # of the kind whose path Snakemake tells
    has_filter = True
    has_formatter = True
    needs_rulegraph = False
    file: IO[str] | None = None

    def emit(self, record: LogRecord) -> None:
        event = job_event(record) or refusal(record)
        if event is None:
            return
        if self.file is None:
            self.settings.file.parent.mkdir(exist_ok=True)
            self.file = self.settings.file.open("w")
        print(json.dumps(event), file=self.file, flush=True)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
        super().close()
