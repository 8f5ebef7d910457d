"""Whether a folder may be handed in: all there, and what the run gives when it is made again."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from fairway.provenance import Provenance
from fairway.stage import StageError, sha256_of
from fairway.submission.finished import FinishedRow
from fairway.submission.folder import RECORD, SCRIPT, log, log_name, record
from fairway.submission.record import Submission
from fairway.submission.settings import SubmissionSettings

FILES = ("README.md", RECORD, SCRIPT, "requirements.txt")
_DIGITS = 8  # behind the point, of figures that are compared
_MOST_SHOWN = 200  # characters of a line


def problems(
    folder: Path, results: Path, limit: int, allow_invalid: bool, settings: SubmissionSettings
) -> list[str]:
    """A line for everything that is wrong with a folder, none if it may be handed in.

    results: of the run that it was made from; limit: bytes that all must stay below;
    allow_invalid: whether a row that is no code length may be; settings: that the folder was made
    with. The script's bytes are in many figures: without it none is compared. Raises StageError
    if the run's own tables cannot be read.
    """
    path, script = folder / RECORD, folder / SCRIPT
    found = [f"{folder / name}: missing" for name in FILES if not (folder / name).is_file()]
    found += _of_script(script)
    try:
        said = Submission.load(path)
    except StageError as error:
        return found if not path.is_file() else [*found, str(error)]
    row = FinishedRow(results, said.row)
    if said.row not in settings["rows"]:
        raise StageError(
            f"{path}: row {said.row}: not one of those that write_submission was told"
        )
    if not row.summary["is_code_length"] and not allow_invalid:
        found.append(
            f"{path}: row {said.row} is no code length; expected one that is, or --allow-invalid"
        )
    if script.is_file():
        code_bytes = script.stat().st_size
        measured = record(row, settings["submission"], code_bytes)
        compared = _differences(said.as_json(), measured.as_json())
        found += [f"{path}: {line}" for line in compared]
        found += _of_logs(folder, row, settings, code_bytes)
        if measured.bytes_total >= limit:
            found.append(f"{folder}: {measured.bytes_total:,} bytes; expected less than {limit:,}")
    return found


def altered(folder: Path, results: Path) -> Iterator[str]:
    """A line for each file that is not as its job left it: the run's tables, and what is run.

    README.md is its owner's, and `problems` makes the others again.
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


def _differences(said: Mapping[str, Any], run: Mapping[str, Any]) -> Iterator[str]:
    """A line for each value of a record that is not what the run gives."""
    for key in said | run:
        given, expected = (_comparable(side.get(key, "nothing")) for side in (said, run))
        if isinstance(given, dict) and isinstance(expected, dict):
            yield from (f"{key}.{line}" for line in _differences(given, expected))
        elif given != expected:
            yield f"{key}: {given}; expected {expected}"


def _comparable(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value


def _of_logs(
    folder: Path, row: FinishedRow, settings: SubmissionSettings, code_bytes: int
) -> Iterator[str]:
    """Each seed of the run must have its log, no other seed one, and all lines be the run's."""
    seeds, entry = list(row.seeds.index), settings["rows"][row.row]
    for seed in seeds:
        path = folder / log_name(seed)
        if path.is_file():
            yield from _of_lines(path, log(row, seed, entry, code_bytes))
        else:
            yield f"{path}: missing"
    logs = {path.name for path in folder.glob("train_seed*.log")}
    for name in sorted(logs - set(map(log_name, seeds))):
        yield f"{folder / name}: of a seed that the run does not have"


def _of_lines(path: Path, run: Iterable[str]) -> Iterator[str]:
    """The first line of a file that is not the run's, if there is one."""
    lines = path.read_text(errors="replace").splitlines()
    for place, (given, expected) in enumerate(zip_longest(lines, run, fillvalue=""), 1):
        if given != expected:
            yield f"{path}:{place}: {given[:_MOST_SHOWN]!r}; expected {expected!r}"
            return
