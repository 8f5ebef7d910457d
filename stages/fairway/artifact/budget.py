"""As many bits per weight as let a model, quantised and packed, take the bytes that it may.

A search counts bits as if all were rounded to nearest; GPTQ's integers take a per cent more or
less, and floats, scales and the index come on top. So it is tried: what is packed grows by very
nearly an eighth of a byte for each bit of each weight, which leads from any try to the next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fairway.stage import StageError

T = TypeVar("T")
MOST_TRIES = 6  # two or three in practice
CLOSE = 0.001  # of the budget may be left over


@dataclass(frozen=True)
class Filled(Generic[T]):
    """What takes the most bytes within the budget, and (bits per weight, bytes) of all tries."""

    made: T
    tries: list[tuple[float, int]]


def fill(
    make: Callable[[float], T],
    size: Callable[[T], int],
    weights: int,
    bits: tuple[float, float],
    budget: int,
) -> Filled[T]:
    """What `make` makes of the most bits per weight with which its size is within the budget.

    size: bytes, packed; weights: that bits are spent on; bits: the fewest and the most that can
    be. Raises StageError if the fewest take more than the budget.
    """
    fewest, most = bits
    aim = budget - round(CLOSE / 2 * budget)
    wanted, best, tries = min(most, max(fewest, 8 * aim / weights)), None, []
    while len(tries) < MOST_TRIES:
        made = make(wanted)
        tries.append((wanted, size(made)))
        spare = budget - tries[-1][1]
        if spare >= 0 and (best is None or spare < best[0]):
            best = spare, made
        if 0 <= spare <= CLOSE * budget or wanted == (most if spare >= 0 else fewest):
            break
        wanted = min(most, max(fewest, wanted + 8 * (aim - tries[-1][1]) / weights))
    if best is None:
        raise StageError(
            f"quantization.packed_bytes: {budget:,}; the model takes {tries[-1][1]:,} at "
            f"{tries[-1][0]:.2f} bits per weight"
        )
    return Filled(best[1], tries)
