"""Compiled kernels on several threads; they release Python's lock."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Condition, Lock
from typing import TypeVar

Item = TypeVar("Item")


def run_threads(work: Callable[[int], None], threads: int) -> None:
    """Call work(0) … work(threads − 1) at the same time and wait for all; errors are raised."""
    if threads == 1:
        work(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def share_out(work: Callable[[int, Item], None], items: Iterable[Item], threads: int) -> None:
    """Call work(thread, item) for every item, each on the first of the threads that is free."""
    waiting, lock = iter(items), Lock()

    def take(thread: int) -> None:
        while True:
            with lock:
                taken = list(islice(waiting, 1))
            if not taken:
                return
            work(thread, *taken)

    run_threads(take, threads)


def run_line(work: Callable[[int, int], None], items: int, threads: int) -> None:
    """Pass items 0 … items − 1 down a line of threads: work(thread, item).

    An item goes to thread 0, then to thread 1 while thread 0 works on the next, and so on. As many
    items as there are threads are under way at most: item i begins when i − threads is through.
    """
    done, failed, changed = [0] * threads, [], Condition()

    def may_begin(thread: int, item: int) -> bool:
        return done[thread - 1] > item if thread else item - done[-1] < threads

    def run(thread: int) -> None:
        for item in range(items):
            with changed:
                changed.wait_for(lambda item=item: failed or may_begin(thread, item))
            if failed:
                return
            try:
                work(thread, item)
            except BaseException:
                failed.append(thread)
                raise
            finally:
                with changed:
                    done[thread] += 1
                    changed.notify_all()

    run_threads(run, threads)


def split(count: int, parts: int) -> list[tuple[int, int]]:
    """Cut range(count) into so many near-equal pieces, (start, stop) each."""
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]
