"""What followed each context in a memory, without a tree of it: its suffixes, in order.

Suffixes that begin with the same w tokens stand together, ordered by the token after these. So a
context is an interval, found within that of the context one token shorter by bisection, and the
tokens that followed it are the interval's steps (suffix arrays: Manber and Myers, 1993). Only the
first tokens of a suffix count, as many as the longest context and its target have.
"""

from typing import NamedTuple

import numpy as np

from fairway.kernels.compiled import compiled

_TOKENS = 1 << 16  # any token is below it
_ENDS = -1  # stands for the token behind the memory's last


class MemoryIndex(NamedTuple):
    """tokens: uint16 (tokens,); suffixes: uint32 (tokens,), where they begin, in order."""

    tokens: np.ndarray
    suffixes: np.ndarray


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
    return MemoryIndex(plain, suffixes)


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


@compiled
def add_followers(index, width, interval, row):
    """Add what followed a context of `width` tokens to totals, distinct and hits of one order.

    row: (totals, distinct, hits), uint32 of shapes (1,), (1,) and (vocabulary,). The memory's
    first token has nothing before it and is no target.
    """
    totals, distinct, hits = row
    place, high = interval
    while place < high:
        token = _token(index, place, width)
        stop = _first_above(index, place + 1, high, width, token)
        count = np.uint32(stop - place)
        if width == 0 and token == index.tokens[0]:
            count -= np.uint32(1)
        if token != _ENDS and count:
            distinct[0] += hits[token] == 0
            hits[token] += count
            totals[0] += count
        place = stop
