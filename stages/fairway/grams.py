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

import numpy as np

from fairway.compiled import compiled
from fairway.prefetch import prefetch
from fairway.segments import segment_last
from fairway.shards import BOS

ONCE = np.uint32(0xFFFFFFFF)  # the name of a gram that occurs once
ASKS = np.uint32(1 << 31)  # flag of a position that looks up but is not counted
POSITION = np.uint32(ASKS - 1)  # the bits of a position without the flag
MAX_TOKENS = 1 << 31
FULLEST = 0.6  # share of the dictionary's slots in use before it is doubled
CHUNK = 256  # entries whose slots are fetched together, or more to the end of a run

_REPEATED = np.uint64(1 << 31)  # in an entry: the group has a name
_COUNT = np.uint64((1 << 31) - 1)  # in an entry: times counted so far


@compiled
def gram_key(name, token):
    """The dictionary's key of (name, token), never 0."""
    return (np.uint64(name) << np.uint64(16) | np.uint64(token)) + np.uint64(1)


@compiled
def scramble(key):
    """Spread a key's bits over 64 bits, one to one (the finaliser of SplitMix64, shortened)."""
    key *= np.uint64(0x9E3779B97F4A7C15)
    key ^= key >> np.uint64(32)
    return key * np.uint64(0xD6E8FEB86659FD93)


@compiled
def slot_shift(table):
    """By how much to shift a scrambled key to get its slot; slots are a power of two."""
    slots, shift = table.shape[0], 64
    while slots > 1:
        slots >>= 1
        shift -= 1
    return np.uint64(shift)


@compiled
def find_slot(table, key, scrambled, shift):
    """The slot that holds `key`, or the free one where it belongs."""
    last = np.uint64(table.shape[0] - 1)
    slot = scrambled >> shift
    while table[slot, 0] != key and table[slot, 0] != np.uint64(0):
        slot = (slot + np.uint64(1)) & last
    return slot


@compiled
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


@compiled
def run_last(position, origin, plan):
    """Last position of the run that `position` is in: entries looked up before any is counted.

    plan: (length, stride) if runs are the segments (`origin`, the position before the first
    counted target, is a run of its own), stride 0 if every position is one.
    """
    if plan[1] == 0 or position <= origin:
        return position
    return segment_last(position, plan[0], plan[1])


@compiled
def run_stop(positions, start, origin, plan):
    """Index after the last entry of the run that entry `start` is in."""
    last = run_last(np.int64(positions[start] & POSITION), origin, plan)
    stop = start + 1
    while stop < positions.size and np.int64(positions[stop] & POSITION) <= last:
        stop += 1
    return stop


@compiled
def choose_entries(shorter, front, share, start, stop, entries, slots):
    """Note the entries start … stop−1 whose keys fall to a share, and their scrambled keys.

    share: (s, of). Returns how many there are. Every thread does this for all entries, so what
    decides is cheaper than scrambling, which is left for the chosen ones.
    """
    part, parts = np.uint64(share[0]), np.uint64(share[1])
    chosen = 0
    for i in range(np.uint64(start), np.uint64(stop)):  # unsigned: no check for negative indices
        mixed = np.uint32(shorter[i] * np.uint32(0x9E3779B1) ^ front[i] * np.uint32(0x85EBCA77))
        entries[chosen] = i
        chosen += np.int64(mixed * parts >> np.uint64(32) == part)
    for k in range(np.uint64(chosen)):
        i = entries[k]
        slots[k] = scramble(gram_key(shorter[i], front[i]))
    return chosen


@compiled
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


@compiled
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
