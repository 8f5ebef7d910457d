"""Logs of other people's parameter-golf entries as tables like ours.

    python stages/import_logs.py ../shared/data/logs/parameter-golf-796/*.log

Reads the logs of one entry, a log a seed, and writes seeds.csv and summary.csv under --folder
(left out: results/imported/ENTRY) in the form of results/seeds.csv and results/summary.csv; what a
log does not say stays empty (no log says Z, nor whether a score is a code length). Prints mean,
standard deviation and times, and the lines for `references` in a configuration, so that rows can
be compared with the entry.
"""

from fairway.start import run

import argparse
from pathlib import Path

from fairway.stage import StageError, atomic_output, require_file
from fairway.tables.contest_logs import read_log
from fairway.tables.imported import as_reference, imported_seeds, imported_summary, in_words


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", type=Path, nargs="+", help="logs of one entry, one a seed")
    parser.add_argument("--name", help="of the entry; default: the folder of the first log")
    parser.add_argument("--folder", type=Path, help="output: of both tables")
    options = parser.parse_args()
    name = options.name or options.logs[0].resolve().parent.name
    folder = options.folder or Path("results/imported") / name
    runs = {}
    for path in options.logs:
        lines = require_file(path).read_text(errors="replace").splitlines()
        found = read_log(lines, str(path))
        if found.seed in runs:
            raise StageError(f"{path}: seed {found.seed}, as an earlier log; expected one a seed")
        runs[found.seed] = found
    seeds = imported_seeds(name, list(runs.values()))
    summary = imported_summary(seeds)
    for file, table in (("seeds.csv", seeds), ("summary.csv", summary)):
        with atomic_output(folder / file) as temporary:
            table.to_csv(temporary, index=False)
    print(in_words(seeds) + as_reference(name, seeds), end="")


if __name__ == "__main__":
    run(main)
