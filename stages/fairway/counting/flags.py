"""The flags that the stages of a cache share."""

import argparse
from pathlib import Path

from fairway.stage import StageError, stage_parser


def cache_parser(description: str, *paths: str) -> argparse.ArgumentParser:
    """A stage's command line: a flag for each of these paths, and what every cache needs."""
    parser = stage_parser(description, "spec", "manifest", "val", *paths)
    parser.add_argument("--memory", type=Path, nargs="*", default=[], help="none without one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--counts", type=Path, nargs="+", required=True, help="rank 0, 1, …")
    return parser


def check_cache_flags(options: argparse.Namespace, ranks: int) -> None:
    """Raise StageError unless there are as many count shards as ranks, and threads to work."""
    if len(options.counts) != ranks:
        raise StageError(f"--counts: {len(options.counts)} files; expected {ranks}, one per rank")
    if options.threads < 1:
        raise StageError(f"--threads: {options.threads}; expected at least 1")
