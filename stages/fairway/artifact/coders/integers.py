"""Matrices of integers, by how large their row and column are.

The magnitude of a matrix's rows differs, and so does that of its columns. Each row has a class,
the mean of its magnitudes in eighths of an octave, and each column one, relative to the matrix;
both are coded first. Their sum is the context of an integer: all that are expected to be about
equally large, wherever in the model, are coded by one distribution, which is symmetric. Rows and
columns of zeros have class 0 and cost nothing more.

A row that is like an earlier one may refer to it: then the difference is coded in its place. Rows
of tokens that training never met are so alike that most of their bits are saved.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from fairway.artifact.coders.adaptive import Decoder, Encoder
from fairway.artifact.coders.models import EVEN, LIMITS, Models
from fairway.artifact.coders.references import differences, find_references, sums

Shape = tuple[int, ...]
Contexts = Callable[[np.ndarray, np.ndarray], np.ndarray]
_ROW_OCTAVES, _COLUMN_OCTAVES = (-16, 7), (-8, 8)  # of the means that have a class of their own
# What a class costs and what it saves are in balance at these, of lines of so many integers:
# (from how many on, eighths of an octave).
_STEPS = (400, 1), (100, 2), (25, 4), (0, 8)
_TOGETHER = 1 << 18  # integers whose places are looked up at a time


def pack_integers(encoder: Encoder, models: Models, integers: np.ndarray) -> None:
    """Code int8 (rows, columns)."""
    limit = LIMITS[models.kind]
    references = find_references(integers)
    encoder.put(np.array([references.any()]), models["refers", 0])
    if references.any():
        for place in _places(len(references)):
            encoder.put(references >> 8 * place & 0xFF, models["reference", place])
    coded = differences(integers, references, limit)
    rows, columns = classes(coded)
    encoder.put(rows, models["row", 0])
    encoder.put(columns, models["column", 0])
    groups = Groups(rows, columns, contexts)
    flat = coded.reshape(-1)
    grouped = np.empty(groups.starts[-1], np.uint8)
    for part, places in groups.places():
        grouped[part] = flat[places] + np.int16(limit)
    for context, part in groups.parts():
        encoder.put(grouped[part], models["integer", context])


def unpack_integers(decoder: Decoder, models: Models, shape: Shape) -> np.ndarray:
    """The matrix that `pack_integers` coded. PackedError for a reference to no earlier row."""
    limit, references = LIMITS[models.kind], np.zeros(shape[0], np.int64)
    if models.version.refined and decoder.take(1, models["refers", 0])[0]:
        for place in _places(shape[0]):
            found = decoder.take(shape[0], models["reference", place])
            references |= found.astype(np.int64) << 8 * place
    rows = decoder.take(shape[0], models["row", 0]).astype(np.int16)
    columns = decoder.take(shape[1], models["column", 0]).astype(np.int16)
    groups = Groups(rows, columns, contexts if models.version.refined else first_contexts)
    grouped = np.empty(groups.starts[-1], np.uint8)
    for context, part in groups.parts():
        grouped[part] = decoder.take(part.stop - part.start, models["integer", context])
    flat = np.full(math.prod(shape), limit, np.uint8)
    for part, places in groups.places():
        flat[places] = grouped[part]
    flat -= np.uint8(limit)  # modulo 256, which is what int8 takes
    return sums(flat.view(np.int8).reshape(shape), references, limit)


def _places(rows: int) -> range:
    """The bytes of the number of a row, from 1: the highest first."""
    return range((rows.bit_length() + 7) // 8 - 1, -1, -1)


def classes(integers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every row and of every column of int8 (rows, columns), its class, int16."""
    magnitudes = np.abs(integers.astype(np.int16))
    of_rows = magnitudes.sum(axis=1, dtype=np.int64)
    of_columns = magnitudes.sum(axis=0, dtype=np.int64)
    total, (height, width) = of_rows.sum(), integers.shape
    rows = _class(of_rows, 0 * of_rows + width, _ROW_OCTAVES, width)
    columns = _class(of_columns * width, 0 * of_columns + total, _COLUMN_OCTAVES, height)
    return rows, columns


def _class(
    sums: np.ndarray, counts: np.ndarray, octaves: tuple[int, int], length: int
) -> np.ndarray:
    """1 for the lowest octave, eight more for each that sums / counts are above it; or 0.

    length: of the lines; of short ones only every second class is used, or fewer.
    """
    means = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
    step = next(step for least, step in _STEPS if length >= least)
    found = np.searchsorted(_between(*octaves), means, side="right")
    return np.where(sums > 0, 1 + (found + step // 2) // step * step, 0).astype(np.int16)


@cache
def _between(low: int, high: int) -> np.ndarray:
    """Means half-way between two classes, 2^(low + 1/16), 2^(low + 3/16), … below 2^high.

    By square roots, which are the same on any machine: the same tensors, the same bytes.
    """
    sixteenths = np.exp2(np.arange(1.0, 16.0, 2.0))
    for _ in range(4):
        sixteenths = np.sqrt(sixteenths)
    return np.concatenate([np.ldexp(sixteenths, octave) for octave in range(low, high)])


def contexts(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The context of every integer, int16 (rows, columns); 0 for those in a row or column of 0."""
    return _zeroed(np.maximum(rows[:, None] + columns[None, :] - EVEN, 1), rows, columns)


def first_contexts(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """As `contexts`, of the format's version 1: classes of quarters, contexts of half octaves."""
    of_each = np.maximum(rows[:, None] + columns[None, :] - 33, 0) // 2 + 1
    return _zeroed(of_each, rows, columns)


def _zeroed(of_each: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    of_each[(rows == 0)[:, None] | (columns == 0)[None, :]] = 0
    return of_each


class Groups:
    """The integers of a matrix, context by context, rising, and row by row in each.

    starts: where each context from 1 on starts among them, and the end, int64 (contexts,). Places
    are looked up for some rows at a time: for all at once they would take many times the matrix.
    """

    def __init__(self, rows: np.ndarray, columns: np.ndarray, of: Contexts) -> None:
        """rows, columns: the classes, int16; of: what makes contexts of them."""
        self._rows, self._columns, self._of = rows, columns, of
        lines = [np.unique(found, return_counts=True) for found in (rows, columns)]
        (kinds, heights), (others, widths) = lines
        areas = np.outer(heights, widths).reshape(-1)
        sizes = np.bincount(of(kinds, others).reshape(-1), areas, minlength=1).astype(np.int64)
        self.starts = np.cumsum(sizes) - sizes[0]

    def parts(self) -> Iterator[tuple[int, slice]]:
        """Contexts that have integers, and where these are."""
        for context in range(1, len(self.starts)):
            part = slice(*self.starts[context - 1 : context + 1].tolist())
            if part.start < part.stop:
                yield context, part

    def places(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Parts of the groups, all in the end, and the places of their integers in the matrix,
        flat, int64."""
        width, ends = len(self._columns), self.starts.tolist()
        height = max(1, _TOGETHER // max(1, width))
        for row in range(0, len(self._rows), height):
            flat = self._of(self._rows[row : row + height], self._columns).reshape(-1)
            places = np.argsort(flat, kind="stable") + row * width
            sizes = np.bincount(flat, minlength=1)
            stop = int(sizes[0])
            for context in (np.flatnonzero(sizes[1:]) + 1).tolist():
                start, stop = stop, stop + int(sizes[context])
                part = slice(ends[context - 1], ends[context - 1] + stop - start)
                ends[context - 1] = part.stop
                yield part, places[start:stop]
