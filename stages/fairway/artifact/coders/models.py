"""The models of an `ans` section, and what each version of the format knows before it counts."""

import math
from dataclasses import dataclass

import numpy as np

from fairway.artifact.coders.adaptive import COUNT, Blocks, Model
from fairway.artifact.kinds import FLOAT32, INT6, INT6_LIMIT, INT8, INT8_LIMIT

LIMITS = {INT6: INT6_LIMIT, INT8: INT8_LIMIT}
EVEN = 65  # the class of a column as large as its matrix
SIGN = 0x80  # in the highest byte of a float
CLASSES = 192  # of a row or a column: 0 for zeros, from 1 in eighths of an octave
_LOWEST_OCTAVE = -16  # of the means that have a class of their own, in a row
_BYTE_CLASSES = 64
_EVEN_COUNT = 128  # bytes of a float32 below the highest are taken for even until many are seen,
_GRID_COUNT = 8  # those of an fp16 are of a short mantissa mostly: some never occur
LONG_ROW = 16  # from so many fp16 on, a row's mean is told apart
_SHAPE = 24.0  # of what integers are taken for: (1 + k² / (24 · mean²))⁻⁸, nearly Gaussian
_ROOT = math.sqrt(math.sqrt(2.0))
_QUARTERS = 1.0, _ROOT, _ROOT * _ROOT, _ROOT * _ROOT * _ROOT  # of an octave
_SURE = 1024  # integers that count as much as what a context's are taken for
MOST_VALUES = 64  # of a palette


@dataclass(frozen=True)
class Version:
    """What differs between versions: blocks, classes of rows and columns, and whether rows may
    refer to others, floats have palettes and contexts say how wide their integers are spread."""

    blocks: Blocks
    classes: int
    refined: bool


VERSIONS = {1: Version(Blocks(32, 4), CLASSES // 2, False), 2: Version(Blocks(), CLASSES, True)}
PRESENT = max(VERSIONS)


class Models(dict):
    """The models of a section by (what, context), made when first asked for."""

    def __init__(self, kind: str, version: Version) -> None:
        super().__init__()
        self.kind, self.version = kind, version

    def __missing__(self, key: tuple[str, int]) -> Model:
        self[key] = model = self._new(*key)
        return model

    def even(self, size: int, count: int = 1) -> Model:
        """A new one of `size` symbols that are taken for equally likely."""
        return Model(np.full(size, count), self.version.blocks)

    def _new(self, what: str, context: int) -> Model:
        blocks = self.version.blocks
        if what == "integer":
            limit = LIMITS[self.kind]
            counts = np.ones(2 * limit + 1)
            if self.version.refined:
                counts = expected_counts(context, limit)
            return Model(counts, blocks, mirror=np.arange(2 * limit, -1, -1))
        if what == "top":
            return Model(np.ones(256), blocks, mirror=np.arange(256) ^ SIGN)
        if what == "low":
            even = self.kind == FLOAT32 or not self.version.refined
            return self.even(256, _EVEN_COUNT if even else _GRID_COUNT)
        classes = self.version.classes
        sizes = {"row": classes, "column": classes, "mean": _BYTE_CLASSES}
        sizes |= {"refers": 2, "palette": MOST_VALUES + 1}
        return self.even(sizes.get(what, 256))


def expected_counts(context: int, limit: int) -> np.ndarray:
    """Counts of −limit … limit in a context of which nothing is seen; int64 (2 · limit + 1,).

    Nothing but products, quotients and square roots of floats: the same on any machine.
    """
    octaves, quarters = divmod(context - 1, 4)
    square = math.ldexp(_SHAPE, octaves + 2 * _LOWEST_OCTAVE) * _QUARTERS[quarters]  # of the mean
    power = 1 + np.arange(-limit, limit + 1) ** 2 / square
    for _ in range(3):
        power *= power
    weights = (2.0**30 / power).astype(np.int64)
    return COUNT * _SURE * weights // weights.sum() + 1
