"""Grams named without collisions: which stretches of text are equal, and how often each occurred.

The gram of length L ending at position e is x[e−L+1 … e]. Two positions get the same *name* at
length L if and only if their grams are equal. Names are refined one length at a time:

    a gram of length L is its last L−1 tokens (a name of length L−1) and one token in front

so the pair (name, token) identifies it exactly: 48 bits, no fingerprint, nothing to collide. One
dictionary from such pairs to running counts is filled from left to right; what it holds when it
reaches e is how often e's gram occurred before. A group's name is the index of its first member.

A gram that occurs once cannot occur twice when made longer. Such positions are dropped, so the
lists shrink from length to length and long grams cost less than short ones.

A position with the `ASKS` bit set looks up its gram but is not counted: that is how the counts of
tokens that did not come are read by the code that counts those that did.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from fairway.segments import segment_last
from fairway.shards import BOS
from fairway.threads import run_threads

ONCE = np.uint32(0xFFFFFFFF)  # the name of a gram that occurs once
ASKS = np.uint32(1 << 31)  # flag of a position that looks up but is not counted
POSITION = np.uint32(ASKS - 1)  # the bits of a position without the flag
MAX_TOKENS = 1 << 31
MIN_SLOTS = 1 << 12
FULLEST = 0.6  # share of the dictionary's slots in use before it is doubled
CHUNK = 256  # entries handled together when every target is counted right away

_REPEATED = np.uint64(1 << 31)  # in an entry: the group has a name
_COUNT = np.uint64((1 << 31) - 1)  # in an entry: times counted so far


@njit(cache=True, nogil=True)
def gram_key(name, token):
    """The dictionary's key of (name, token), never 0."""
    return (np.uint64(name) << np.uint64(16) | np.uint64(token)) + np.uint64(1)


@njit(cache=True, nogil=True)
def scramble(key):
    """Spread a key's bits over 64 bits, one to one (the finaliser of SplitMix64, shortened)."""
    key *= np.uint64(0x9E3779B97F4A7C15)
    key ^= key >> np.uint64(32)
    return key * np.uint64(0xD6E8FEB86659FD93)


@njit(cache=True, nogil=True)
def slot_shift(table):
    """By how much to shift a scrambled key to get its slot; slots are a power of two."""
    slots, shift = table.shape[0], 64
    while slots > 1:
        slots >>= 1
        shift -= 1
    return np.uint64(shift)


@njit(cache=True, nogil=True)
def find_slot(table, key, scrambled, shift):
    """The slot that holds `key`, or the free one where it belongs."""
    last = np.uint64(table.shape[0] - 1)
    slot = scrambled >> shift
    while table[slot, 0] != key and table[slot, 0] != np.uint64(0):
        slot = (slot + np.uint64(1)) & last
    return slot


@njit(cache=True, nogil=True)
def doubled(table):
    """The same dictionary with twice the slots."""
    larger = np.zeros((2 * table.shape[0], 2), dtype=np.uint64)
    shift = slot_shift(larger)
    for old in range(table.shape[0]):
        key = table[old, 0]
        if key:
            slot = find_slot(larger, key, scramble(key), shift)
            larger[slot, 0] = key
            larger[slot, 1] = table[old, 1]
    return larger


@njit(cache=True, nogil=True)
def run_stop(positions, start, origin, plan):
    """Index after the entries that are looked up together with entry `start`.

    plan: (length, stride) for the segment that entry `start` is in (the position before the first
    counted target, `origin`, stands alone); stride 0 for chunks of any entries.
    """
    length, stride = plan
    if stride == 0:
        return min(start + CHUNK, positions.size)
    position = np.int64(positions[start] & POSITION)
    end = origin if position <= origin else segment_last(position, length, stride)
    stop = start + 1
    while stop < positions.size and np.int64(positions[stop] & POSITION) <= end:
        stop += 1
    return stop


@njit(cache=True, nogil=True)
def name_grams(grams, table, used, origin, plan, share, start, buffers, names, counts):
    """Name the grams of entries start, … and count each one's earlier occurrences.

    grams: (positions, shorter names, tokens in front). plan: as in `run_stop`. share: (s, of):
    only the grams whose key falls to share s are handled, so that threads need no locks.
    buffers: scratch, two arrays as long as the longest run. Writes names (`ONCE` for a gram that
    does not occur again) and counts: occurrences in earlier runs, or with stride 0 at all earlier
    entries. Returns (entry to go on from, slots used); stops early when the table is too full.
    """
    positions, shorter, front = grams
    mine, slots = buffers
    per_entry = plan[1] == 0
    shift = slot_shift(table)
    while start < positions.size:
        stop = run_stop(positions, start, origin, plan)
        if used + stop - start > FULLEST * table.shape[0]:
            break
        members = 0
        for i in range(start, stop):
            scrambled = scramble(gram_key(shorter[i], front[i]))
            mine[members] = i
            slots[members] = scrambled
            members += np.int64(scrambled & np.uint64(0xFFFF)) * share[1] >> 16 == share[0]
        for member in range(members):
            i = mine[member]
            key = gram_key(shorter[i], front[i])
            slot = find_slot(table, key, slots[member], shift)
            slots[member] = slot
            entry = table[slot, 1]
            if table[slot, 0] == np.uint64(0):
                used += 1
                table[slot, 0] = key
                entry = np.uint64(i) << np.uint64(32)
                names[i] = ONCE
            else:
                first = entry >> np.uint64(32)
                names[i] = first
                if not entry & _REPEATED:
                    names[first] = first
                    entry |= _REPEATED
            counts[i] = entry & _COUNT
            if per_entry and positions[i] < ASKS:
                entry += np.uint64(1)
            table[slot, 1] = entry
        if not per_entry:
            for member in range(members):
                if positions[mine[member]] < ASKS:
                    table[slots[member], 1] += np.uint64(1)
        start = stop
    return start, used


@njit(cache=True, nogil=True)
def survivors(tokens, positions, names, length, cross_documents, out):
    """Entries whose grams can still repeat at `length`, with the token in front of each.

    names: of the grams of length−1. A context may begin at a BOS but not reach over it: with
    cross_documents false, grams that hold a BOS other than as first or last token are dropped.
    out: (positions, names, front), filled from the start; returns how many survive.
    """
    out_positions, out_names, out_front = out
    kept = 0
    for i in range(positions.size):
        position = np.int64(positions[i] & POSITION)
        if names[i] == ONCE or position < length - 1:
            continue
        if not cross_documents and length > 2 and tokens[position - length + 2] == BOS:
            continue
        out_positions[kept] = positions[i]
        out_names[kept] = names[i]
        out_front[kept] = tokens[position - length + 1]
        kept += 1
    return kept


@dataclass(frozen=True)
class Level:
    """All positions whose gram of some length may repeat, in text order.

    positions: uint32, where the grams end; names, counts: as `name_grams` gives them.
    """

    length: int
    positions: np.ndarray
    names: np.ndarray
    counts: np.ndarray


class GramLevels:
    """The levels of growing gram length over one stretch of text.

    tokens: uint16, read-only; positions: uint32, sorted, the first being `origin`, the position
    before the first counted target; ends: uint16, the last token of the gram at each position;
    plan: (length, stride), stride 0 to count per token.
    """

    def __init__(self, tokens, positions, ends, plan, cross_documents, threads=1) -> None:
        self.tokens, self.plan, self.cross_documents = tokens, plan, cross_documents
        self.positions, self.ends, self.threads = positions, ends, threads
        self.origin = int(positions[0])

    def levels(self, shortest: int, longest: int) -> Iterator[Level]:
        """Yield a Level for every gram length; `shortest` is 0, the empty gram, or 1."""
        positions, shorter = self.positions, np.zeros_like(self.positions)
        if shortest == 0:
            yield self._level(0, positions, shorter, np.zeros_like(self.ends))
        front = self.ends
        for length in range(1, longest + 1):
            level = self._level(length, positions, shorter, front)
            yield level
            out = (np.empty_like(positions), np.empty_like(positions), np.empty_like(front))
            kept = survivors(
                self.tokens, positions, level.names, length + 1, self.cross_documents, out
            )
            positions, shorter, front = (array[:kept] for array in out)

    def _level(self, length: int, positions, shorter, front) -> Level:
        entries = positions.size
        names = np.empty(entries, dtype=np.uint32)
        counts = np.empty(entries, dtype=np.uint32)
        asking = np.count_nonzero(positions >= ASKS)
        longest_run = min(entries, max(*self.plan, CHUNK) + asking)

        def fill(thread: int) -> None:
            grams, share = (positions, shorter, front), (thread, self.threads)
            table = np.zeros((MIN_SLOTS, 2), dtype=np.uint64)
            buffers = np.empty(longest_run, dtype=np.int64), np.empty(longest_run, dtype=np.uint64)
            start = used = 0
            while start < entries:
                start, used = name_grams(
                    grams,
                    table,
                    used,
                    self.origin,
                    self.plan,
                    share,
                    start,
                    buffers,
                    names,
                    counts,
                )
                if start < entries:
                    table = doubled(table)

        run_threads(fill, self.threads)
        return Level(length, positions, names, counts)
