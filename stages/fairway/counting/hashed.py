"""The hashed n-gram cache of parameter-golf PR #796: counts in tables that collide.

Order n predicts target j from the cw = n−1 tokens before it. Two tables of B counters per order
count contexts and (context, token) pairs:

    h        = XOR over k < cw of x[j−cw+k] · P[k mod 7]
    context  : bucket  h mod B                          times the context was seen
    pair     : bucket (h XOR x[j] · P[cw mod 7]) mod B   times it was followed by x[j]

Targets are scored in segments: all look-ups of a segment come before any of its updates. A target
takes the highest order whose context was seen at least `min_count` times; its pair count is cut to
the context's, since different pairs share buckets.

The tables are those of `fairway.counting.hashed_grams`, which serve the pairs of one order and the
contexts of the next. Lengths are walked from the longest down, each through the whole text, so
that few tables are in use at a time and stay near the processor. Threads form a line: each has its
own part of the text, and a table passes from one to the next, while the thread before starts on
the next length. So what is found of a target is written by one thread only.
"""

from collections.abc import Callable

import numpy as np

from fairway.counting.counters import empty_counters
from fairway.counting.counts import Found, MatchDistributions, empty_found
from fairway.counting.hashed_grams import GramTable, Walk
from fairway.counting.segments import CountedText, Segments, segment_first, segment_last
from fairway.kernels.compiled import compiled
from fairway.kernels.threads import run_line, run_threads

Look = Callable[[GramTable, int, Found], None]


def walks(highest: int, lowest: int, cross_documents: bool) -> list[Walk]:
    """What is walked to look up some orders, in order: the pairs of one, then its contexts.

    Where contexts may not reach over a BOS, a context may not end with one but a pair may, so that
    they cannot share a table.
    """
    if cross_documents:
        lengths = range(highest, lowest - 2, -1)
        return [Walk(length, length < highest, length >= lowest) for length in lengths]
    orders = range(highest, lowest - 1, -1)
    both = [(Walk(order, False, True), Walk(order - 1, True, False)) for order in orders]
    return [walk for pair in both for walk in pair]


@compiled
def clear_unmatched(found):
    """Zero the hits where no order matched: there they are those of the last order tried."""
    orders, hits, _ = found
    for i in range(orders.size):
        if orders[i] == 0:
            hits[i] = 0


def count_hashed(
    text: CountedText,
    settings,
    first_target: int,
    last_target: int,
    threads: int,
    progress: Callable[[int], None],
) -> Found:
    """Orders, hits and totals of targets first_target … last_target.

    With prefill every earlier target is counted first, and the memory's before; without, counting
    starts at first_target. progress: called with the number of targets just finished in one order.
    """
    first_place, last_place = text.offset + first_target, text.offset + last_target
    read_from = int(segment_first(first_place, text.segments))
    start = 1 if settings.prefill else first_place
    lengths = walks(settings.max_order, settings.min_order, settings.cross_documents)
    threads = min(threads, len(lengths))
    parts = _parts(text.segments, start, last_place, len(lengths), threads)
    counters = [empty_counters(settings.buckets + 1) for _ in range(threads)]
    tables: list[GramTable | None] = [None] * threads
    found = empty_found(last_place + 1 - read_from)

    def found_of(first: int, last: int) -> Found:
        low, high = max(first - read_from, 0), max(last + 1 - read_from, 0)
        return tuple(array[low:high] for array in found)

    def work(thread: int, item: int) -> None:
        first, last = parts[thread]
        walk, place = lengths[item], item % threads
        if thread == 0:
            tables[place] = GramTable(text, settings, walk, start, counters[place])
        table = tables[place]
        if first < read_from:
            table.advance(min(last, read_from - 1), empty_found(0))
        if last >= read_from:
            table.advance(last, found_of(first, last))
        if walk.contexts and thread == threads - 1:
            progress(last_place + 1 - start)

    def clear(thread: int) -> None:
        for array in found_of(*parts[thread]):
            array.fill(0)  # takes the memory, all threads at once: in the line they would wait

    run_threads(clear, threads)
    run_line(work, len(lengths), threads)
    run_threads(lambda thread: clear_unmatched(found_of(*parts[thread])), threads)
    return tuple(array[first_place - read_from :] for array in found)


def _parts(
    segments: Segments, start: int, last: int, lengths: int, threads: int
) -> list[tuple[int, int]]:
    """First and last place of each thread's part of the text; parts end where segments end.

    A thread waits until those before it are through with the first length. So each gets a little
    less than the one before, and all end at the same time.
    """
    shares = np.cumsum((1 - 1 / lengths) ** np.arange(threads))
    targets = last + 1 - start
    ends = [start + int(targets * share) - 1 for share in shares / shares[-1]]
    ends = [min(int(segment_last(max(end, start), segments)), last) for end in ends]
    return list(zip([start, *(end + 1 for end in ends[:-1])], ends, strict=True))


def hashed_distributions(
    text: CountedText,
    settings,
    start: int,
    targets: np.ndarray,
    vocabulary: int,
    look: Look,
) -> MatchDistributions:
    """Counts of every token of the vocabulary at some targets, had it been the target's token.

    targets: places, sorted, none twice; start: the first that is counted; look: asks a table.
    """
    found = [empty_found(vocabulary) for _ in targets]
    counters = empty_counters(settings.buckets + 1)
    for walk in walks(settings.max_order, settings.min_order, settings.cross_documents):
        table = GramTable(text, settings, walk, start, counters)
        for target, row in zip(targets.tolist(), found, strict=True):
            seen = int(segment_first(target, text.segments)) - 1
            if seen >= table.next_target:
                table.advance(seen, empty_found(0))
            look(table, target, row)
    for row in found:
        clear_unmatched(row)
    orders, hits, totals = (np.stack(arrays) for arrays in zip(*found, strict=True))
    return MatchDistributions(orders[:, 0], totals[:, 0], hits)
