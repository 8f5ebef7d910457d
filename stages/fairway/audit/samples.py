"""Which targets of a scorer's text are looked into: some at random, some where a cheat would pay.

What is drawn at random measures Z. But a rule that is wrong at one target in a hundred is missed
that way. A wrong rule that is worth anything makes some tokens too cheap, so the suspects are the
targets whose score is furthest below what the frequencies of the tokens so far would charge.
"""

import math
from typing import NamedTuple

import numpy as np

from fairway.audit.evidence import sample_targets


class Sample(NamedTuple):
    """Targets, int64, sorted: drawn at random, and those with the most surprising scores."""

    random: np.ndarray
    suspects: np.ndarray

    @property
    def all(self) -> np.ndarray:
        """Both kinds, sorted, none twice."""
        return np.union1d(self.random, self.suspects)


def frequency_nats(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    """Nats of targets 1…N by the frequencies of the tokens before, each counted once more."""
    order = np.argsort(tokens, kind="stable")
    ordered = tokens[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    seen = np.empty(len(tokens), dtype=np.int64)
    seen[order] = np.arange(len(tokens)) - np.repeat(starts, np.diff(np.r_[starts, len(tokens)]))
    before = np.arange(1, len(tokens))
    return np.log(before + vocabulary) - np.log(seen[1:] + 1)


def draw_sample(
    tokens: np.ndarray,
    nats: np.ndarray,
    vocabulary: int,
    count: int,
    generator: np.random.Generator,
) -> Sample:
    """`count` targets of each kind, of the first len(nats). nats: of targets 1, 2, …."""
    targets = len(nats)
    gain = frequency_nats(tokens, vocabulary)[:targets] - nats
    gain = np.where(np.isnan(gain), math.inf, gain)
    suspects = np.sort(np.argsort(-gain, kind="stable")[:count] + 1)
    return Sample(sample_targets(targets, count, generator), suspects)
