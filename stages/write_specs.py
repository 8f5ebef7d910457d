"""Write spec files whose texts the Snakefile has worked out.

    python stages/write_specs.py --missing results/specs/missing.json --specs results/specs/x.json

Reads: the missing specs, a JSON object with texts by path in `specs`, as the Snakefile leaves them
when a run begins.
Writes: those that are named, which must be among them.
"""

from fairway.start import run

import argparse
from pathlib import Path

from fairway.files.records import check
from fairway.stage import StageError, atomic_output, read_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--missing", type=Path, required=True, help="texts by path")
    parser.add_argument("--specs", nargs="+", required=True, help="outputs: paths among those")
    arguments = parser.parse_args()
    texts = check(dict[str, str], read_json(arguments.missing).get("specs"), "specs")
    for path in arguments.specs:
        if path not in texts:
            raise StageError(f"{arguments.missing}: no text for {path}; run again")
        with atomic_output(Path(path)) as temporary:
            temporary.write_text(texts[path])


if __name__ == "__main__":
    run(main)
