"""Wall time of a whole run, and each rule's jobs, seconds and peak memory.

    .venv/bin/python bench/pipeline.py                          # the default, from nothing
    .venv/bin/python bench/pipeline.py --configfile config/smoke.yaml
    .venv/bin/python bench/pipeline.py --finished results       # of a run that is there

Runs in a temporary folder that is removed afterwards. Seconds and memory are those that Snakemake
samples (results/benchmarks); the ratio is of the rules' seconds together to the wall time: how
many jobs ran at once on average.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent


def rule_table(benchmarks: Path) -> pd.DataFrame:
    """Jobs, seconds in all, of the longest job, and peak MB, by rule, the dearest first."""
    lines = []
    for path in benchmarks.rglob("*.tsv"):
        rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        measured = pd.read_csv(path, sep="\t").iloc[-1]
        lines.append({"rule": rule, "seconds": measured["s"], "memory": measured["max_rss"]})
    grouped = pd.DataFrame(lines).groupby("rule")
    table = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "seconds": grouped["seconds"].sum().round(1),
            "longest": grouped["seconds"].max().round(1),
            "peak_mb": pd.to_numeric(grouped["memory"].max(), errors="coerce").round(),
        }
    )
    return table.sort_values("seconds", ascending=False)


def timed_run(directory: str, arguments: list[str]) -> float:
    """Seconds of a run of the pipeline in `directory`; exits with it if it fails."""
    command = [sys.executable, ROOT / "envs" / "launch.py", "--directory", directory, *arguments]
    start = time.monotonic()
    code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if code:
        sys.exit(code)
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", nargs="+", default=[], help="over config.yaml")
    parser.add_argument("--finished", type=Path, help="results folder of a finished run")
    args = parser.parse_args()
    if args.finished:
        print(rule_table(args.finished / "benchmarks").to_string())
        return
    configs = [str(Path(file).resolve()) for file in args.configfile]
    with tempfile.TemporaryDirectory() as directory:
        wall = timed_run(directory, ["--configfile", *configs] if configs else [])
        table = rule_table(Path(directory) / "results" / "benchmarks")
    print(table.to_string())
    busy = table["seconds"].sum()
    print(f"wall {wall:.0f} s; jobs {busy:.0f} s, {busy / wall:.2f}x the wall time")


if __name__ == "__main__":
    main()
