"""Whether a folder may be handed in: everything there, sizes measured, scores those of the run."""

import ast
from collections.abc import Iterator
from pathlib import Path

from fairway.provenance import Provenance
from fairway.stage import StageError, sha256_of
from fairway.submission.finished import FinishedRow, shown
from fairway.submission.record import SeedResult, Submission
from fairway.tables.contest_logs import ContestRun, read_log

SCRIPT, RECORD = "train_gpt.py", "submission.json"
FILES = ("README.md", RECORD, SCRIPT, "requirements.txt")


def log_name(seed: int) -> str:
    """Of the log of one seed."""
    return f"train_seed{seed}.log"


def problems(folder: Path, results: Path, limit: int, allow_invalid: bool) -> list[str]:
    """A line for everything that is wrong with a folder, none if it may be handed in.

    results: of the run that it was made from; limit: bytes that all must stay below;
    allow_invalid: whether a row that is no code length may be. Raises StageError if the run's own
    tables cannot be read.
    """
    found = [f"{folder / name}: missing" for name in FILES if not (folder / name).is_file()]
    found += _of_script(folder / SCRIPT)
    try:
        record = Submission.load(folder / RECORD)
    except StageError as error:
        return found if not (folder / RECORD).is_file() else [*found, str(error)]
    row = FinishedRow(results, record.row)
    if not row.summary["is_code_length"] and not allow_invalid:
        found.append(
            f"{folder / RECORD}: row {record.row} is no code length; expected one that is, or "
            "--allow-invalid"
        )
    found += _of_seeds(folder, record, row)
    found += _of_claim(folder / RECORD, record, row)
    if (folder / SCRIPT).is_file():
        found += _of_sizes(folder, record, row, limit)
    return found


def altered(folder: Path, results: Path) -> Iterator[str]:
    """A line for each file that is not as its job left it: the run's tables, and what is run.

    The other files of the folder are words and figures, which `problems` compares.
    """
    for job, place, names in (
        ("aggregate_seeds", results, ("summary.csv", "seeds.csv")),
        ("write_submission", folder, (SCRIPT, "requirements.txt")),
    ):
        try:
            wrote = Provenance.load(results / "provenance" / f"{job}.json").wrote
        except StageError as error:
            yield str(error)
            continue
        left = {Path(file).name: entry.sha256 for file, entry in wrote.items()}
        for path in (place / name for name in names):
            if path.is_file() and sha256_of(path) != left.get(path.name):
                yield f"{path}: not the file that {job} wrote last"


def _of_script(path: Path) -> Iterator[str]:
    if path.is_file():
        try:
            ast.parse(path.read_bytes())
        except (SyntaxError, ValueError) as error:
            yield f"{path}: not Python ({error})"


def _of_seeds(folder: Path, record: Submission, row: FinishedRow) -> Iterator[str]:
    """Every seed of the run must be there, and no other, each with its log and its result."""
    wanted = list(row.seeds.index)
    for what, given, expected in (
        ("seeds", list(record.seeds), wanted),
        ("seed_results", sorted(record.seed_results), sorted(map(str, wanted))),
    ):
        if sorted(given) != sorted(expected):
            yield f"{folder / RECORD}: {what}: {given}; the run has {expected}"
    for seed in wanted:
        path = folder / log_name(seed)
        if not path.is_file():
            yield f"{path}: missing"
            continue
        try:
            log = read_log(path.read_text(errors="replace").splitlines(), str(path))
        except StageError as error:
            yield str(error)
            continue
        yield from _of_log(folder, path, log, row, seed)
    logs = {path.name for path in folder.glob("train_seed*.log")}
    for name in sorted(logs - set(map(log_name, wanted))):
        yield f"{folder / name}: of a seed that the run does not have"


def _of_log(
    folder: Path, path: Path, log: ContestRun, row: FinishedRow, seed: int
) -> Iterator[str]:
    """A log must be of its seed, end with the run's score, and give the sizes that are there."""
    if log.seed != seed:
        yield f"{path}: seed {log.seed}; expected {seed}"
    yield from _of_scores(f"{path}: ", log, row, seed)
    script = folder / SCRIPT
    measured = {"model": row.model_bytes(seed)}
    measured |= {"code": script.stat().st_size} if script.is_file() else {}
    for what, size in measured.items():
        if log.sizes.get(what) != size:
            yield f"{path}: {what} {log.sizes.get(what, 'not said')}; measured {size} bytes"
    if "total" not in log.sizes:
        yield f"{path}: no line gives the total submission size"


def _of_scores(
    place: str, said: ContestRun | SeedResult, row: FinishedRow, seed: int
) -> Iterator[str]:
    """What is said of a seed's scores must be what the run has."""
    for key, of_run in (("val_bpb", row.seeds["bpb"][seed]), ("val_loss", row.val_loss(seed))):
        given, expected = shown(getattr(said, key)), shown(of_run)
        if given != expected:
            yield f"{place}{key} {given}; the run has {expected}"


def _of_claim(path: Path, record: Submission, row: FinishedRow) -> Iterator[str]:
    for key, of_run in (("val_bpb", "bpb_mean"), ("val_bpb_std", "bpb_std")):
        given, expected = shown(getattr(record, key)), shown(row.summary[of_run])
        if given != expected:
            yield f"{path}: {key} {given}; the run's summary has {expected}"
    for seed in row.seeds.index:
        result = record.seed_results.get(str(seed))
        if result is not None:
            yield from _of_scores(f"{path}: seed {seed}: ", result, row, seed)
            seconds = round(float(row.seeds["eval_seconds"][seed]), 3)
            if result.eval_time_s != seconds:
                found = result.eval_time_s
                yield f"{path}: seed {seed}: eval_time_s {found}; the run has {seconds}"


def _of_sizes(folder: Path, record: Submission, row: FinishedRow, limit: int) -> Iterator[str]:
    """All bytes, measured: what is packed and the script."""
    path, code = folder / RECORD, (folder / SCRIPT).stat().st_size
    totals = {seed: row.model_bytes(seed) + code for seed in row.seeds.index}
    largest = max(totals.values())
    if record.bytes_total != largest:
        yield (
            f"{path}: bytes_total {record.bytes_total}; measured {largest}, {largest - code} of "
            f"artifact and {code} of code"
        )
    for seed, total in totals.items():
        result = record.seed_results.get(str(seed))
        if result is not None and result.artifact_bytes != total:
            yield f"{path}: seed {seed}: artifact_bytes {result.artifact_bytes}; measured {total}"
    if largest >= limit:
        yield f"{folder}: {largest:,} bytes; expected less than {limit:,}"
