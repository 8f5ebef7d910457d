"""General compressors as coders: a section's values are laid out as bytes, then compressed.

The int6 values go column by column, since rows have a scale each but columns differ, and are laid
out by fairway.artifact.coders.int6. Everything else goes as planes of bytes, since the high bytes
of floats compress and the low ones do not.
"""

import math
from dataclasses import dataclass

import numpy as np

from fairway.artifact.coders.int6 import join_int6, size_limits, split_int6
from fairway.artifact.coders.planes import from_planes, planes
from fairway.artifact.kinds import DTYPES, INT6
from fairway.files.compression import Compressor, PackedError, compress, decompress


@dataclass(frozen=True)
class GeneralCoder:
    """Sections by the compressor `name`."""

    name: Compressor

    def sizes(self, kind: str, count: int) -> tuple[int, int]:
        """Least and greatest raw size of `count` values, bytes."""
        exact = count * np.dtype(DTYPES[kind]).itemsize
        return size_limits(count) if kind == INT6 else (exact, exact)

    def pack(self, kind: str, tensors: list[np.ndarray]) -> tuple[int, bytes]:
        """The bytes that a section's tensors are laid out as, how many, and compressed."""
        order = "F" if kind == INT6 else "C"
        flat = [tensor.reshape(-1, order=order) for tensor in tensors]
        values = np.concatenate([np.zeros(0, DTYPES[kind]), *flat])
        raw = split_int6(values) if kind == INT6 else planes(values).tobytes()
        return len(raw), compress(self.name, raw)

    def unpack(
        self, kind: str, packed: bytes, size: int, shapes: list[tuple[int, ...]]
    ) -> list[np.ndarray]:
        """The tensors that `pack` was given, by their shapes; PackedError if there are none."""
        raw = decompress(self.name, packed, size)
        if kind == INT6:
            values = _join_int6(raw, sum(map(math.prod, shapes)))
        else:
            dtype = np.dtype(DTYPES[kind])
            found = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1)
            values = from_planes(found, dtype)
        ends = np.cumsum([math.prod(shape) for shape in shapes], dtype=np.int64)
        order = "F" if kind == INT6 else "C"
        parts = zip(np.split(values, ends[:-1]), shapes, strict=True) if shapes else ()
        return [np.array(part.reshape(shape, order=order), order="C") for part, shape in parts]


def _join_int6(raw: bytes, count: int) -> np.ndarray:
    try:
        return join_int6(raw, count)
    except ValueError as error:
        raise PackedError(str(error)) from None
