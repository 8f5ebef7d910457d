"""Many counters in little memory: a byte each, and four more where a count outgrows it.

Counting at random places waits for memory as soon as the table leaves the processor's caches, and
nearly all counters stay small. So a counter is a byte, in `small`, that holds

    0 … 127      the count
    128 … 255    128 + the last seven bits of the count; the bits before them are in `large`

and `large` is touched once in 128 additions, or to read a count of 128 or more. It need not be
emptied with `small`: a byte of 128 or more says that `large` was set after that.
Counts are exact up to 2^32 − 1.
"""

from typing import NamedTuple

import numpy as np

from fairway.compiled import compiled

FULL = np.uint8(128)  # a byte from here on is not the whole count
LOW_BITS = np.uint8(127)


class Counters(NamedTuple):
    """small: uint8, large: uint32, both of shape (counters,)."""

    small: np.ndarray
    large: np.ndarray


def empty_counters(count: int) -> Counters:
    """So many counters at zero. Memory of `large` is taken only where it is written."""
    return Counters(np.zeros(count, dtype=np.uint8), np.empty(count, dtype=np.uint32))


@compiled
def add(small, large, keys, low, high):
    """Add 1 to the counters keys[low] … keys[high−1], one after the other."""
    for i in range(np.uint64(low), np.uint64(high)):  # unsigned: no check for negative indices
        key = keys[i]
        count = small[key] + np.uint8(1)
        if count & LOW_BITS:
            small[key] = count
        else:  # 127 or 255 before: seven bits are through, and are zero now
            large[key] = np.uint32(1) if count == FULL else large[key] + np.uint32(1)
            small[key] = FULL


@compiled
def read(small, large, keys, low, high, counts):
    """Write the counts of the counters keys[low] … keys[high−1] to counts[0], …, uint32."""
    for k in range(np.uint64(high - low)):
        key = keys[np.uint64(low) + k]
        count = np.uint32(small[key])
        if count >= FULL:
            count = np.uint32(large[key] << np.uint32(7)) | np.uint32(count & LOW_BITS)
        counts[k] = count
