"""Many counters in little memory: a byte each, and four more where a count outgrows it.

Counting at random places waits for memory as soon as the table leaves the processor's caches, and
nearly all counters stay small. So a counter is a byte, in `small`, that holds

    0 … 127      the count
    128 … 255    128 + the last seven bits of the count; the bits before them are in `large`

and `large` is touched once in 128 additions, or to read a count of 128 or more. It need not be
emptied with `small`: a byte of 128 or more says that `large` was set after that.
Counts are exact up to 2^32 − 1.
"""

import mmap
from typing import NamedTuple

import numpy as np

from fairway.kernels.compiled import compiled

FULL = np.uint8(128)  # a byte from here on is not the whole count
LOW_BITS = np.uint8(127)
DENSE = 1 << 25  # so many counters may take all their memory at once: 168 MB


class Counters(NamedTuple):
    """small: uint8, large: uint32, both of shape (counters,)."""

    small: np.ndarray
    large: np.ndarray


def empty_counters(count: int) -> Counters:
    """So many counters at zero. Of `large`, memory is taken only where it is written."""
    large = np.empty(count, dtype=np.uint32) if count <= DENSE else sparse(count)
    return Counters(np.zeros(count, dtype=np.uint8), large)


def sparse(count: int) -> np.ndarray:
    """uint32 (count,) that takes memory 4 kB at a time.

    numpy has the system hand out 2 MB at a time, which is faster for tables that get used all
    over; but where few counters of many get high, most of it would be taken for nothing.
    """
    memory = mmap.mmap(-1, 4 * count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=np.uint32)


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
