"""A dictionary for compiled code: from (number, token) to a number, exact and growing.

Trees of grams find the child of a node by a token with it. The pair is the key, 48 bits in full:
no fingerprint, nothing to collide. Slots are a power of two; a key that finds its slot taken goes
to the next free one (open addressing, linear probing).

    table    uint64 (slots, 2): key, 0 if the slot is free, and value
"""

import numpy as np

from fairway.kernels.compiled import compiled

FULLEST = 0.6  # share of the slots in use before the dictionary is doubled


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
    """By how much to shift a scrambled key to get its slot."""
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
