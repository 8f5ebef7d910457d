"""As many bits per weight as let a model, quantised and packed, take the bytes that it may.

A search counts bits as if all were rounded to nearest; GPTQ's integers take a per cent more or
less, and floats, scales and the index come on top. So it is tried: what is packed grows by very
nearly an eighth of a byte for each bit of each weight, which leads from a try to the next. Once
one is too large and another is not, a straight line between the two leads on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fairway.stage import StageError

T = TypeVar("T")
MOST_TRIES = 8  # two to five in practice
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
    tries: list[tuple[float, int]] = []
    last: dict[bool, tuple[float, int]] = {}  # of those that fit and of those that do not
    best = None
    aim = budget - round(CLOSE / 2 * budget)
    wanted = 8 * aim / weights
    while len(tries) < MOST_TRIES:
        wanted = min(most, max(fewest, wanted))
        if wanted in dict(tries):
            break
        made = make(wanted)
        tried = wanted, size(made)
        tries.append(tried)
        fits = tried[1] <= budget
        last[fits] = tried
        if fits and (best is None or tried[1] >= best[0]):
            best = tried[1], made
        if fits and tried[1] >= (1 - CLOSE) * budget:
            break
        if len(last) == 2:
            wanted = _between(last[True], last[False], aim)
        else:  # farther and farther where that has led to neither side twice
            wanted += 8 * (aim - tried[1]) / weights * 4 ** max(0, len(tries) - 2)
    if best is None:
        raise StageError(
            f"quantization.packed_bytes: {budget:,}; the model takes {tries[-1][1]:,} at "
            f"{tries[-1][0]:.2f} bits per weight"
        )
    return Filled(best[1], tries)


def _between(fits: tuple[float, int], over: tuple[float, int], aim: int) -> float:
    """Where a straight line through two tries, (bits, bytes) each, meets the aim."""
    share = (aim - fits[1]) / (over[1] - fits[1])
    return fits[0] + share * (over[0] - fits[0])
