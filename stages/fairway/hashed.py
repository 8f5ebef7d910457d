"""The hashed n-gram cache of parameter-golf PR #796: counts in tables that collide.

Order n predicts target j from the cw = n−1 tokens before it. Two uint32 tables of B buckets per
order count contexts and (context, token) pairs:

    h        = XOR over k < cw of x[j−cw+k] · P[k mod 7]
    context  : bucket  h mod B                          times the context was seen
    pair     : bucket (h XOR x[j] · P[cw mod 7]) mod B   times it was followed by x[j]

Targets are scored in segments: all look-ups of a segment come before any of its updates. A target
takes the highest order whose context was seen at least `min_count` times; its pair count is cut to
the context's, since different pairs share buckets.

Each order has tables of its own, so the text is walked order by order, a block of targets at a
time: two tables stay in the processor's cache, and threads share out the orders. What a thread
found for a target is kept only if no other thread found a higher order.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from fairway.counts import Found, MatchDistributions, empty_found
from fairway.segments import context_reach, segment_first, segment_last
from fairway.threads import run_threads

PRIMES = np.array([36313, 27191, 51647, 81929, 131071, 175447, 209591], dtype=np.uint32)
MAX_BUCKETS = 1 << 31  # keys are uint32, and one more counter is kept
NO_LIMIT = np.empty(0, dtype=np.uint8)  # a reach: contexts may be of any length
BLOCK_TARGETS = 1 << 18  # targets per block, about; blocks end where segments end


@njit(cache=True, nogil=True)
def hash_targets(tokens, first, order, mask, context_keys, pair_keys):
    """Keys of both tables for targets first, first+1, …, one per element of context_keys.

    Every target must have its order−1 context tokens: first ≥ order−1.
    """
    width = order - 1
    count = context_keys.size
    context_keys[:] = 0
    for k in range(width):
        prime = PRIMES[k % 7]
        column = tokens[first - width + k : first - width + k + count]
        for i in range(count):
            context_keys[i] ^= np.uint32(column[i]) * prime
    prime = PRIMES[width % 7]
    column = tokens[first : first + count]
    for i in range(count):
        pair_keys[i] = (context_keys[i] ^ (np.uint32(column[i]) * prime)) & mask
        context_keys[i] &= mask


@njit(cache=True, nogil=True)
def look_up(contexts, pairs, context_keys, pair_keys, order, min_count, found):
    """Note `order` where the context is known well enough and no higher order was noted before.

    found: (orders uint8, hits uint32, totals uint32), one element per key; order 0 is none.
    """
    orders, hits, totals = found
    for i in range(context_keys.size):
        if orders[i] == 0:
            total = contexts[context_keys[i]]
            if total >= min_count:
                orders[i] = order
                totals[i] = total
                hits[i] = min(pairs[pair_keys[i]], total)


@njit(cache=True, nogil=True)
def update(contexts, pairs, context_keys, pair_keys):
    """Count every context and every pair once."""
    for i in range(context_keys.size):
        contexts[context_keys[i]] += 1
        pairs[pair_keys[i]] += 1


@njit(cache=True, nogil=True)
def count_block(tokens, first, last, plan, order, min_count, reach, tables, found):
    """Look up and count targets first … last in one order, segment by segment.

    plan: (length, stride). reach: how many context tokens each target of the block may use, or
    empty if all may use any number. tables: (contexts, pairs), each of B+1 counters. found: see
    `look_up`, one element per target of the block, or empty if the block is only to be counted.
    """
    contexts, pairs = tables
    orders, hits, totals = found
    length, stride = plan
    width = order - 1
    mask = np.uint32(contexts.size - 2)
    no_bucket = np.uint32(contexts.size - 1)  # counts what takes no part, emptied every time
    context_keys = np.empty(max(length, stride), dtype=np.uint32)
    pair_keys = np.empty(max(length, stride), dtype=np.uint32)
    start = max(first, width)
    while start <= last:
        stop = min(segment_last(start, length, stride), last) + 1
        low, high = start - first, stop - first
        context, pair = context_keys[: stop - start], pair_keys[: stop - start]
        hash_targets(tokens, start, order, mask, context, pair)
        if reach.size:
            for i in range(context.size):
                if reach[low + i] < width:
                    context[i] = pair[i] = no_bucket
        if orders.size:
            part = (orders[low:high], hits[low:high], totals[low:high])
            look_up(contexts, pairs, context, pair, order, min_count, part)
        update(contexts, pairs, context, pair)
        contexts[no_bucket] = pairs[no_bucket] = 0
        start = stop


@njit(cache=True, nogil=True)
def keep_highest(found, other):
    """Take from `other` what it found at a higher order."""
    orders, hits, totals = found
    other_orders, other_hits, other_totals = other
    for i in range(orders.size):
        if other_orders[i] > orders[i]:
            orders[i] = other_orders[i]
            hits[i] = other_hits[i]
            totals[i] = other_totals[i]


class HashedTables:
    """The tables of one hashed cache, and how far they have counted.

    tokens: uint16 (N+1,); plan: the `WindowPlan`; settings: `CacheSettings` of kind hashed;
    start: the first target that is counted. `next_target`: the first not counted yet. `tables`:
    for each order, highest first, its (contexts, pairs), uint32 (buckets + 1,).
    """

    def __init__(self, tokens: np.ndarray, plan, settings, start: int = 1) -> None:
        self.tokens, self.settings, self.next_target = tokens, settings, start
        self.plan = plan.length, plan.stride
        self.tables = {
            order: (_counters(settings.buckets + 1), _counters(settings.buckets + 1))
            for order in range(settings.max_order, settings.min_order - 1, -1)
        }

    def advance(self, last: int, found: Found, threads: int = 1) -> None:
        """Count targets up to `last`, with their look-ups noted in `found` unless it is empty.

        `last` must end a segment, or the text.
        """
        first, self.next_target = self.next_target, last + 1
        reach = NO_LIMIT
        if not self.settings.cross_documents:
            reach = context_reach(self.tokens, first, last, self.settings.max_order)
        orders = list(self.tables)
        own = [found] + [tuple(map(np.zeros_like, found)) for _ in orders[1:threads]]

        def walk(thread: int) -> None:
            for order in orders[thread::threads]:
                count_block(
                    self.tokens,
                    first,
                    last,
                    self.plan,
                    order,
                    self.settings.min_count,
                    reach,
                    self.tables[order],
                    own[thread],
                )

        run_threads(walk, len(own))
        for other in own[1:]:
            keep_highest(found, other)

    def distribution(self, target: int, vocabulary: int) -> tuple[int, int, np.ndarray]:
        """Order, total, and hits of every token (vocabulary,), had it been the target's token.

        The tables must have counted exactly the segments before the target's. This is `look_up`
        itself, called with the target's token replaced by every other one.
        """
        found = empty_found(vocabulary)
        reach = context_reach(self.tokens, target, target, self.settings.max_order)[0]
        context_keys = np.empty(vocabulary, dtype=np.uint32)
        pair_keys = np.empty(vocabulary, dtype=np.uint32)
        mask = np.uint32(self.settings.buckets - 1)
        for order, (contexts, pairs) in self.tables.items():
            width = order - 1
            if target < width or (not self.settings.cross_documents and reach < width):
                continue
            text = np.empty(width + 1, dtype=np.uint16)
            text[:width] = self.tokens[target - width : target]
            for token in range(vocabulary):
                text[width] = token
                one = slice(token, token + 1)
                hash_targets(text, width, order, mask, context_keys[one], pair_keys[one])
            look_up(
                contexts, pairs, context_keys, pair_keys, order, self.settings.min_count, found
            )
        orders, hits, totals = found
        return int(orders[0]), int(totals[0]), hits


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
    progress is called with the number of targets just finished.
    """
    read_from = int(segment_first(first_target, plan.length, plan.stride))
    found = empty_found(last_target - read_from + 1)
    state = HashedTables(tokens, plan, settings, 1 if settings.prefill else first_target)
    while (first := state.next_target) <= last_target:
        last = int(segment_last(first + BLOCK_TARGETS - 1, plan.length, plan.stride))
        if first < read_from:
            last = min(last, read_from - 1)
        last = min(last, last_target)
        low = max(first - read_from, 0)
        high = max(last + 1 - read_from, 0)
        state.advance(last, tuple(array[low:high] for array in found), threads)
        progress(last + 1 - first)
    return tuple(array[first_target - read_from :] for array in found)


def hashed_distributions(
    tokens: np.ndarray, plan, settings, start: int, targets: np.ndarray, vocabulary: int
) -> MatchDistributions:
    """Counts of every token of the vocabulary at some targets, had it been the target's token.

    targets: sorted, none twice; start: the first target that is counted.
    """
    state = HashedTables(tokens, plan, settings, start)
    orders, _, totals = empty_found(len(targets))
    hits = np.empty((len(targets), vocabulary), dtype=np.uint32)
    for row, target in enumerate(targets.tolist()):
        seen = int(segment_first(target, plan.length, plan.stride)) - 1
        if seen >= state.next_target:
            state.advance(seen, empty_found(0))
        orders[row], totals[row], hits[row] = state.distribution(target, vocabulary)
    return MatchDistributions(orders, totals, hits)


def _counters(count: int) -> np.ndarray:
    return np.zeros(count, dtype=np.uint32)
