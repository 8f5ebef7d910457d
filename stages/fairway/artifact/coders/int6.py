"""Int6 weights as bytes that a general compressor packs close to their entropy.

A value in ±31 is one of 15 classes, {0} and, on either side, the magnitudes 1, 2–3, 4–5, 6–7,
8–11, 12–15 and 16–31, and 0, 1, 2 or 4 further bits that tell the values of the class apart. Two
classes go to a byte; the further bits follow, those of one width together. Among neighbours the
weights are nearly equally likely, so the further bits are noise, which compressors store as it
is; what they have to model is fewer and richer bytes. LZMA spends something on each of the eight
binary decisions of a literal, also on those that are certain.

Packed bits per weight by this layout and others, with the entropy of a weight for comparison;
columns one after the other unless it says rows; LZMA without contexts, zstd at level 22. Trained:
the default model after 150 steps, 0.7 million weights. Gaussian and heavy-tailed (with scales
of their own in every column): 2.4 million weights in matrices of the record's sizes.

    layout                            trained   Gaussian   heavy-tailed
    entropy                             5.411      5.286          4.592
    classes, LZMA                       5.457      5.352          4.606
    classes, LZMA, rows                 5.460      5.348          4.643
    classes, zstd                       5.455      5.317          4.610
    high four and low two bits, LZMA    5.462      5.355          4.636
    one byte per weight, LZMA           5.508      5.425          4.670
    one byte per weight, zstd           5.452      5.329          4.640
    six bits per weight, LZMA, rows                5.832          5.446

Class {0} stands alone, so that setting weights of ±1 to 0 saves bytes: 0.15 % for 2 % of them.
"""

from collections.abc import Iterator

import numpy as np

from fairway.artifact.kinds import INT6_LIMIT

_CLASS_STARTS = (1, 2, 4, 6, 8, 12, 16)
_ZERO_CLASS = len(_CLASS_STARTS)
_WIDTHS = (1, 2, 4)  # of the further bits, where there are any
_TOGETHER = 1 << 18  # values that are looked up at a time, an even number


def split_int6(values: np.ndarray) -> bytes:
    """Values in ±31, int8 (values,) → bytes."""
    classes, further, widths = (table[values + INT6_LIMIT] for table in _tables())
    pairs = np.append(classes, np.zeros(len(classes) % 2, np.uint8)).reshape(-1, 2)
    parts = [(pairs[:, 0] << 4 | pairs[:, 1]).tobytes()]
    for width in _WIDTHS:
        bits = np.unpackbits(further[widths == width, None], axis=1)[:, 8 - width :]
        parts.append(np.packbits(bits).tobytes())
    return b"".join(parts)


def size_limits(count: int) -> tuple[int, int]:
    """The fewest and the most bytes that `count` values take."""
    classes = -(-count // 2)
    return classes, classes + -(-count * max(_WIDTHS) // 8) + len(_WIDTHS)


def join_int6(raw: bytes, count: int) -> np.ndarray:
    """The inverse of split_int6, for `count` values. Raises ValueError for what it cannot give."""
    data, (classes, further, widths) = np.frombuffer(raw, np.uint8), _tables()
    width_of, value_of = np.zeros(16, np.uint8), np.zeros((16, 1 << max(_WIDTHS)), np.int8)
    width_of[classes] = widths
    value_of[classes, further] = np.arange(-INT6_LIMIT, INT6_LIMIT + 1)
    seen = np.zeros(16, np.int64)
    for some in _classes(data, count):
        seen += np.bincount(some, minlength=16)
    if seen[2 * _ZERO_CLASS + 1]:
        raise ValueError(f"a class above {2 * _ZERO_CLASS}")
    starts, end = {}, -(-count // 2)
    for width in _WIDTHS:
        starts[width] = 8 * end
        end += -(-width * int(seen[width_of == width].sum()) // 8)
    if end != len(data):
        raise ValueError(f"{len(data)} bytes; its classes need {end}")
    values, start = np.empty(count, np.int8), 0
    for some in _classes(data, count):
        bits = np.zeros(len(some), np.uint8)
        for width in _WIDTHS:
            places = np.flatnonzero(width_of[some] == width)
            bits[places] = _numbers(data, starts[width], width, len(places))
            starts[width] += width * len(places)
        values[start : start + len(some)] = value_of[some, bits]
        start += len(some)
    return values


def _classes(data: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The classes of `count` values, uint8, some at a time."""
    for start in range(0, count, _TOGETHER):
        pairs = data[start // 2 : -(-min(count, start + _TOGETHER) // 2)]
        yield np.stack([pairs >> 4, pairs & 15], axis=1).reshape(-1)[: count - start]


def _numbers(data: np.ndarray, start: int, width: int, count: int) -> np.ndarray:
    """Numbers of `width` bits, uint8 (count,), the first of which is at bit `start`."""
    stop = start + width * count
    bits = np.unpackbits(data[start // 8 : -(-stop // 8)])[start % 8 :][: width * count]
    return bits.reshape(count, width) @ (1 << np.arange(width)[::-1]).astype(np.uint8)


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For −31 … 31: class, further bits and their width, each uint8. Classes rise with values."""
    values = np.arange(-INT6_LIMIT, INT6_LIMIT + 1)
    starts = np.array((0, *_CLASS_STARTS, INT6_LIMIT + 1))
    distance = np.searchsorted(starts, np.abs(values), side="right") - 1
    further = np.abs(values) - starts[distance]
    widths = np.log2(np.diff(starts))[distance]
    classes = _ZERO_CLASS + np.sign(values) * distance
    return classes.astype(np.uint8), further.astype(np.uint8), widths.astype(np.uint8)
