"""Counts: what an n-gram cache knew about every target of one rank before the target was seen.

`MatchCounts` holds one order per target, the highest whose context was seen often enough.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fairway.counting.settings import CacheSettings
from fairway.files.arrays import FIRST_TARGET, TEXT, Layout, load_arrays, save_arrays
from fairway.stage import StageError

VERSION = 1  # of the file
_LAYOUTS = {
    "first_target": FIRST_TARGET,
    "order": Layout("uint8", ("targets",)),
    "hits": Layout("uint32", ("targets",)),
    "total": Layout("uint32", ("targets",)),
    "spec": TEXT,
}

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Orders (uint8, 0 for none), hits and totals (uint32), by target."""


def empty_found(targets: int) -> Found:
    """Orders, hits and totals of so many targets, with nothing found yet."""
    orders = np.zeros(targets, dtype=np.uint8)
    return orders, np.zeros(targets, dtype=np.uint32), np.zeros(targets, dtype=np.uint32)


class MatchDistributions(NamedTuple):
    """What a cache says of every token at some targets, at the order that matched.

    orders: uint8 (targets,), 0 for none; totals: uint32 (targets,); hits: uint32 (targets,
    vocabulary), at most the total each.
    """

    orders: np.ndarray
    totals: np.ndarray
    hits: np.ndarray


class OrderDistributions(NamedTuple):
    """What an exact cache says of every token at some targets, at every order.

    totals, distinct: uint32 (targets, orders), times each context was seen and by how many
    different tokens it was followed; hits: uint32 (targets, orders, vocabulary).
    """

    totals: np.ndarray
    hits: np.ndarray
    distinct: np.ndarray


@dataclass(frozen=True)
class MatchCounts:
    """The first order, from the top, whose context was seen at least `min_count` times.

    Arrays of shape (targets,) for targets first_target, first_target+1, …:
    order: uint8, 0 where no order matched; total: uint32, times the context was seen;
    hits: uint32, times it was followed by the target's token, at most total.
    spec: hash of the settings and code that made them ("" if made outside the pipeline).
    """

    first_target: int
    order: np.ndarray
    hits: np.ndarray
    total: np.ndarray
    spec: str = ""

    @property
    def targets(self) -> int:
        """Number of targets."""
        return len(self.order)

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        save_arrays(path, VERSION, **self.__dict__)

    @classmethod
    def load(cls, path: Path, cache: CacheSettings) -> "MatchCounts":
        """Read and check; raises StageError naming the file if a count cannot be the cache's."""
        found = load_arrays(path, VERSION, **_LAYOUTS)
        order, hits, total = found["order"], found["hits"], found["total"]
        matched = order > 0
        low, high, least = cache.min_order, cache.max_order, cache.min_count
        for wrong, what in (
            (hits > total, "more hits than the context was seen"),
            (matched & ((order < low) | (order > high)), f"an order outside {low} to {high}"),
            (matched & (total < least), f"a match of fewer than {least} occurrences"),
            (matched != (total > 0), "occurrences without a match"),
        ):
            if wrong.any():
                target = found["first_target"] + int(np.argmax(wrong))
                raise StageError(f"{path}: {what} at target {target}; counts of another cache?")
        return cls(**found)
