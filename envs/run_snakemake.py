"""Snakemake, which finds the loggers beside this file; started by launch.py.

    .venv/bin/python -E envs/run_snakemake.py [snakemake arguments]

Importing it takes a second, in which Ctrl-C leaves no traceback.
"""

import signal
import sys
from pathlib import Path


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.path[0] = str(Path(__file__).resolve().parent / "loggers")
    from snakemake.cli import main as snakemake

    signal.signal(signal.SIGINT, signal.default_int_handler)
    snakemake()


if __name__ == "__main__":
    main()
