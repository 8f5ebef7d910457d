"""How fast n-grams are counted, in nanoseconds per token and order, beside plain numpy.

    ./run results/corpus/manifest.json
    python bench/counting.py                       # on that run's tokens
    python bench/counting.py fineweb_val_000000.bin --tokens 4000000

The baseline is the published rule in numpy (bench/published_rule.py), timed in the same run on
the same tokens; its scoring loop is timed on the last segments only and its result must equal
the compiled count. CPU time of one core is what counts unless a line says wall; every line is the
best of several runs, since other work on the machine can only add to it. Orders are 2 to 15.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit
from published_rule import PublishedRule

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stages"))
from fairway.start import run

from fairway.corpus.shards import read_shard
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets
from fairway.kernels.threads import run_threads
from fairway.stage import StageError

CORPUS = Path(__file__).resolve().parent.parent / "results" / "corpus"
SHARDS = [CORPUS / "train.bin", CORPUS / "val.bin"]
MAX_ORDER = 15
ORDERS = MAX_ORDER - 1
BUCKETS = 1 << 22


def best_seconds(work: Callable[[], object], repeats: int, clock=time.process_time) -> float:
    """Shortest time of several runs."""
    seconds = []
    for _ in range(repeats):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds)


@njit(cache=True, nogil=True)
def add_at_random(table, count):
    """Add 1 at pseudo-random places, one after the other."""
    state, mask = np.uint64(88172645463325252), np.uint64(table.size - 1)
    for _ in range(count):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        table[state & mask] += np.uint32(1)


def memory_floor(megabytes: int, repeats: int, threads: int = 1) -> float:
    """Nanoseconds of one random read-modify-write in a table of this size, per thread; wall.

    Every thread has its own table.
    """
    tables, count = np.zeros((threads, megabytes << 18), dtype=np.uint32), 1 << 24

    def work() -> None:
        run_threads(lambda thread: add_at_random(tables[thread], count), threads)

    work()  # compiles, and takes the memory
    return best_seconds(work, repeats, time.perf_counter) / count * 1e9


class Bench:
    """One text; times are divided by its targets and the 14 orders."""

    def __init__(self, tokens: np.ndarray, plan: WindowPlan, repeats: int) -> None:
        self.tokens, self.plan, self.repeats = tokens, plan, repeats

    def numpy_rule(self, segments: int) -> tuple[float, float]:
        """ns of prefill and of scoring; the latter on the last segments, checked."""
        windows = range(len(self.plan) - segments, len(self.plan))
        parts = [self.plan.window(index) for index in windows]
        targets = [np.arange(part.first_target, part.last_target + 1) for part in parts]
        first, last = int(targets[0][0]), int(targets[-1][-1])
        rule, start = PublishedRule(self.tokens, MAX_ORDER, BUCKETS), time.process_time()
        rule.prefill(1, first - 1)
        prefill, start = time.process_time() - start, time.process_time()
        found = rule.score(targets)
        score = time.process_time() - start
        counts = count_targets(self.tokens, self.plan, first, last, hashed_settings(BUCKETS))
        for name, expected in zip(("order", "hits", "total"), found, strict=True):
            np.testing.assert_array_equal(getattr(counts, name), expected)
        scored = last + 1 - first
        return prefill / (first - 1) / ORDERS * 1e9, score / scored / ORDERS * 1e9

    def ours(self, settings: CacheSettings, threads: int = 1, clock=time.process_time) -> float:
        """ns of counting the whole text."""

        def work() -> None:
            count_targets(self.tokens, self.plan, 1, self.plan.targets, settings, threads)

        work()  # compiles
        return best_seconds(work, self.repeats, clock) / self.plan.targets / ORDERS * 1e9


def hashed_settings(buckets: int) -> CacheSettings:
    return CacheSettings(kind="hashed", max_order=MAX_ORDER, buckets=buckets)


def exact_settings(update: str, output: str) -> CacheSettings:
    return CacheSettings(kind="exact", max_order=MAX_ORDER, update=update, output=output)


def reading_speed(bench: Bench) -> tuple[float, float]:
    """Bytes per target of counts of all orders, and ns per target to read them."""
    counts = count_targets(
        bench.tokens, bench.plan, 1, bench.plan.targets, exact_settings("token", "orders")
    )
    seconds = best_seconds(lambda: [None for _ in counts.chunks()], bench.repeats)
    return counts.packed_bytes / counts.targets, seconds / counts.targets * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "shards", type=Path, nargs="*", default=SHARDS, help="token shards, put together"
    )
    parser.add_argument("--tokens", type=int, default=4_000_000, help="use at most so many")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--segments", type=int, default=300, help="scored by numpy")
    options = parser.parse_args()
    tokens = np.concatenate([read_shard(path) for path in options.shards])[: options.tokens]
    if len(tokens) <= 2048 + 64 * options.segments:
        raise StageError(f"shards: {len(tokens)} tokens; expected more than the segments take")
    bench = Bench(tokens, WindowPlan(len(tokens) - 1, 2048, 64), options.repeats)
    print(f"{len(tokens):,} tokens, orders 2–{MAX_ORDER}; ns per token and order, one core")
    prefill, score = bench.numpy_rule(options.segments)
    print(f"numpy prefill                    {prefill:8.1f}")
    print(f"numpy scoring, 64 targets        {score:8.1f}")
    near, far = memory_floor(1, options.repeats), memory_floor(16, options.repeats)
    print(f"random add, wall, 1 MB           {near:8.1f}   16 MB: {far:.1f}")
    for buckets in (BUCKETS, 1 << 18):
        ours = bench.ours(hashed_settings(buckets))
        print(
            f"hashed, {buckets:>9,} buckets       {ours:8.1f}"
            f"   numpy prefill ×{prefill / ours:.0f}, scoring ×{score / ours:.0f}"
        )
    for update, output in (("segment", "match"), ("token", "match"), ("token", "orders")):
        print(
            f"exact, per {update:<7}, {output:<6}       "
            f"{bench.ours(exact_settings(update, output)):8.1f}"
        )
    size, reading = reading_speed(bench)
    print(f"counts of all orders: {size:.1f} bytes per token, read at {reading:.0f} ns per token")
    for megabytes in (1, 4, 8):
        one, two = (memory_floor(megabytes, options.repeats, threads) for threads in (1, 2))
        print(f"random add, wall, {megabytes} MB each, threads 1 and 2: ×{2 * one / two:.2f}")
    for name, settings in (
        ("hashed", hashed_settings(BUCKETS)),
        ("exact", exact_settings("segment", "match")),
    ):
        one, two = (bench.ours(settings, threads, time.perf_counter) for threads in (1, 2))
        print(f"{name}, wall, threads 1 and 2: {one:.1f} and {two:.1f}, ×{one / two:.2f}")


if __name__ == "__main__":
    run(main)
