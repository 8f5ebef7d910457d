"""What a cache sees, and its segments: targets that are looked up before any of them is counted.

A cache may begin with a memory: tokens before the text, whose targets are counted like the text's
and never looked up. Memory and text are one array here, and a target's *place* in it is its number
plus the memory's tokens. Place `offset`, the text's first token, is counted with the memory.

The first window's targets are the first segment, 1 … length; each later window's `stride` targets
are one more. The same numbers as `fairway.corpus.windows.WindowPlan`, as compiled functions of a
place. The memory is cut into segments of `stride` from its end back.
"""

from typing import NamedTuple, Self

import numpy as np

from fairway.corpus.shards import BOS
from fairway.kernels.compiled import compiled
from fairway.stage import StageError

NO_MEMORY = np.zeros(0, dtype=np.uint16)


class Segments(NamedTuple):
    """Segments of a text's windows behind `offset` tokens of memory; all in tokens."""

    length: int
    stride: int
    offset: int


class CountedText(NamedTuple):
    """A memory and a text as a cache sees them.

    tokens: uint16 (offset + N + 1,), read-only, the memory's and then the text's.
    """

    tokens: np.ndarray
    segments: Segments

    @property
    def offset(self) -> int:
        """Tokens of memory; the text's target j is at place offset + j."""
        return self.segments.offset

    @classmethod
    def of(cls, tokens: np.ndarray, plan, memory: np.ndarray = NO_MEMORY) -> Self:
        """The text of a `WindowPlan`, (N+1,), behind a memory.

        Raises StageError if the windows are of another text.
        """
        if len(tokens) != plan.targets + 1:
            raise StageError(
                f"tokens: {len(tokens)}; expected {plan.targets + 1} for these windows"
            )
        plain = np.asarray(tokens, dtype=np.uint16).view(np.ndarray)
        if len(memory):
            plain = np.concatenate([np.asarray(memory, dtype=np.uint16), plain])
        plain.flags.writeable = False
        return cls(plain, Segments(plan.length, plan.stride, len(memory)))


@compiled
def segment_first(place, segments):
    """First place of the segment that `place` is in."""
    target = place - segments.offset
    if target <= 0:
        return max(1, place - (segments.stride - 1 - -target % segments.stride))
    if target <= segments.length:
        return segments.offset + 1
    beyond = target - segments.length - 1
    return place - beyond % segments.stride


@compiled
def segment_last(place, segments):
    """Last place of the segment that `place` is in (the text may end before it)."""
    target = place - segments.offset
    if target <= 0:
        return place + -target % segments.stride
    if target <= segments.length:
        return segments.offset + segments.length
    beyond = target - segments.length - 1
    return place + segments.stride - 1 - beyond % segments.stride


@compiled
def context_reach(tokens, first, last, limit):
    """How many tokens before each place first … last its context may hold, at most `limit`.

    A context may begin at its document's BOS but not before it, so that is the distance to the
    last BOS before it, or to the start of the text. uint8 of shape (last − first + 1,).
    """
    reach = np.empty(last - first + 1, dtype=np.uint8)
    start = max(first - 1, 0)  # where the longest context begins
    while start > 0 and tokens[start] != BOS and first - start < limit:
        start -= 1
    for target in range(first, last + 1):
        if target > 0 and tokens[target - 1] == BOS:
            start = target - 1
        reach[target - first] = min(target - start, limit)
    return reach
