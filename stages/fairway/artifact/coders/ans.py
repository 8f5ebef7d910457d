"""The coder `ans`: adaptive ANS codes of integers (integers.py) and of floats (floats.py).

What tells values apart is found by the encoder and stored, so a decoder does nothing but
whole-number arithmetic, and the square roots and quotients of models.py.
"""

import numpy as np

from fairway.artifact.coders.adaptive import Decoder, Encoder
from fairway.artifact.coders.floats import pack_floats, unpack_floats
from fairway.artifact.coders.integers import pack_integers, unpack_integers
from fairway.artifact.coders.models import LIMITS, PRESENT, VERSIONS, Models
from fairway.artifact.kinds import DTYPES

Shape = tuple[int, ...]


class AnsCoder:
    """Sections as adaptive ANS codes. version: of the artifact to be read; the last is written."""

    def __init__(self, version: int = PRESENT) -> None:
        self._version = VERSIONS[version]

    def sizes(self, kind: str, count: int) -> tuple[int, int]:
        """Least and greatest raw size of `count` values, bytes."""
        return (count * np.dtype(DTYPES[kind]).itemsize,) * 2

    def pack(self, kind: str, tensors: list[np.ndarray]) -> tuple[int, bytes]:
        """The raw size of a section's tensors, bytes, and their code."""
        encoder = Encoder()
        models = Models(kind, VERSIONS[PRESENT])
        for tensor in tensors:
            pack = pack_integers if kind in LIMITS else pack_floats
            pack(encoder, models, tensor)
        return sum(tensor.nbytes for tensor in tensors), encoder.finish()

    def unpack(self, kind: str, packed: bytes, size: int, shapes: list[Shape]) -> list[np.ndarray]:
        """The tensors that `pack` was given, by their shapes; PackedError if there are none."""
        decoder = Decoder(packed)
        models = Models(kind, self._version)
        unpack = unpack_integers if kind in LIMITS else unpack_floats
        result = [unpack(decoder, models, shape) for shape in shapes]
        decoder.finish()
        return result
