"""Tables of hashed grams: one serves the pairs of an order and the contexts of the next.

`fairway.counting.hashed` states the rule. A pair of order n is hashed exactly like a context of
order n+1: both are *grams* of length n. So one table per length is filled once and looked up
twice. For a segment of targets a … b, with grams named by their last position:

    contexts of a … b    are the grams a−1 … b−1, looked up among the grams before a−1: those are
                         followed by a target that was counted
    pairs of a … b       are the grams a … b, looked up among the grams before a, but for the one
                         before the first counted target: that is a context and no pair

The table holds what contexts are looked up in. For pairs the gram a−1 is added, and that other one
is taken off. Then the grams a−1 … b−1 are counted.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from fairway.counting.counters import FULL, Counters, add, read
from fairway.counting.counts import Found
from fairway.counting.segments import CountedText, context_reach, segment_last
from fairway.kernels.compiled import compiled
from fairway.kernels.prefetch import prefetch

PRIMES = np.array([36313, 27191, 51647, 81929, 131071, 175447, 209591], dtype=np.uint32)
BLOCK_TARGETS = 1 << 14  # targets per block, about; blocks end where segments end
AHEAD = 256  # counters asked for before they are used


class Walk(NamedTuple):
    """One length of grams, and what they are looked up as: contexts, pairs or both.

    As contexts they belong to order length+1, as pairs to order length.
    """

    length: int
    contexts: bool
    pairs: bool


@compiled
def hash_grams(tokens, first, length, mask, keys):
    """Keys of the grams that end at positions first, first+1, …, one per element of `keys`.

    Every gram must lie in the text: first ≥ length−1.
    """
    start = first - length + 1
    keys[:] = 0
    for k in range(length):
        prime = PRIMES[k % 7]
        column = tokens[start + k : start + k + keys.size]
        for i in range(keys.size):
            keys[i] ^= np.uint32(column[i]) * prime
    for i in range(keys.size):
        keys[i] &= mask


@compiled
def keys_between(tokens, first, last, walk, buckets, cross_documents, keys):
    """Keys of the grams that end at positions first … last; `buckets` for those that are left out.

    Left out are grams that would begin before the text, and contexts that would reach over a BOS
    if they may not. keys: uint32 (last − first + 1,), filled.
    """
    length = walk.length
    missing = min(max(length - 1 - first, 0), keys.size)  # they would begin before the text
    keys[:missing] = buckets
    hash_grams(tokens, first + missing, length, np.uint32(buckets - 1), keys[missing:])
    if cross_documents:
        return
    if walk.contexts:  # of the targets after these positions
        longest = context_reach(tokens, first + 1, last + 1, length)
    else:  # contexts of the targets at these positions, and the targets
        longest = context_reach(tokens, first, last, length - 1) + np.uint8(1)
    for i in range(missing, keys.size):
        if longest[i] < length:
            keys[i] = buckets


@compiled
def note_contexts(counts, low, high, order, min_count, found):
    """Note `order` where the context is known well enough and no higher order was noted before.

    counts: of the contexts of targets low … high−1, from counts[0] on. found: (orders uint8, hits
    uint32, totals uint32) by target; order 0 is none, and there hits are this order's. Written
    without branches, which the processor could not foresee.
    """
    orders, hits, totals = found
    order, min_count = np.uint8(order), np.uint32(min_count)
    for k in range(np.uint64(high - low)):
        i, total = np.uint64(low) + k, counts[k]
        known = (orders[i] == np.uint8(0)) & (total >= min_count)
        orders[i] = order if known else orders[i]
        totals[i] = total if known else totals[i]
        hits[i] = min(hits[i], total) if known else hits[i]


@compiled
def note_pairs(counts, keys, low, high, no_pair, found):
    """Set the hits of targets low … high−1 where no order was noted.

    counts, keys: of the gram before the first of these targets, which is not in the table yet, and
    of those at the targets; counts from counts[0] on, keys from keys[low] on. no_pair: key of a
    gram that is in the table but is no pair.
    """
    orders, hits, _ = found
    before = keys[low]
    for k in range(np.uint64(high - low)):
        i, after = np.uint64(low) + k, k + np.uint64(1)
        key = keys[np.uint64(low) + after]
        count = counts[after] + np.uint32(key == before) - np.uint32(key == no_pair)
        hits[i] = count if orders[i] == np.uint8(0) else hits[i]


@compiled
def count_block(first, last, segments, keys, counts, no_pair, walk, min_count, counters, found):
    """Look up and count targets first … last in the table of one length, segment by segment.

    keys: of the grams at positions first−1 … last; counts: memory for as many. counters: B+1 of
    them; the last counts what takes no part and is emptied every time. found: see `note_contexts`,
    one element per target of the block, or empty if the block is only to be counted.
    """
    small, large = counters
    size = last + 1 - first
    low = fetched = 0
    while low < size:
        high = min(segment_last(first + low, segments) + 1 - first, size)
        ahead = min(high + AHEAD, size + 1)
        for i in range(fetched, ahead):
            prefetch(small, keys[i])
        if found[0].size:
            read(small, large, keys, low, high + 1, counts)
            if walk.contexts:
                note_contexts(counts, low, high, walk.length + 1, min_count, found)
            if walk.pairs:
                note_pairs(counts, keys, low, high, no_pair, found)
        add(small, large, keys, low, high)
        small[-1] = 0
        low, fetched = high, ahead


@compiled
def count_text(tokens, first, last, segments, no_pair, walk, rule, counters, found):
    """The same for any number of targets, block by block.

    rule: (buckets, cross_documents, min_count). found: one element per target, or empty.
    """
    buckets, cross_documents, min_count = rule
    longest = min(BLOCK_TARGETS + max(segments.length, segments.stride), last + 1 - first)
    keys = np.empty(longest + 1, dtype=np.uint32)
    counts = np.empty_like(keys)
    orders, hits, totals = found
    start = first
    while start <= last:
        stop = min(segment_last(start + BLOCK_TARGETS - 1, segments), last) + 1
        own = keys[: stop + 1 - start]
        keys_between(tokens, start - 1, stop - 1, walk, buckets, cross_documents, own)
        low, high = start - first, stop - first
        block = orders[low:high], hits[low:high], totals[low:high]
        count_block(
            start, stop - 1, segments, own, counts, no_pair, walk, min_count, counters, block
        )
        start = stop


class GramTable:
    """The table of one length of grams, and how far it has counted. Targets are places here.

    settings: `CacheSettings` of kind hashed; start: the first target that is counted; counters:
    buckets + 1 of them, of any content. Taking the same ones for the next table saves touching
    fresh memory, which costs more than emptying them. next_target: the first target whose segment
    is not counted yet.
    """

    def __init__(
        self, text: CountedText, settings, walk: Walk, start: int, counters: Counters
    ) -> None:
        self.tokens, self.segments = text
        self.settings, self.walk = settings, walk
        self.next_target = start
        self.counters = counters
        self.counters.small[:] = 0
        self.no_pair = self._keys(start - 1, start - 1)[0]

    def advance(self, last: int, found: Found) -> None:
        """Count targets up to `last`, which must end a segment or the text.

        found: what higher orders matched at these targets; this length's look-ups are added where
        they matched none. Empty if the targets are only to be counted.
        """
        first, self.next_target = self.next_target, last + 1
        settings = self.settings
        rule = settings.buckets, settings.cross_documents, settings.min_count
        count_text(
            self.tokens,
            first,
            last,
            self.segments,
            self.no_pair,
            self.walk,
            rule,
            self.counters,
            found,
        )

    def ask(self, target: int, found: Found) -> None:
        """Add to `found`, one element per token of the vocabulary, what this length says of it.

        As if each token were the target's. `target` must lie in the first segment that is not
        counted yet.
        """
        vocabulary = found[0].size
        keys = np.empty(vocabulary + 1, dtype=np.uint32)
        if self.walk.contexts:
            keys[:] = self._keys(target - 1, target - 1)
            order, min_count = self.walk.length + 1, self.settings.min_count
            note_contexts(self._counts(keys), 0, vocabulary, order, min_count, found)
        if self.walk.pairs and self._keys(target, target)[0] < self.settings.buckets:
            before, width = self.next_target - 1, self.walk.length - 1
            keys[0] = self._keys(before, before)[0]
            text, mask = self.tokens[target - width : target + 1].copy(), self._mask
            for token in range(vocabulary):
                text[width] = token
                hash_grams(text, width, width + 1, mask, keys[token + 1 : token + 2])
            note_pairs(self._counts(keys), keys, 0, vocabulary, self.no_pair, found)

    def digest(self) -> str:
        """SHA-256 of all that the counts depend on."""
        small, large = self.counters
        digest = hashlib.sha256(small)
        digest.update(large[small >= FULL].tobytes())
        return digest.hexdigest()

    @property
    def _mask(self) -> np.uint32:
        return np.uint32(self.settings.buckets - 1)

    def _counts(self, keys: np.ndarray) -> np.ndarray:
        counts = np.empty(keys.size, dtype=np.uint32)
        read(*self.counters, keys, 0, keys.size, counts)
        return counts

    def _keys(self, first: int, last: int) -> np.ndarray:
        """Keys of the grams that end at positions first … last."""
        keys = np.empty(last + 1 - first, dtype=np.uint32)
        settings = self.settings
        keys_between(
            self.tokens, first, last, self.walk, settings.buckets, settings.cross_documents, keys
        )
        return keys
