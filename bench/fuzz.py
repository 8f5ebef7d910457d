"""Damaged files of one format against its reader: what becomes of them, memory and time.

    python bench/fuzz.py --format artifact --number 100000
    python bench/fuzz.py --format fwtx --number 100000 --seed 7

The same damages as `tests/unit/files/test_hostile_files.py` tries some hundred of, most of them
with the checksum made right again, of artifacts half. The process may have --memory bytes beyond
what it has before the first, and a file that takes more than --seconds of a processor counts as a
failure, like any exception that is not one line. Files that fail are kept in --folder. Exit 1 if
one did.
"""

import argparse
import collections
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.hostile_files import formats, outcome

REPORT_SECONDS = 60
GOOD = ("accepted", "refused")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", default="artifact", help="artifact, fwtx, order_counts, …")
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, default=1 << 30)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, help="where files that fail are kept")
    return parser.parse_args()


def limit_memory(more: int) -> None:
    """Let this process have no more than `more` bytes beside those it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more,) * 2)


def main() -> None:
    options = arguments()
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    known = formats(folder)
    if options.format not in known:
        sys.exit(f"error: --format: {options.format}; expected one of {', '.join(known)}")
    form, path = known[options.format], folder / f"case.{options.format}"
    path.write_bytes(form.valid())
    assert outcome(form.read, path) == "accepted"  # and everything is compiled
    limit_memory(options.memory)
    generator = np.random.default_rng(options.seed)
    found: collections.Counter[str] = collections.Counter()
    longest, last = 0.0, time.monotonic()
    for case in range(options.number):
        path.write_bytes(form.damage(generator))
        begin = time.process_time()
        result = outcome(form.read, path)
        seconds = time.process_time() - begin
        longest = max(longest, seconds)
        result = result if seconds <= options.seconds else f"slow: {seconds:.1f} s"
        found[result[:120]] += 1
        if result not in GOOD:
            path.rename(folder / f"failed{case}.{options.format}")
        if time.monotonic() - last > REPORT_SECONDS:
            last = time.monotonic()
            print(f"{case + 1:,}/{options.number:,} {dict(found)}", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{options.format}: {sum(found.values()):,} files, seed {options.seed}")
    for result, count in found.most_common():
        print(f"{count:>9,}  {result}")
    print(f"longest {longest:.2f} s of a processor; peak {peak / 1e6:,.0f} MB, all included")
    if found.keys() - set(GOOD):
        sys.exit(f"error: failures; the files are in {folder}")


if __name__ == "__main__":
    main()
