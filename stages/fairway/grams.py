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

from fairway.prefetch import prefetch
from fairway.segments import segment_last
from fairway.shards import BOS
from fairway.threads import run_threads, split

ONCE = np.uint32(0xFFFFFFFF)  # the name of a gram that occurs once
ASKS = np.uint32(1 << 31)  # flag of a position that looks up but is not counted
POSITION = np.uint32(ASKS - 1)  # the bits of a position without the flag
MAX_TOKENS = 1 << 31
FULLEST = 0.6  # share of the dictionary's slots in use before it is doubled
MIN_SLOTS = 1 << 12
CHUNK = 256  # entries whose slots are fetched together, or more to the end of a run

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
def run_last(position, origin, plan):
    """Last position of the run that `position` is in: entries looked up before any is counted.

    plan: (length, stride) if runs are the segments (`origin`, the position before the first
    counted target, is a run of its own), stride 0 if every position is one.
    """
    if plan[1] == 0 or position <= origin:
        return position
    return segment_last(position, plan[0], plan[1])


@njit(cache=True, nogil=True)
def run_stop(positions, start, origin, plan):
    """Index after the last entry of the run that entry `start` is in."""
    last = run_last(np.int64(positions[start] & POSITION), origin, plan)
    stop = start + 1
    while stop < positions.size and np.int64(positions[stop] & POSITION) <= last:
        stop += 1
    return stop


@njit(cache=True, nogil=True)
def choose_entries(shorter, front, share, start, stop, entries, slots):
    """Note the entries start … stop−1 whose keys fall to a share, and their scrambled keys.

    share: (s, of). Returns how many there are.
    """
    chosen = 0
    for i in range(start, stop):
        scrambled = scramble(gram_key(shorter[i], front[i]))
        entries[chosen] = i
        slots[chosen] = scrambled
        chosen += np.int64(scrambled & np.uint64(0xFFFF)) * share[1] >> 16 == share[0]
    return chosen


@njit(cache=True, nogil=True)
def name_grams(grams, table, used, origin, plan, share, start, buffers, names, counts):
    """Name the grams of entries start, … and count each one's earlier occurrences.

    grams: (positions, shorter names, tokens in front). plan: as in `run_last`. share: (s, of):
    only grams whose keys fall to share s are handled, so that threads need no locks. buffers:
    scratch, int64 and uint64, CHUNK elements longer than the longest run. Writes names (`ONCE`
    for a gram that does not occur again) and counts: occurrences in earlier runs.
    Returns (entry to go on from, slots used); stops early when the table is too full.
    """
    positions, shorter, front = grams
    entries, slots = buffers
    shift = slot_shift(table)
    while start < positions.size:
        stop = run_stop(positions, min(start + CHUNK, positions.size) - 1, origin, plan)
        if used + stop - start > FULLEST * table.shape[0]:
            break
        chosen = choose_entries(shorter, front, share, start, stop, entries, slots)
        for k in range(chosen):  # the slots are on their way before the first is used
            prefetch(table, np.uint64(2) * (slots[k] >> shift))
        begin = 0
        while begin < chosen:
            last = run_last(np.int64(positions[entries[begin]] & POSITION), origin, plan)
            k = begin
            while k < chosen and np.int64(positions[entries[k]] & POSITION) <= last:
                i = entries[k]
                key = gram_key(shorter[i], front[i])
                slot = find_slot(table, key, slots[k], shift)
                entry = table[slot, 1]
                if table[slot, 0] != key:
                    table[slot, 0] = key
                    table[slot, 1] = np.uint64(i) << np.uint64(32)
                    names[i] = ONCE
                    counts[i] = 0
                    used += 1
                else:
                    first = entry >> np.uint64(32)
                    names[i] = first
                    counts[i] = entry & _COUNT
                    if not entry & _REPEATED:
                        names[first] = first
                        table[slot, 1] = entry | _REPEATED
                slots[k] = slot
                k += 1
            for seen in range(begin, k):
                if positions[entries[seen]] < ASKS:
                    table[slots[seen], 1] += np.uint64(1)
            begin = k
        start = stop
    return start, used


@njit(cache=True, nogil=True)
def survivors(tokens, positions, names, length, origin, cross_documents, part, out):
    """Entries whose grams can still repeat at `length`, with the token in front of each.

    names: of the grams of length−1. A gram can repeat if both grams in it that are one shorter
    do: the one ending where it ends, and the one ending a token before (unless that one may have
    occurred before `origin`, where nothing is listed). A context may begin at a BOS but not reach
    over it: with cross_documents false, grams that hold a BOS other than as first or last token
    are dropped. part: (start, stop), of the entries. out: (positions, names, front), filled from
    `start` on; returns how many survive.
    """
    out_positions, out_names, out_front = out
    kept = part[0]
    repeated = -1  # the last position passed whose gram repeats
    for i in range(part[0] - 1, -1, -1):
        if positions[i] < ASKS:
            if names[i] != ONCE:
                repeated = np.int64(positions[i])
            break
    for i in range(part[0], part[1]):
        position = np.int64(positions[i] & POSITION)
        if names[i] == ONCE:
            continue
        before = repeated
        if positions[i] < ASKS:
            repeated = position
        if position < length - 1 or (before != position - 1 and origin == 0):
            continue
        if not cross_documents and length > 2 and tokens[position - length + 2] == BOS:
            continue
        out_positions[kept] = positions[i]
        out_names[kept] = names[i]
        out_front[kept] = tokens[position - length + 1]
        kept += 1
    return kept - part[0]


@dataclass(frozen=True)
class Level:
    """All positions whose gram of some length may repeat, in text order.

    positions: uint32, where the grams end; names, counts: as `name_grams` gives them. shorter,
    front: names of the grams without their first token, and that token. Overwritten by the level
    after the next.
    """

    length: int
    positions: np.ndarray
    shorter: np.ndarray
    front: np.ndarray
    names: np.ndarray
    counts: np.ndarray

    @classmethod
    def empty(cls, entries: int) -> "Level":
        """Memory for a level of so many entries."""
        kinds = np.uint32, np.uint32, np.uint16, np.uint32, np.uint32
        return cls(-1, *(np.empty(entries, dtype=kind) for kind in kinds))

    def cut(self, length: int, entries: int) -> "Level":
        """The first so many entries, as a level of grams of `length`."""
        arrays = self.positions, self.shorter, self.front, self.names, self.counts
        return Level(length, *(array[:entries] for array in arrays))


class GramLevels:
    """The levels of growing gram length over one stretch of text.

    tokens: uint16, read-only; positions: uint32, sorted, the first being `origin`, the position
    before the first counted target; ends: uint16, the last token of the gram at each position;
    plan: (length, stride), stride 0 to count per token.

    Memory is taken once and used again at every length: touching fresh memory costs more than
    working on it.
    """

    def __init__(self, tokens, positions, ends, plan, cross_documents, threads=1) -> None:
        self.tokens, self.plan, self.cross_documents = tokens, plan, cross_documents
        self.threads, self.origin = threads, int(positions[0])
        self.space = Level.empty(positions.size), Level.empty(positions.size)
        self.space[1].positions[:], self.space[1].front[:] = positions, ends
        self.space[1].shorter[:] = 0
        asking = np.count_nonzero(positions >= ASKS)
        self.scratch = CHUNK + min(positions.size, max(plan) + asking)
        self.tables = [np.zeros((MIN_SLOTS, 2), dtype=np.uint64) for _ in range(threads)]
        self.slots = [MIN_SLOTS] * threads  # how many of a table's the last length used

    def levels(self, shortest: int, longest: int) -> Iterator[Level]:
        """Yield a Level for every gram length; `shortest` is 0, the empty gram, or 1."""
        entries = self.space[1].positions.size
        if shortest == 0:
            level = self.space[0].cut(0, entries)
            level.positions[:], level.shorter[:], level.front[:] = self.space[1].positions, 0, 0
            self._name(level)
            yield level
        for length in range(1, longest + 1):
            level = self.space[length % 2].cut(length, entries)
            self._name(level)
            yield level
            entries = self._survivors(level, self.space[1 - length % 2])

    def _name(self, level: Level) -> None:
        def fill(thread: int) -> None:
            entries = level.positions.size
            most = 1 << int(entries / self.threads / FULLEST).bit_length()
            slots = min(self.slots[thread], max(most, MIN_SLOTS))
            table, start, used = self.tables[thread][:slots], 0, 0
            table[:] = 0
            buffers = np.empty(self.scratch, np.int64), np.empty(self.scratch, np.uint64)
            while True:
                start, used = name_grams(
                    (level.positions, level.shorter, level.front),
                    table,
                    used,
                    self.origin,
                    self.plan,
                    (thread, self.threads),
                    start,
                    buffers,
                    level.names,
                    level.counts,
                )
                if start == entries:
                    break
                table = doubled(table)
            self.slots[thread] = len(table)
            if len(table) > len(self.tables[thread]):
                self.tables[thread] = table

        run_threads(fill, self.threads)

    def _survivors(self, level: Level, space: Level) -> int:
        parts = split(level.positions.size, self.threads)
        out = space.positions, space.shorter, space.front
        kept = [0] * self.threads

        def fill(thread: int) -> None:
            kept[thread] = survivors(
                self.tokens,
                level.positions,
                level.names,
                level.length + 1,
                self.origin,
                self.cross_documents,
                parts[thread],
                out,
            )

        run_threads(fill, self.threads)
        total = kept[0]
        for (start, _), count in zip(parts[1:], kept[1:], strict=True):
            for array in out:
                array[total : total + count] = array[start : start + count]
            total += count
        return total
