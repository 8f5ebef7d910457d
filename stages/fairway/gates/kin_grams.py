"""Counts of grams of two and three tokens, forgotten all at once: what `kin_counts` counts into.

A dictionary of whole grams, so nothing collides. Order 3 says what followed two tokens, order 2
what followed one, by continuation (Kneser and Ney, 1995): a gram counts once for each token before
it. Every key bears a number; what bears another one is as good as empty, so that forgetting is
counting on. Of the room only as much is in use as the entries need, as near memory is faster.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fairway.kernels.compiled import borrowing
from fairway.kernels.dictionary import scramble

KIN_ORDERS = 2, 3
_NUMBER, _ENTRIES, _SLOTS = 0, 1, 2  # of `used`
_FEWEST_SLOTS = 1 << 9
_GRAM_BITS, _KIND_BITS = np.uint64(48), np.uint64(50)  # of three tokens; above, what is counted
_KEY = np.uint64((1 << 50) - 1)  # the number is above
_NUMBERS = 1 << 14
_CONTEXT = np.uint64(2)  # kinds: grams of order 2 and 3, 0 and 1, then their contexts
_ONE = np.uint64(1 << 32)  # of a context's value: total above, distinct successors below
_ENTRIES_OF_A_TOKEN = 4  # at most


class KinGrams(NamedTuple):
    """Arrays of the counts; kernels change them in place.

    table: uint64 (room, 2), by open addressing: (number, kind, gram), and hits or, of a context,
    total and distinct. spare: uint64 (room/2, 2), scratch. used: int64 (3,), the number, entries,
    slots in use, twice the entries or more.
    """

    table: np.ndarray
    spare: np.ndarray
    used: np.ndarray

    def content(self) -> Iterator[bytes]:
        """All that the counts depend on; free room and the number do not matter."""
        live = self.table[: self.used[_SLOTS]]
        live = live[live[:, 0] >> _KIND_BITS == self.used[_NUMBER]] & (_KEY, ~np.uint64(0))
        yield live[np.argsort(live[:, 0])].tobytes()


def new_grams() -> KinGrams:
    """No counts."""
    table = np.zeros((_FEWEST_SLOTS, 2), dtype=np.uint64)
    return KinGrams(table, np.empty_like(table), np.array([1, 0, _FEWEST_SLOTS]))


def grams_with_room(grams: KinGrams, tokens: int) -> KinGrams:
    """The counts with room for `tokens` more: the same arrays, or larger copies."""
    while not has_gram_room(grams, tokens):
        table = np.concatenate([grams.table, np.zeros_like(grams.table)])
        grams = grams._replace(table=table, spare=np.empty_like(grams.table))
    return grams


@borrowing
def has_gram_room(grams, tokens):
    """Whether `tokens` more can be counted."""
    return 4 * (grams.used[_ENTRIES] + _ENTRIES_OF_A_TOKEN * tokens) <= grams.table.shape[0]


@borrowing
def forget_grams(grams):
    """Empty the counts."""
    grams.used[_NUMBER] += 1
    grams.used[_ENTRIES], grams.used[_SLOTS] = 0, _FEWEST_SLOTS
    if grams.used[_NUMBER] == _NUMBERS:
        grams.table[:] = 0
        grams.used[_NUMBER] = 1


@borrowing
def last_tokens(tokens, stop, length):
    """The last `length` tokens before place `stop` as one number."""
    gram = np.uint64(0)
    for at in range(stop - length, stop):
        gram = gram << np.uint64(16) | np.uint64(tokens[at])
    return gram


@borrowing
def _find(grams, own):
    """The slot that holds this kind and gram, or the free one where it belongs; and its key."""
    number = np.uint64(grams.used[_NUMBER])
    key, last = number << _KIND_BITS | own, np.uint64(grams.used[_SLOTS] - 1)
    slot = scramble(own) >> np.uint64(32) & last
    while grams.table[slot, 0] != key and grams.table[slot, 0] >> _KIND_BITS == number:
        slot = (slot + np.uint64(1)) & last
    return slot, key


@borrowing
def widen_for(grams, tokens):
    """Use as many slots as are needed to count `tokens` more; there must be room."""
    while 2 * (grams.used[_ENTRIES] + _ENTRIES_OF_A_TOKEN * tokens) > grams.used[_SLOTS]:
        moved, number = 0, np.uint64(grams.used[_NUMBER])
        for slot in range(grams.used[_SLOTS]):
            if grams.table[slot, 0] >> _KIND_BITS == number:
                for column in range(2):
                    grams.spare[moved, column] = grams.table[slot, column]
                grams.table[slot, 0] = 0
                moved += 1
        grams.used[_SLOTS] *= 2
        for entry in range(moved):
            slot, _ = _find(grams, grams.spare[entry, 0] & _KEY)
            for column in range(2):
                grams.table[slot, column] = grams.spare[entry, column]


@borrowing
def _add(grams, kind, gram, more):
    """Add to the value of a gram or context; what it was before."""
    slot, key = _find(grams, kind << _GRAM_BITS | gram)
    before = np.uint64(0)
    if grams.table[slot, 0] == key:
        before = grams.table[slot, 1]
    else:
        grams.table[slot, 0] = key
        grams.used[_ENTRIES] += 1
    grams.table[slot, 1] = before + more
    return before


@borrowing
def count_gram(grams, tokens, at):
    """Count the token at a place ≥ 2: at order 2 only where its gram of order 3 is new."""
    for level in range(1, -1, -1):
        kind, length = np.uint64(level), level + 1
        seen = _add(grams, kind, last_tokens(tokens, at + 1, length + 1), np.uint64(1))
        more = _ONE + np.uint64(seen == 0)
        _add(grams, kind + _CONTEXT, last_tokens(tokens, at, length), more)
        if seen:
            return


@borrowing
def _value(grams, kind, gram):
    if grams.used[_ENTRIES] == 0:
        return np.uint64(0)
    slot, key = _find(grams, kind << _GRAM_BITS | gram)
    return grams.table[slot, 1] if grams.table[slot, 0] == key else np.uint64(0)


@borrowing
def context_value(grams, level, context):
    """How often a context of `KIN_ORDERS[level]` was followed, and by how many tokens."""
    value = _value(grams, np.uint64(level) + _CONTEXT, context)
    return value >> np.uint64(32), value & (_ONE - np.uint64(1))


@borrowing
def gram_hits(grams, level, context, token):
    """How often `token` followed it."""
    return _value(grams, np.uint64(level), context << np.uint64(16) | np.uint64(token))
