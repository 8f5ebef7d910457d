"""Rows of a matrix of integers that stand for their difference from an earlier row."""

import numpy as np

from fairway.files.compression import PackedError

_BLOCK = 1024  # rows that are compared with all others at a time
_NAMING = 2  # bits that a row takes to say that it refers to another, or to none
_SIXTEENTHS, _MOST = 16, 1 << 12
_TOGETHER = 1 << 16  # integers that are added at a time


def find_references(integers: np.ndarray) -> np.ndarray:
    """Of every row of int8 (rows, columns) 1 + the earlier row it is to refer to, or 0; int64.

    That is the nearest one, columns counting alike, if the difference takes fewer bits by more
    than the number of a row does; none at all if that is not more than naming takes the others.
    Half a bit per halving of the mean square is saved, at least 0.72 · (1 − quotient) of it. All
    arithmetic is of whole numbers (as floats below 2⁵³), the same on any machine.
    """
    rows, columns = integers.shape
    found, bits = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    values = _even_columns(integers)
    squares = (values * values).sum(axis=1)
    for start in range(0, rows, _BLOCK):
        block = values[start : start + _BLOCK]
        stop = start + len(block)
        distances = squares[:stop] - 2 * (block @ values[:stop].T)
        later = np.arange(stop) >= np.arange(start, stop)[:, None]
        distances[later] = np.inf
        nearest = distances.argmin(axis=1)
        saved = np.maximum(-distances[np.arange(len(block)), nearest], 0)  # of the row's square
        of_square = 3 * columns * saved // (4 * np.maximum(squares[start:stop], 1))
        bits[start:stop] = of_square.astype(np.int64) - rows.bit_length() - _NAMING
        found[start:stop] = 1 + nearest
    worth = bits > 0
    found[~worth] = 0
    return found if bits[worth].sum() > _NAMING * rows else 0 * found


def _even_columns(integers: np.ndarray) -> np.ndarray:
    """The integers in sixteenths of their column's mean magnitude, whole numbers as float64."""
    values = integers.astype(np.int64)
    sums = np.abs(values).sum(axis=0)
    even = np.clip(_SIXTEENTHS * len(values) * values // np.maximum(sums, 1), -_MOST, _MOST)
    return even.astype(np.float64)


def differences(integers: np.ndarray, references: np.ndarray, limit: int) -> np.ndarray:
    """Rows less those they refer to, int8 in ±limit: what leaves that goes on at the other end."""
    result = integers.astype(np.int16)
    refers = references > 0
    result[refers] -= integers[references[refers] - 1]
    return _within(result, limit)


def sums(coded: np.ndarray, references: np.ndarray, limit: int) -> np.ndarray:
    """The inverse of `differences`, in place; PackedError for a row that refers to no earlier one.

    A chain of references is half as long after each turn of the loop. Later rows come first, so
    that the rows which they add are as the turn found them.
    """
    if (references > np.arange(len(references))).any():
        raise PackedError("a row refers to one that is not before it")
    ahead, height = references - 1, max(1, _TOGETHER // max(1, coded.shape[1]))
    while len(rows := np.flatnonzero(ahead >= 0)):
        for stop in range(len(rows), 0, -height):
            some = rows[max(0, stop - height) : stop]
            coded[some] = _within(np.add(coded[some], coded[ahead[some]], dtype=np.int16), limit)
        ahead[rows] = ahead[ahead[rows]]
    return coded


def _within(values: np.ndarray, limit: int) -> np.ndarray:
    """int16 in ±2 · limit, made int8 in ±limit."""
    turn = np.int16(2 * limit + 1)
    return (values - turn * (values > limit) + turn * (values < -limit)).astype(np.int8)
