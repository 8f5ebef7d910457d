"""The coder `ans`: integers by how large their row and column are, floats by their bytes.

Integers. The magnitude of a matrix's rows differs, and so does that of its columns. Each row has
a class, the mean of its magnitudes in quarters of an octave, and each column one, relative to the
matrix; both are coded first. Their sum, in half octaves, is the context of an integer: all that
are expected to be about equally large, wherever in the model, are coded by one distribution,
which is symmetric. Rows and columns of zeros have class 0 and cost nothing more.

Floats. The highest byte (sign and exponent, and what fits of the mantissa) is coded for fp16 in
the context of its row's mean, which is coded first; the bytes below it by one distribution each,
nearly flat. A vector is one row. Scales on a coarse grid have constant low bytes, which cost
nothing.

The classes are computed here and stored, so a decoder does nothing but whole-number arithmetic.
"""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np

from fairway.artifact.coders.adaptive import Decoder, Encoder, Model
from fairway.artifact.coders.planes import from_planes, planes
from fairway.artifact.kinds import DTYPES, INT6, INT6_LIMIT, INT8, INT8_LIMIT

LIMITS = {INT6: INT6_LIMIT, INT8: INT8_LIMIT}
Shape = tuple[int, ...]
_CLASSES = 96  # of a row or a column: 0 for zeros, from 1 in quarters of an octave
_ROW_OCTAVES, _COLUMN_OCTAVES = (-16, 7), (-8, 8)  # of the means that have a class of their own
_EVEN = 33  # the class of a column as large as its matrix
_BYTE_CLASSES = 64
_SIGN = 0x80
_LOW_PRIOR = 128  # bytes below the highest are taken for even until many are seen


class AnsCoder:
    """Sections as adaptive ANS codes; see the module's text."""

    def sizes(self, kind: str, count: int) -> tuple[int, int]:
        """Least and greatest raw size of `count` values, bytes."""
        return (count * np.dtype(DTYPES[kind]).itemsize,) * 2

    def pack(self, kind: str, tensors: list[np.ndarray]) -> tuple[int, bytes]:
        """The raw size of a section's tensors, bytes, and their code."""
        encoder = Encoder()
        models = _Models(kind)
        for tensor in tensors:
            pack = _pack_integers if kind in LIMITS else _pack_floats
            pack(encoder, models, tensor)
        return sum(tensor.nbytes for tensor in tensors), encoder.finish()

    def unpack(self, kind: str, packed: bytes, size: int, shapes: list[Shape]) -> list[np.ndarray]:
        """The tensors that `pack` was given, by their shapes; PackedError if there are none."""
        decoder = Decoder(packed)
        models = _Models(kind)
        unpack = _unpack_integers if kind in LIMITS else _unpack_floats
        result = [unpack(decoder, models, shape) for shape in shapes]
        decoder.finish()
        return result


class _Models(dict):
    """The models of a section by (what, context), made when first asked for."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def __missing__(self, key: tuple[str, int]) -> Model:
        self[key] = model = self._new(key[0])
        return model

    def _new(self, what: str) -> Model:
        if what == "integer":
            limit = LIMITS[self.kind]
            return Model(2 * limit + 1, mirror=np.arange(2 * limit, -1, -1))
        if what == "top":
            return Model(256, mirror=np.arange(256) ^ _SIGN)
        if what == "low":
            return Model(256, _LOW_PRIOR)
        return Model(_BYTE_CLASSES if what == "mean" else _CLASSES)


def _pack_integers(encoder: Encoder, models: _Models, integers: np.ndarray) -> None:
    """Code int8 (rows, columns)."""
    rows, columns = _classes(integers)
    encoder.put(rows, models["row", 0])
    encoder.put(columns, models["column", 0])
    flat = integers.reshape(-1).astype(np.int16) + LIMITS[models.kind]
    for context, places in _by_context(rows, columns):
        encoder.put(flat[places], models["integer", context])


def _unpack_integers(decoder: Decoder, models: _Models, shape: Shape) -> np.ndarray:
    rows = decoder.take(shape[0], models["row", 0])
    columns = decoder.take(shape[1], models["column", 0])
    flat = np.zeros(math.prod(shape), np.int8)
    for context, places in _by_context(rows, columns):
        flat[places] = decoder.take(len(places), models["integer", context]) - LIMITS[models.kind]
    return flat.reshape(shape)


def _classes(integers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every row and of every column of int8 (rows, columns), its class."""
    magnitudes = np.abs(integers.astype(np.int16))
    of_rows = magnitudes.sum(axis=1, dtype=np.int64)
    of_columns = magnitudes.sum(axis=0, dtype=np.int64)
    total = of_rows.sum()
    rows = _class(of_rows, 0 * of_rows + integers.shape[1], _ROW_OCTAVES)
    columns = _class(of_columns * integers.shape[1], 0 * of_columns + total, _COLUMN_OCTAVES)
    return rows, columns


def _class(sums: np.ndarray, counts: np.ndarray, octaves: tuple[int, int]) -> np.ndarray:
    """1 for the lowest octave, four more for each octave that sums / counts are above it; or 0."""
    means = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
    return np.where(sums > 0, 1 + np.searchsorted(_between(*octaves), means, side="right"), 0)


@cache
def _between(low: int, high: int) -> np.ndarray:
    """Means half-way between two classes, 2^(low + 1/8), 2^(low + 3/8), … below 2^high.

    By square roots, which are the same on any machine: the same tensors, the same bytes.
    """
    eighths = np.sqrt(np.sqrt(np.sqrt(np.exp2(np.arange(1.0, 8.0, 2.0)))))
    return np.concatenate([np.ldexp(eighths, octave) for octave in range(low, high)])


def _contexts(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The context of every integer, uint8 (rows, columns); 0 for those in a row or column of 0."""
    contexts = np.maximum(rows[:, None] + columns[None, :] - _EVEN, 0).astype(np.uint8) // 2 + 1
    contexts[(rows == 0)[:, None] | (columns == 0)[None, :]] = 0
    return contexts


def _by_context(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Contexts, rising, and the places (in a flat matrix, rising) of the integers in them."""
    flat = _contexts(rows, columns).reshape(-1)
    order = np.argsort(flat, kind="stable")
    ends = np.cumsum(np.bincount(flat, minlength=1))
    for context in range(1, len(ends)):
        if ends[context - 1] < ends[context]:
            yield context, order[ends[context - 1] : ends[context]]


def integer_bits(integers: np.ndarray, limit: int) -> float:
    """About how many bits int8 (rows, columns) take: their entropy given their contexts."""
    rows, columns = _classes(integers)
    contexts = _contexts(rows, columns).reshape(-1).astype(np.int64)
    magnitudes = np.abs(integers.astype(np.int16)).reshape(-1)
    joint = np.bincount(contexts * (limit + 1) + magnitudes, minlength=_CLASSES * (limit + 1))
    joint = joint.reshape(-1, limit + 1)[1:].astype(np.float64)  # context 0 takes nothing
    signs = joint[:, 1:].sum()
    return _entropy(joint) + signs + sum(_entropy(np.bincount(part)) for part in (rows, columns))


def _entropy(counts: np.ndarray) -> float:
    """Bits of so many symbols (…, symbols), each row by its own frequencies."""
    totals = counts.sum(axis=-1, keepdims=True)
    return float((counts * np.log2(np.maximum(totals, 1) / np.maximum(counts, 1))).sum())


def _pack_floats(encoder: Encoder, models: _Models, tensor: np.ndarray) -> None:
    """Code a tensor of any shape, of a float type."""
    *lower, top = planes(tensor)
    if not top.size:
        return
    exponents = (top & ~np.uint8(_SIGN)).reshape(_row_count(models.kind, tensor.shape), -1)
    means = exponents.sum(axis=1, dtype=np.int64) // (2 * exponents.shape[1])
    encoder.put(means, models["mean", 0])
    for context, places in _by_row(means, top.size):
        encoder.put(top[places], models["top", context])
    for index, plane in enumerate(lower):
        encoder.put(plane, models["low", index])


def _unpack_floats(decoder: Decoder, models: _Models, shape: Shape) -> np.ndarray:
    dtype, count = np.dtype(DTYPES[models.kind]), math.prod(shape)
    found = np.empty((dtype.itemsize, count), np.uint8)
    if count:
        means = decoder.take(_row_count(models.kind, shape), models["mean", 0])
        for context, places in _by_row(means, count):
            found[-1, places] = decoder.take(len(places), models["top", context])
        for index, plane in enumerate(found[:-1]):
            plane[:] = decoder.take(count, models["low", index])
    return from_planes(found, dtype).reshape(shape)


def _row_count(kind: str, shape: Shape) -> int:
    """Rows whose means are told apart: of an fp16 matrix; anything else is one row."""
    return shape[0] if len(shape) == 2 and DTYPES[kind] == "<f2" else 1


def _by_row(means: np.ndarray, count: int) -> Iterator[tuple[int, np.ndarray]]:
    """Means, rising, and the places, of `count` in all, in the rows that have them."""
    places = np.arange(count).reshape(len(means), -1)
    for mean in np.unique(means).tolist():
        yield mean, places[means == mean].reshape(-1)
