"""Segments: the stretches of targets that are looked up together before any of them is counted.

The first window's targets are the first segment, 1 … length; each later window's `stride` targets
are one more. The same numbers as `fairway.corpus.windows.WindowPlan`, as compiled functions of a
target.
"""

import numpy as np

from fairway.corpus.shards import BOS
from fairway.kernels.compiled import compiled


@compiled
def segment_first(target, length, stride):
    """First target of the segment that `target` is in."""
    if target <= length:
        return 1
    return length + 1 + (target - length - 1) // stride * stride


@compiled
def segment_last(target, length, stride):
    """Last target of the segment that `target` is in (the text may end before it)."""
    if target <= length:
        return length
    return length + ((target - length - 1) // stride + 1) * stride


@compiled
def context_reach(tokens, first, last, limit):
    """How many tokens before each target first … last its context may hold, at most `limit`.

    A context may begin at its document's BOS but not before it, so that is the distance to the
    last BOS before the target, or to the start of the text. uint8 of shape (last − first + 1,).
    """
    reach = np.empty(last - first + 1, dtype=np.uint8)
    start = max(first - 1, 0)  # where the longest context of the target begins
    while start > 0 and tokens[start] != BOS and first - start < limit:
        start -= 1
    for target in range(first, last + 1):
        if target > 0 and tokens[target - 1] == BOS:
            start = target - 1
        reach[target - first] = min(target - start, limit)
    return reach
