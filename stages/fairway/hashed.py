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
from threading import Lock

import numpy as np

from fairway.compiled import compiled
from fairway.counts import Found, MatchDistributions, empty_found
from fairway.prefetch import prefetch
from fairway.segments import context_reach, segment_first, segment_last
from fairway.threads import run_threads, split

PRIMES = np.array([36313, 27191, 51647, 81929, 131071, 175447, 209591], dtype=np.uint32)
MAX_BUCKETS = 1 << 31  # keys are uint32, and one more counter is kept
NO_LIMIT = np.empty(0, dtype=np.uint8)  # a reach: contexts may be of any length
BLOCK_TARGETS = 1 << 15  # targets per block, about; blocks end where segments end


@compiled
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


@compiled
def fetch(contexts, pairs, context_keys, pair_keys, low, high):
    """Ask for the counters of elements low … high−1, so that they are near when needed."""
    for i in range(low, high):
        prefetch(contexts, context_keys[i])
        prefetch(pairs, pair_keys[i])


@compiled
def look_up(contexts, pairs, context_keys, pair_keys, low, high, order, min_count, found):
    """Note `order` where the context is known well enough and no higher order was noted before.

    Elements low … high−1 of all arrays; found: (orders uint8, hits uint32, totals uint32), order
    0 is none.
    """
    orders, hits, totals = found
    for i in range(low, high):
        if orders[i] == 0:
            total = contexts[context_keys[i]]
            if total >= min_count:
                orders[i] = order
                totals[i] = total
                hits[i] = min(pairs[pair_keys[i]], total)


@compiled
def update(contexts, pairs, context_keys, pair_keys, low, high):
    """Count the contexts and pairs of elements low … high−1."""
    for i in range(low, high):
        contexts[context_keys[i]] += 1
        pairs[pair_keys[i]] += 1


@compiled
def count_block(tokens, first, last, plan, order, min_count, reach, tables, found):
    """Look up and count targets first … last in one order, segment by segment.

    plan: (length, stride). reach: how many context tokens each target of the block may use, or
    empty if all may use any number. tables: (contexts, pairs), each of B+1 counters; the last one
    counts what takes no part and is emptied every time. found: see `look_up`, one element per
    target of the block, or empty if the block is only to be counted.
    """
    start = max(first, order - 1)
    if start > last:
        return
    contexts, pairs = tables
    count, skipped = last + 1 - start, start - first
    rows = found[0][skipped:], found[1][skipped:], found[2][skipped:]
    context_keys = np.empty(count, dtype=np.uint32)
    pair_keys = np.empty(count, dtype=np.uint32)
    hash_targets(tokens, start, order, np.uint32(contexts.size - 2), context_keys, pair_keys)
    for i in range(skipped, reach.size):
        if reach[i] < order - 1:
            context_keys[i - skipped] = pair_keys[i - skipped] = contexts.size - 1
    low = fetched = 0
    while low < count:
        high = min(segment_last(start + low, plan[0], plan[1]) + 1 - start, count)
        ahead = min(segment_last(start + high, plan[0], plan[1]) + 1 - start, count)
        fetch(contexts, pairs, context_keys, pair_keys, fetched, ahead)
        if rows[0].size:
            look_up(contexts, pairs, context_keys, pair_keys, low, high, order, min_count, rows)
        update(contexts, pairs, context_keys, pair_keys, low, high)
        contexts[-1] = pairs[-1] = 0
        low, fetched = high, ahead


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


Tables = tuple[np.ndarray, np.ndarray]


def empty_tables(buckets: int) -> Tables:
    """Memory for one order's context and pair counters, and one more of each for no bucket."""
    return np.zeros(buckets + 1, dtype=np.uint32), np.zeros(buckets + 1, dtype=np.uint32)


class HashedOrder:
    """The two tables of one order, and how far they have counted.

    tokens: uint16 (N+1,); plan: the `WindowPlan`; settings: `CacheSettings` of kind hashed;
    start: the first target that is counted; tables: (contexts, pairs), each uint32 (buckets + 1,),
    of any content. Taking the same tables for the next order saves touching fresh memory, which
    costs more than emptying them. next_target: the first target that is not counted yet.
    """

    def __init__(self, tokens, plan, settings, order: int, start: int, tables: Tables) -> None:
        self.tokens, self.settings, self.order = tokens, settings, order
        self.plan = plan.length, plan.stride
        self.next_target = start
        self.contexts, self.pairs = self.tables = tables
        self.contexts[:] = self.pairs[:] = 0

    def advance(self, last: int, found: Found) -> None:
        """Count targets up to `last`, which must end a segment or the text.

        found: what higher orders matched at these targets; this order's look-ups are added where
        they matched none. Empty if the targets are only to be counted.
        """
        first, self.next_target = self.next_target, last + 1
        count_block(
            self.tokens,
            first,
            last,
            self.plan,
            self.order,
            self.settings.min_count,
            self._reach(first, last),
            self.tables,
            found,
        )

    def ask(self, target: int, found: Found) -> None:
        """Add to `found`, one element per token of the vocabulary, what this order matches.

        As if each token were the target's. The tables must have counted the segments before it.
        """
        width = self.order - 1
        reach = self._reach(target, target)
        if target < width or (reach.size and reach[0] < width):
            return
        vocabulary = found[0].size
        context_keys = np.empty(vocabulary, dtype=np.uint32)
        pair_keys = np.empty(vocabulary, dtype=np.uint32)
        mask = np.uint32(self.settings.buckets - 1)
        text = self.tokens[target - width : target + 1].copy()
        for token in range(vocabulary):
            text[width] = token
            one = slice(token, token + 1)
            hash_targets(text, width, self.order, mask, context_keys[one], pair_keys[one])
        look_up(
            self.contexts,
            self.pairs,
            context_keys,
            pair_keys,
            0,
            vocabulary,
            self.order,
            self.settings.min_count,
            found,
        )

    def _reach(self, first: int, last: int) -> np.ndarray:
        if self.settings.cross_documents:
            return NO_LIMIT
        return context_reach(self.tokens, first, last, self.order)


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
    orders = range(settings.max_order, settings.min_order - 1, -1)
    found = [empty_found(last_target + 1 - read_from) for _ in orders[:threads]]
    lock = Lock()

    def walk(thread: int) -> None:
        tables = empty_tables(settings.buckets)
        for order in orders[thread::threads]:
            state = HashedOrder(tokens, plan, settings, order, start, tables)
            while (first := state.next_target) <= last_target:
                last = int(segment_last(first + BLOCK_TARGETS - 1, plan.length, plan.stride))
                last = min(last, last_target if first >= read_from else read_from - 1)
                low, high = max(first - read_from, 0), max(last + 1 - read_from, 0)
                state.advance(last, tuple(array[low:high] for array in found[thread]))
                with lock:
                    progress(last + 1 - first)

    parts = split(found[0][0].size, len(found))

    def merge(thread: int) -> None:
        part = slice(*parts[thread])
        for other in found[1:]:
            keep_highest(tuple(a[part] for a in found[0]), tuple(a[part] for a in other))

    run_threads(walk, len(found))
    run_threads(merge, len(found))
    return tuple(array[first_target - read_from :] for array in found[0])


def hashed_distributions(
    tokens: np.ndarray, plan, settings, start: int, targets: np.ndarray, vocabulary: int
) -> MatchDistributions:
    """Counts of every token of the vocabulary at some targets, had it been the target's token.

    targets: sorted, none twice; start: the first target that is counted.
    """
    found, tables = [empty_found(vocabulary) for _ in targets], empty_tables(settings.buckets)
    for order in range(settings.max_order, settings.min_order - 1, -1):
        state = HashedOrder(tokens, plan, settings, order, start, tables)
        for target, row in zip(targets.tolist(), found, strict=True):
            seen = int(segment_first(target, plan.length, plan.stride)) - 1
            if seen >= state.next_target:
                state.advance(seen, empty_found(0))
            state.ask(target, row)
    orders, hits, totals = (np.stack(arrays) for arrays in zip(*found, strict=True))
    return MatchDistributions(orders[:, 0], totals[:, 0], hits)
