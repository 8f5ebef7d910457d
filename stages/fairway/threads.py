"""Compiled kernels on several threads; they release Python's lock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def run_threads(work: Callable[[int], None], threads: int) -> None:
    """Call work(0) … work(threads − 1) at the same time and wait for all; errors are raised."""
    if threads == 1:
        work(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def split(count: int, parts: int) -> list[tuple[int, int]]:
    """Cut range(count) into so many near-equal pieces, (start, stop) each."""
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]
