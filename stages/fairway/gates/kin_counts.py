"""Counts of the kin: what earlier documents went on with where they shared tokens with this one.

Who shares eight tokens in a row with an earlier document often shares more, with words changed in
between, which no long context survives. So short contexts are counted in these stretches, apart
from the whole text:

    the index   where `ANCHOR` tokens were last, in any document that has ended; of all anchors one
                in four is in it, chosen by the tokens themselves
    a meeting   the last tokens are an anchor in the index. The block of `STRETCH` tokens in which
                it was followed, and the next two, are counted, each once for a document
    the counts  `fairway.gates.kin_grams`, forgotten at the end of the document

A memory's documents are kin like the text's own. What is counted depends on the tokens up to now
alone. Caches of a document's own words: Kuhn and De Mori (1990). Finding where the last few tokens
were before by a hash of them: the match model of Mahoney's lpaq, which then predicts one token.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fairway.corpus.shards import BOS
from fairway.gates.document_counts import DOCUMENT_TOKENS
from fairway.gates.kin_grams import (
    KinGrams,
    context_value,
    count_gram,
    forget_grams,
    gram_hits,
    grams_with_room,
    has_gram_room,
    last_tokens,
    new_grams,
    widen_for,
)
from fairway.kernels.compiled import borrowing, compiled
from fairway.kernels.dictionary import FULLEST, doubled, find_slot, scramble, slot_shift
from fairway.kernels.prefetch import prefetch

ANCHOR = 8  # tokens that two documents must share
STRETCH = 16  # tokens counted at once
AHEAD = 3  # such blocks from a meeting on
_SPARSE = np.uint64(62)  # no bit from this one on: one in four
_FEWEST_SLOTS = 1 << 12
_TOKENS, _START, _DOCUMENT, _INDEXED = 0, 1, 2, 3  # of `used`


class KinCounts(NamedTuple):
    """Arrays of the counts; kernels change them in place.

    grams: of the kin of the current document. index: a `fairway.kernels.dictionary` from an
    anchor's key to the place behind it. tokens: uint16 (room,), memory and text. counted: uint32
    (room/STRETCH + AHEAD,), the document for which a block was counted. used: int64 (4,), tokens
    so far, the place where the document began, its number, anchors in the index.
    """

    grams: KinGrams
    index: np.ndarray
    tokens: np.ndarray
    counted: np.ndarray
    used: np.ndarray

    def content(self) -> Iterator[bytes]:
        """All that the counts depend on; free room does not matter."""
        yield from self.grams.content()
        yield self.tokens[: self.used[_TOKENS]].tobytes() + self.used.tobytes()
        yield self.index.sum(axis=0).tobytes()  # in any order
        yield np.flatnonzero(self.counted == self.used[_DOCUMENT]).tobytes()


def new_kin(seen: np.ndarray) -> KinCounts:
    """The counts at the end of `seen`, uint16 (tokens,): none, as no document has met another."""
    kin = KinCounts(
        new_grams(),
        np.zeros((_FEWEST_SLOTS, 2), dtype=np.uint64),
        np.zeros(0, dtype=np.uint16),
        np.zeros(AHEAD, dtype=np.uint32),
        np.array([0, 0, 1, 0]),
    )
    for start in range(0, len(seen), DOCUMENT_TOKENS):
        part = seen[start : start + DOCUMENT_TOKENS]
        kin = fitted_kin(kin, len(part), 0)
        _take_memory(kin, part)
    return kin


def fitted_kin(kin: KinCounts, tokens: int, targets: int) -> KinCounts:
    """The counts with room to see `tokens` more and to count the kin of `targets` of them.

    The same arrays, or larger copies.
    """
    seen, index = int(kin.used[_TOKENS]) + tokens, kin.index
    while kin.used[_INDEXED] + seen - kin.used[_START] > FULLEST * len(index):
        index = doubled(index)
    more = max(0, seen - len(kin.tokens))
    if more:
        more = max(more, len(kin.tokens) // 2)
        kin = kin._replace(
            tokens=np.append(kin.tokens, np.zeros(more, dtype=np.uint16)),
            counted=np.append(kin.counted, np.zeros(more // STRETCH + 1, dtype=np.uint32)),
        )
    return kin._replace(index=index, grams=grams_with_room(kin.grams, targets * AHEAD * STRETCH))


@borrowing
def has_kin_room(kin, targets):
    """Whether the kin of `targets` more can be counted."""
    return has_gram_room(kin.grams, targets * AHEAD * STRETCH)


@borrowing
def is_anchor(tokens, stop):
    """Whether the tokens before place `stop` may be in the index: the last two decide."""
    return scramble(last_tokens(tokens, stop, 2)) >> _SPARSE == 0


@borrowing
def anchor_key(tokens, stop):
    """The key of the `ANCHOR` tokens before place `stop`: 128 bits, mixed into 64; never 0."""
    half = ANCHOR // 2
    low, high = last_tokens(tokens, stop - half, half), last_tokens(tokens, stop, half)
    key = scramble(scramble(low) + high)
    return (key ^ key >> np.uint64(32)) | np.uint64(1)


@borrowing
def _take(kin, token):
    """Take the next token. Where that ends a document, its anchors go into the index."""
    place, start = kin.used[_TOKENS], kin.used[_START]
    kin.tokens[place] = token
    kin.used[_TOKENS] = place + 1
    if token != BOS and place - start < DOCUMENT_TOKENS:
        return
    shift = slot_shift(kin.index)
    for stop in range(start + ANCHOR, place + 1):
        if is_anchor(kin.tokens, stop):
            key = anchor_key(kin.tokens, stop)
            slot = find_slot(kin.index, key, scramble(key), shift)
            kin.used[_INDEXED] += kin.index[slot, 0] == 0
            kin.index[slot, 0] = key
            kin.index[slot, 1] = np.uint64(stop)
    kin.used[_START] = place
    kin.used[_DOCUMENT] += 1
    forget_grams(kin.grams)


@compiled
def _take_memory(kin, tokens):
    for token in tokens:
        _take(kin, token)


@borrowing
def fetch_kin(kin, tokens, first, stop):
    """Ask for where the index will be read at `tokens`, first … stop−1: it is far memory."""
    shift, behind = slot_shift(kin.index), kin.used[_TOKENS] + 1 - first
    for i in range(first, stop):
        kin.tokens[behind + i - 1] = tokens[i]
        if behind + i >= ANCHOR and is_anchor(kin.tokens, behind + i):
            key = anchor_key(kin.tokens, behind + i)
            prefetch(kin.index, np.uint64(2) * (scramble(key) >> shift))


@borrowing
def observe_kin(kin, token):
    """Take the next target; afterwards the counts are those before the target behind it."""
    _take(kin, token)
    stop = kin.used[_TOKENS]
    if stop - kin.used[_START] >= ANCHOR and is_anchor(kin.tokens, stop):
        key = anchor_key(kin.tokens, stop)
        slot = find_slot(kin.index, key, scramble(key), slot_shift(kin.index))
        if kin.index[slot, 0]:
            _meet(kin, np.int64(kin.index[slot, 1]))


@borrowing
def _meet(kin, place):
    """Count the blocks in which the anchor before `place` is followed, to its document's end."""
    first = place // STRETCH
    for block in range(first, first + AHEAD):
        if kin.counted[block] == kin.used[_DOCUMENT]:
            continue
        kin.counted[block] = kin.used[_DOCUMENT]
        widen_for(kin.grams, STRETCH)
        begin = max(block * STRETCH, 2)
        for at in range(begin, min((block + 1) * STRETCH, kin.used[_START])):
            count_gram(kin.grams, kin.tokens, at)
            if at >= place and kin.tokens[at] == BOS:
                return


@borrowing
def _context(kin, level):
    return last_tokens(kin.tokens, kin.used[_TOKENS], level + 1)


@borrowing
def read_kin_contexts(kin, levels, total, distinct, row):
    """Fill total and distinct of the next target's context of order n at [row, levels[n−2]]."""
    for k in range(levels.size):
        total[row, levels[k]] = distinct[row, levels[k]] = 0
        if kin.used[_TOKENS] > k:
            found = context_value(kin.grams, k, _context(kin, k))
            total[row, levels[k]], distinct[row, levels[k]] = found


@borrowing
def read_kin_hits(kin, levels, token, total, hits, row):
    """Fill how often `token` followed these contexts, whose total is known."""
    for k in range(levels.size):
        hits[row, levels[k]] = 0
        if total[row, levels[k]]:
            hits[row, levels[k]] = gram_hits(kin.grams, k, _context(kin, k), token)


@borrowing
def read_kin_successors(kin, level, hits):
    """Fill how often each token, (vocabulary,), followed the context of `KIN_ORDERS[level]`."""
    context = _context(kin, level)
    for token in range(hits.size):
        hits[token] = gram_hits(kin.grams, level, context, token)
