"""How time and memory of counting grow with the text, and what ranks and threads cost.

    python bench/extend_text.py                    # makes the text, /tmp/extended.bin
    python bench/counting_growth.py --figure docs/counting_growth.png

Every line is a process of its own that counts the shards of all ranks, orders 2 to 15, from the
memory-mapped file, so that peak memory is that of the line. Seconds are wall, and of all threads.
The larger a text, the more of its contexts were seen before: `known` is how many of a target's 14
on average, counted where every order is. What exact counting does grows with that.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from extend_text import EXTENDED

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stages"))
from fairway.start import run

from fairway.corpus.shards import read_shard
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_ranks, count_targets

CACHES = {
    "hashed": {"kind": "hashed", "buckets": 1 << 22},
    "exact": {"kind": "exact"},
    "orders": {"kind": "exact", "update": "token", "output": "orders"},
}
ORDERS = 14
GROWTH = (1_000_000, 2_000_000, 4_000_000, 8_000_000, 16_000_000, 32_000_000, 62_021_632)


def count_once(
    shard: Path, cache: str, count: int, ranks: int, threads: int, recount: int
) -> dict[str, float]:
    """Count in this process; compiled code is loaded on a short text first.

    recount: whether every rank counts all that comes before it by itself.
    """
    tokens = read_shard(shard)[:count]
    settings = CacheSettings(max_order=ORDERS + 1, **CACHES[cache])
    list(count_ranks(tokens[:5001], WindowPlan(5000, 2048, 64), 1, settings, threads))
    plan = WindowPlan(len(tokens) - 1, 2048, 64)
    if recount:
        shares = (plan.rank_targets(rank, ranks) for rank in range(ranks))
        shards = (count_targets(tokens, plan, *share, settings, threads) for share in shares)
    else:
        shards = count_ranks(tokens, plan, ranks, settings, threads)
    wall = cpu = known = 0
    while True:
        start = time.perf_counter(), time.process_time()
        counts = next(shards, None)
        wall += time.perf_counter() - start[0]
        cpu += time.process_time() - start[1]
        if counts is None:
            break
        if settings.output == "orders":
            known += sum(np.count_nonzero(chunk.totals) for chunk in counts.chunks())
        del counts
    return {
        "cache": cache + (", each rank alone" if recount else ""),
        "tokens": len(tokens),
        "ranks": ranks,
        "threads": threads,
        "wall": wall,
        "cpu": cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "known": known / plan.targets,
    }


def count_apart(*line: object) -> dict[str, float]:
    """The same in a process of its own; prints a table row."""
    command = [sys.executable, __file__, *map(str, line[:1]), "--line", *map(str, line[1:])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(output)
    per_order = found["tokens"] * ORDERS / 1e9
    print(
        f"| {found['cache']} | {found['tokens']:,} | {found['ranks']} | {found['threads']} "
        f"| {found['wall']:.1f} | {found['cpu']:.1f} | {found['cpu'] / per_order:.1f} "
        f"| {found['peak_gb']:.2f} | {found['known'] or '':.4} |",
        flush=True,
    )
    return found


def draw(lines: list[dict[str, float]], path: Path) -> None:
    """CPU seconds over tokens, both logarithmic, with a line of slope 1."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for cache in CACHES:
        own = [line for line in lines if line["cache"] == cache]
        axes.loglog(
            [line["tokens"] for line in own], [line["cpu"] for line in own], "o-", label=cache
        )
    first = lines[0]
    sizes = [GROWTH[0], GROWTH[-1]]
    slope = [first["cpu"] * size / first["tokens"] for size in sizes]
    axes.loglog(sizes, slope, "k:", label="in proportion to tokens")
    axes.set(xlabel="tokens", ylabel="CPU seconds, orders 2–15, one thread")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shard", type=Path, nargs="?", default=EXTENDED)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--largest", type=int, default=GROWTH[-1])
    parser.add_argument("--line", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.line:
        cache, *numbers = options.line
        print(json.dumps(count_once(options.shard, cache, *map(int, numbers))))
        return
    print(
        "| cache | tokens | ranks | threads | wall s | CPU s | ns per token and order | peak GB "
        "| known |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    sizes = [size for size in GROWTH if size <= options.largest] or [options.largest]
    lines = [
        count_apart(options.shard, cache, size, 8, 1, 0) for cache in CACHES for size in sizes
    ]
    for cache in CACHES:
        count_apart(options.shard, cache, sizes[-1], 8, 2, 0)
    middle = sizes[len(sizes) // 2]
    for cache in ("hashed", "exact"):
        for ranks in (1, 2, 8):
            count_apart(options.shard, cache, middle, ranks, 1, 0)
        for ranks in (2, 8):
            count_apart(options.shard, cache, middle, ranks, 1, 1)
    if options.figure:
        draw(lines, options.figure)


if __name__ == "__main__":
    run(main)
