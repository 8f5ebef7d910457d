"""The coders by the name that the configuration has for them."""

from typing import Literal, Protocol

import numpy as np

from fairway.artifact.coders.ans import AnsCoder
from fairway.artifact.coders.general import GeneralCoder
from fairway.artifact.coders.models import PRESENT

CoderName = Literal["lzma", "zstd", "brotli", "ans"]


class Coder(Protocol):
    """Packs the tensors of one section, all of one type (kinds.DTYPES).

    `sizes`: the least and the greatest raw size, in bytes, that `count` values can have. `pack`:
    the raw size, and the packed bytes. `unpack`: the tensors from their shapes, the raw size
    checked before; raises PackedError for bytes that are not packed tensors of these shapes.
    """

    def sizes(self, kind: str, count: int) -> tuple[int, int]: ...

    def pack(self, kind: str, tensors: list[np.ndarray]) -> tuple[int, bytes]: ...

    def unpack(
        self, kind: str, packed: bytes, size: int, shapes: list[tuple[int, ...]]
    ) -> list[np.ndarray]: ...


def coder(name: CoderName, version: int = PRESENT) -> Coder:
    """`lzma`, `zstd` and `brotli` at their strongest, or `ans`. version: of what is read."""
    return AnsCoder(version) if name == "ans" else GeneralCoder(name)
