"""What a run came to, from the record of its jobs: time by stage, what failed ones said, and what
Snakemake said where none did."""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JOBS = Path(".snakemake") / "jobs.jsonl"


@dataclass(frozen=True)
class Ended:
    """A job that has ended."""

    rule: str
    key: str
    seconds: float
    log: Path | None
    is_failed: bool


def read_jobs(directory: Path) -> list[Ended]:
    """The jobs that ended in the last run in a working directory, in that order."""
    started: dict[int, dict[str, Any]] = {}
    ended = []
    for event in _events(directory):
        if event["event"] == "started":
            started[event["job"]] = event
        elif event["event"] == "refused":
            continue
        elif begun := started.pop(event["job"], None):
            log = directory / begun["log"][0] if begun["log"] else None
            seconds = event["time"] - begun["time"]
            is_failed = event["event"] == "failed"
            ended.append(Ended(begun["rule"], begun["key"], seconds, log, is_failed))
    return ended


def _events(directory: Path) -> list[dict[str, Any]]:
    file = directory / JOBS
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def refusals(directory: Path) -> list[str]:
    """Lines of the last error of Snakemake's own in a run: of ours alone if it is one of ours.

    It stands around them the place in the Snakefile and, for a function's error, its traceback.
    """
    said = [event["said"] for event in _events(directory) if event["event"] == "refused"]
    if not said:
        return []
    if ours := re.search(r"^\s*StageError: (.+)$", said[-1], re.MULTILINE):
        return [f"error: {ours[1]}"]
    lines = [line.strip() for line in said[-1].splitlines() if line.strip()]
    told = [line for line in lines[lines[0].endswith(":") :] if not line.startswith("File ")]
    if lines[0].startswith("MissingInputException"):
        told = [" ".join(told)]
    return [f"error: {line}" for line in told]


def time_by_stage(jobs: list[Ended]) -> list[str]:
    """Lines of a table: jobs of each stage, their seconds together, and the longest."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.log is not None:  # not a rule that only gathers
            seconds[job.rule].append(job.seconds)
    if not seconds:
        return []
    lines = ["| stage | jobs | seconds | longest |", "|---|--:|--:|--:|"]
    return lines + [
        f"| {rule} | {len(each)} | {sum(each):.1f} | {max(each):.1f} |"
        for rule, each in seconds.items()
    ]


def failures(jobs: list[Ended]) -> list[str]:
    """Lines on each job that failed and was not done by another try, its error the last one."""
    done = {(job.rule, job.key) for job in jobs if not job.is_failed}
    failed = {(job.rule, job.key): job for job in jobs if job.is_failed}
    return [line for name, job in failed.items() if name not in done for line in _said(job)]


def _said(job: Ended) -> list[str]:
    name = f"{job.rule} {job.key}".rstrip()
    if job.log is None or not job.log.is_file():
        return [f"error: {name}: failed and left no log"]
    lines = job.log.read_text(errors="replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no word in its log")
    return [f"log: {job.log}", f"error: {name}: {last}"]
