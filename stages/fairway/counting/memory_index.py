"""What followed each context in a memory, without a tree of it: its suffixes, in order.

Suffixes that begin with the same w tokens stand together, ordered by the token after these. So a
context is an interval, found within that of the context one token shorter by bisection, and the
tokens that followed it are the interval's steps (suffix arrays: Manber and Myers, 1993). Only the
first tokens of a suffix count, as many as the longest context and its target have. The steps of
contexts of one token, by far the widest, are kept.
"""

from typing import NamedTuple

import numpy as np

from fairway.kernels.compiled import borrowing, compiled

_TOKENS = 1 << 16  # any token is below it
_ENDS = -1  # stands for the token behind the memory's last


class MemoryIndex(NamedTuple):
    """tokens: uint16 (tokens,); suffixes: uint32 (tokens,), where they begin, in order.

    pairs: uint32 (different pairs + 1,), the first place in `suffixes` of each two first tokens.
    """

    tokens: np.ndarray
    suffixes: np.ndarray
    pairs: np.ndarray


def index_memory(tokens: np.ndarray, depth: int) -> MemoryIndex:
    """Order the suffixes of a memory by their first `depth` tokens.

    A radix sort from the last of these tokens to the first; about 12 bytes a token while it runs.
    """
    plain = np.array(tokens, dtype=np.uint16)
    padded = np.concatenate([plain, np.zeros(depth, dtype=np.uint16)])
    # from the last one on, so that of equal ones those that end come first
    suffixes = np.arange(len(plain), dtype=np.uint32)[::-1].copy()
    spare = np.empty_like(suffixes)
    for distance in range(depth - 1, -1, -1):
        _sort_by_token(padded, distance, suffixes, spare)
        suffixes, spare = spare, suffixes
    return MemoryIndex(plain, suffixes, _pairs(plain, suffixes, spare))


@compiled
def _pairs(tokens, suffixes, places):
    """Where the first two tokens of suffixes are not those of the one before, and the end."""
    used, before = 0, -1
    for place in range(suffixes.size):
        start = np.int64(suffixes[place])
        second = np.int64(tokens[start + 1]) if start + 1 < tokens.size else _ENDS
        pair = tokens[start] * (_TOKENS + 1) + second + 1
        if pair != before:
            places[used] = place
            used += 1
        before = pair
    return np.append(places[:used], np.uint32(suffixes.size))


@compiled
def _sort_by_token(tokens, distance, suffixes, target):
    """Order suffixes by the token `distance` after their first, equal ones as they were."""
    place = np.zeros(_TOKENS + 1, dtype=np.int64)
    for i in range(suffixes.size):
        place[np.int64(tokens[suffixes[i] + distance]) + 1] += 1
    for token in range(_TOKENS):
        place[token + 1] += place[token]
    for i in range(suffixes.size):
        token = tokens[suffixes[i] + distance]
        target[place[token]] = suffixes[i]
        place[token] += 1


@compiled
def _token(index, place, width):
    """The token behind the first `width` of the suffix at `place`."""
    position = np.int64(index.suffixes[place]) + width
    return np.int64(index.tokens[position]) if position < index.tokens.size else _ENDS


@compiled
def _first_above(index, low, high, width, token):
    """The first place in low … high−1 whose token behind `width` is above `token`, or high."""
    while low < high:
        middle = (low + high) // 2
        if _token(index, middle, width) > token:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def advance_intervals(index, intervals, token):
    """Make `token` part of the contexts. intervals: int64 (widths, 2), of 0, 1, 2, … tokens."""
    for width in range(intervals.shape[0] - 1, 0, -1):
        low, high = intervals[width - 1]
        first = _first_above(index, low, high, width - 1, token - 1)
        intervals[width, 0] = first
        intervals[width, 1] = _first_above(index, first, high, width - 1, token)


@borrowing
def _end_of_run(index, place, high, width, token):
    """The first place behind `place`, or high, whose token behind `width` is above `token`."""
    step = 1
    while place + step < high and _token(index, place + step, width) == token:
        place += step
        step *= 2
    return _first_above(index, place + 1, min(place + step, high), width, token)


@borrowing
def _add_follower(index, width, token, count, row, totals, distinct, hits):
    if width == 0 and token == index.tokens[0]:
        count -= 1
    if token != _ENDS and count:
        distinct[row] += hits[row, token] == 0
        hits[row, token] += np.uint32(count)
        totals[row] += np.uint32(count)


@compiled
def add_followers(index, narrowest, intervals, totals, distinct, hits):
    """Add what followed each context to totals (orders,), distinct (orders,) and hits, all uint32.

    Row k is the context of narrowest + k tokens; hits: (orders, vocabulary). The memory's first
    token has nothing before it and is no target.
    """
    for row in range(totals.size):
        width = narrowest + row
        place, high = intervals[width]
        pair = np.searchsorted(index.pairs, place) if width == 1 else 0
        while place < high:
            token = _token(index, place, width)
            if width == 1:
                pair += 1
                stop = np.int64(index.pairs[pair])
            else:
                stop = _end_of_run(index, place, high, width, token)
            _add_follower(index, width, token, stop - place, row, totals, distinct, hits)
            place = stop
