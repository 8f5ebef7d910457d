"""The hashed n-gram cache of parameter-golf PR #796: counts in tables that collide.

Order n predicts target j from the cw = n−1 tokens before it. Two tables of B counters per order
count contexts and (context, token) pairs:

    h        = XOR over k < cw of x[j−cw+k] · P[k mod 7]
    context  : bucket  h mod B                          times the context was seen
    pair     : bucket (h XOR x[j] · P[cw mod 7]) mod B   times it was followed by x[j]

Targets are scored in segments: all look-ups of a segment come before any of its updates. A target
takes the highest order whose context was seen at least `min_count` times; its pair count is cut to
the context's, since different pairs share buckets.

The tables are those of `fairway.hashed_grams`, which serve the pairs of one order and the contexts
of the next. Lengths are walked from the longest down, each through the whole text: one table at a
time stays near the processor, and threads share out the orders. What a thread found for a target
is kept only if no other thread found a higher order.
"""

from collections.abc import Callable
from threading import Lock

import numpy as np

from fairway.compiled import compiled
from fairway.counters import empty_counters
from fairway.counts import Found, MatchDistributions, empty_found
from fairway.hashed_grams import GramTable, Walk
from fairway.segments import segment_first, segment_last
from fairway.threads import run_threads, split

Look = Callable[[GramTable, int, Found], None]
BLOCK_TARGETS = 1 << 15  # targets per block, about; blocks end where segments end


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
def keep_highest(found, other):
    """Take from `other` what it found at a higher order."""
    orders, hits, totals = found
    other_orders, other_hits, other_totals = other
    for i in range(orders.size):
        if other_orders[i] > orders[i]:
            orders[i] = other_orders[i]
            hits[i] = other_hits[i]
            totals[i] = other_totals[i]


@compiled
def clear_unmatched(found):
    """Zero the hits where no order matched: there they are those of the last order tried."""
    orders, hits, _ = found
    for i in range(orders.size):
        if orders[i] == 0:
            hits[i] = 0


def count_hashed(
    tokens: np.ndarray,
    plan,
    settings,
    first_target: int,
    last_target: int,
    threads: int,
    progress: Callable[[int], None],
) -> Found:
    """Orders, hits and totals of targets first_target … last_target.

    With prefill every earlier target is counted first; without, counting starts at first_target.
    progress: called with the number of targets just finished in one order.
    """
    read_from = int(segment_first(first_target, plan.length, plan.stride))
    start = 1 if settings.prefill else first_target
    threads = min(threads, settings.orders)
    found = [empty_found(last_target + 1 - read_from) for _ in range(threads)]
    lock = Lock()

    def count(thread: int) -> None:
        begin, end = split(settings.orders, threads)[thread]
        highest, lowest = settings.max_order - begin, settings.max_order + 1 - end
        counters = empty_counters(settings.buckets + 1)
        for walk in walks(highest, lowest, settings.cross_documents):
            table = GramTable(tokens, plan, settings, walk, start, counters)
            while (first := table.next_target) <= last_target:
                last = int(segment_last(first + BLOCK_TARGETS - 1, plan.length, plan.stride))
                last = min(last, last_target if first >= read_from else read_from - 1)
                low, high = max(first - read_from, 0), max(last + 1 - read_from, 0)
                table.advance(last, tuple(array[low:high] for array in found[thread]))
                if walk.contexts:
                    with lock:
                        progress(last + 1 - first)

    parts = split(found[0][0].size, threads)

    def merge(thread: int) -> None:
        first, *others = (tuple(array[slice(*parts[thread])] for array in one) for one in found)
        for other in others:
            keep_highest(first, other)
        clear_unmatched(first)

    run_threads(count, threads)
    run_threads(merge, threads)
    return tuple(array[first_target - read_from :] for array in found[0])


def hashed_distributions(
    tokens: np.ndarray,
    plan,
    settings,
    start: int,
    targets: np.ndarray,
    vocabulary: int,
    look: Look = GramTable.ask,
) -> MatchDistributions:
    """Counts of every token of the vocabulary at some targets, had it been the target's token.

    targets: sorted, none twice; start: the first target that is counted; look: asks a table.
    """
    found = [empty_found(vocabulary) for _ in targets]
    counters = empty_counters(settings.buckets + 1)
    for walk in walks(settings.max_order, settings.min_order, settings.cross_documents):
        table = GramTable(tokens, plan, settings, walk, start, counters)
        for target, row in zip(targets.tolist(), found, strict=True):
            seen = int(segment_first(target, plan.length, plan.stride)) - 1
            if seen >= table.next_target:
                table.advance(seen, empty_found(0))
            look(table, target, row)
    for row in found:
        clear_unmatched(row)
    orders, hits, totals = (np.stack(arrays) for arrays in zip(*found, strict=True))
    return MatchDistributions(orders[:, 0], totals[:, 0], hits)
