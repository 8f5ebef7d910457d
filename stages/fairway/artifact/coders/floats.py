"""Tensors of floats, by their bytes, or by the few values that they have.

Scales on a grid of half octaves have a dozen values. These are coded once, rising, each less the
one two before it (an octave, most often), and then which of them each scale is. What has more
values is coded as bytes: the highest (sign and exponent, and what fits of the mantissa) in the
context of their mean, which is coded first, of long rows of fp16 in that of the row's; the bytes
below it by one distribution each, nearly flat.
"""

import math

import numpy as np

from fairway.artifact.coders.adaptive import Decoder, Encoder
from fairway.artifact.coders.models import LONG_ROW, MOST_VALUES, SIGN, Models
from fairway.artifact.coders.planes import from_planes, planes
from fairway.artifact.kinds import DTYPES
from fairway.files.compression import PackedError

Shape = tuple[int, ...]
_LAG = 2  # values to an octave
_REPEATS = 4  # how often a palette's values must occur, in the mean


def pack_floats(encoder: Encoder, models: Models, tensor: np.ndarray) -> None:
    """Code a tensor of any shape, of a float type."""
    if not tensor.size:
        return
    values, which = np.unique(_numbers(tensor), return_inverse=True)
    few = len(values) <= min(MOST_VALUES, tensor.size // _REPEATS)
    encoder.put(np.array([len(values) if few else 0]), models["palette", 0])
    if few:
        _pack_palette(encoder, models, values)
        if len(values) > 1:
            encoder.put(which.reshape(-1), models.even(len(values)))
    else:
        _pack_bytes(encoder, models, tensor)


def unpack_floats(decoder: Decoder, models: Models, shape: Shape) -> np.ndarray:
    """The tensor that `pack_floats` coded; PackedError for a palette that is not rising."""
    dtype, count = np.dtype(DTYPES[models.kind]), math.prod(shape)
    size = 0
    if models.version.refined and count:
        size = int(decoder.take(1, models["palette", 0])[0])
    if not size:
        return _unpack_bytes(decoder, models, shape)
    values = _unpack_palette(decoder, models, size, dtype)
    which = decoder.take(count, models.even(size)) if size > 1 else np.zeros(count, np.uint8)
    return values[which].reshape(shape)


def _numbers(tensor: np.ndarray) -> np.ndarray:
    """The bits of floats as whole numbers, flat."""
    little = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<"))
    return little.reshape(-1).view(f"<u{tensor.dtype.itemsize}").astype(np.int64)


def _pack_palette(encoder: Encoder, models: Models, values: np.ndarray) -> None:
    """Code the bits of the values, int64, rising."""
    before = np.concatenate([np.zeros(_LAG, np.int64), values])[: len(values)]
    for place in range(np.dtype(DTYPES[models.kind]).itemsize - 1, -1, -1):
        encoder.put((values - before) >> 8 * place & 0xFF, models["value", place])


def _unpack_palette(decoder: Decoder, models: Models, size: int, dtype: np.dtype) -> np.ndarray:
    """The values, (size,) of `dtype`."""
    found = np.zeros(size, np.int64)
    for place in range(dtype.itemsize - 1, -1, -1):
        found |= decoder.take(size, models["value", place]).astype(np.int64) << 8 * place
    for first in range(_LAG):
        found[first::_LAG] = np.cumsum(found[first::_LAG])
    if (np.diff(found) <= 0).any() or found[-1] >> 8 * dtype.itemsize:
        raise PackedError("a palette whose values do not rise")
    return found.astype(f"<u{dtype.itemsize}").view(dtype.newbyteorder("<"))


def _pack_bytes(encoder: Encoder, models: Models, tensor: np.ndarray) -> None:
    *lower, top = planes(tensor)
    exponents = (top & ~np.uint8(SIGN)).reshape(_row_count(models, tensor.shape), -1)
    means = exponents.sum(axis=1, dtype=np.int64) // (2 * exponents.shape[1])
    encoder.put(means, models["mean", 0])
    rows = top.reshape(exponents.shape)
    for mean in np.unique(means).tolist():
        encoder.put(rows[means == mean].reshape(-1), models["top", mean])
    for index, plane in enumerate(lower):
        encoder.put(plane, models["low", index])


def _unpack_bytes(decoder: Decoder, models: Models, shape: Shape) -> np.ndarray:
    dtype, count = np.dtype(DTYPES[models.kind]), math.prod(shape)
    found = np.empty((dtype.itemsize, count), np.uint8)
    if count:
        means = decoder.take(_row_count(models, shape), models["mean", 0])
        rows = found[-1].reshape(len(means), -1)
        for mean in np.unique(means).tolist():
            chosen = np.flatnonzero(means == mean)
            top = decoder.take(len(chosen) * rows.shape[1], models["top", mean])
            rows[chosen] = top.reshape(len(chosen), -1)
        for index, plane in enumerate(found[:-1]):
            plane[:] = decoder.take(count, models["low", index])
    return from_planes(found, dtype).reshape(shape)


def _row_count(models: Models, shape: Shape) -> int:
    """Rows whose means are told apart: long ones of an fp16 matrix; anything else is one row."""
    least = LONG_ROW if models.version.refined else 0
    apart = len(shape) == 2 and DTYPES[models.kind] == "<f2" and shape[1] >= least
    return shape[0] if apart else 1
