"""Check a folder before it is handed in: all there, sizes as measured, scores those of the run.

    python stages/check_submission.py results/submission/2026-04-30_Fairway

    python stages/check_submission.py FOLDER --results results --allow-invalid

Reads the folder and the run that it was made from, under --results. Prints a line for everything
that is wrong: what is missing; every figure and word of submission.json, and the first line of a
log, that the run and the settings of its last write_submission do not give again; a script or
tables that have changed since. What only you can say, who hands in and on which day, is compared
with those settings. README.md is yours to write on; its words are not read. Exit code 1 if
anything is wrong, 2 for wrong flags or tables that cannot be read. A row that is no code length is
refused unless --allow-invalid is given.
"""

from fairway.start import run

import argparse
import sys
from pathlib import Path

from fairway.stage import StageError
from fairway.submission.checks import altered, problems
from fairway.submission.settings import made_with

LIMIT = 16_000_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, default=Path("results"), help="[results]")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"in bytes [{LIMIT}]")
    parser.add_argument("--allow-invalid", action="store_true", help="rows that are no code")
    options = parser.parse_args()
    if not options.folder.is_dir():
        raise StageError(f"{options.folder}: no such folder")
    allowed = options.limit, options.allow_invalid
    found = problems(options.folder, options.results, *allowed, made_with(options.results))
    found += altered(options.folder, options.results)
    for line in found:
        print(line)
    if found:
        sys.exit(1)
    print(f"{options.folder}: nothing is wrong with it")


if __name__ == "__main__":
    run(main)
