"""Counts: what an n-gram cache knew about every target of one rank before the target was seen.

`MatchCounts` holds one order per target, the highest whose context was seen often enough.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairway.arrays import load_arrays, save_arrays
from fairway.stage import StageError


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
        save_arrays(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> "MatchCounts":
        """Read and check; raises StageError naming the file."""
        found = load_arrays(path, "first_target", "order", "hits", "total", "spec")
        order, hits, total = found["order"], found["hits"], found["total"]
        if not (order.ndim == 1 and order.shape == hits.shape == total.shape):
            raise StageError(
                f"{path}: order {order.shape}, hits {hits.shape} and total {total.shape} "
                "do not match; expected one value per target"
            )
        if (hits > total).any():
            raise StageError(f"{path}: more hits than the context was seen at some target")
        return cls(int(found["first_target"]), order, hits, total, str(found["spec"]))
