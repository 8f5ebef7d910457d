"""Where a row's nats lie: by document, along the text, by matched order; summed while it is mixed.

The sums are small (a few numbers per document), so statistics over documents and pictures of the
text need no score or count shard again. They add up to the row's own sums.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairway.counting.settings import CacheSettings
from fairway.files.arrays import TEXT, Layout, load_arrays, save_arrays
from fairway.rows.gate import Mixing, Piece

STRETCHES = 256  # of the text, of as equal numbers of targets as can be
VERSION = 1  # of the file
_LAYOUTS = {"spec": TEXT} | {
    name: Layout("float64" if name.endswith("_nats") else "int64", (axis,))
    for key, axis, figures in (
        ("document", "documents", ("nats", "bytes")),
        ("stretch", STRETCHES, ("nats", "bytes")),
        ("order", "orders", ("targets", "hits", "nats")),
    )
    for name in (f"{key}_{figure}" for figure in figures)
}


@dataclass(frozen=True)
class Profile:
    """Sums of one row and seed, each a pair of arrays: nats float64, bytes int64.

    document_*: (documents,), in order; a document's BOS is its first target. stretch_*: (256,).
    order_*: (max_order + 1,), by the highest order that matched, 0 where none did: targets, how
    many of them had occurred behind that context, nats; empty for a row without a cache.
    spec: of the mixing.
    """

    spec: str
    document_nats: np.ndarray
    document_bytes: np.ndarray
    stretch_nats: np.ndarray
    stretch_bytes: np.ndarray
    order_targets: np.ndarray
    order_hits: np.ndarray
    order_nats: np.ndarray

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        save_arrays(path, VERSION, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> "Profile":
        """Read; raises StageError naming the file and what is wrong with it."""
        return cls(**load_arrays(path, VERSION, **_LAYOUTS))


class Profiler:
    """Mixes as `gate` does and adds up what it gives: the same nats, bit for bit.

    tokens: (targets + 1,); target_bytes: (targets,); bos: the token that begins a document;
    cache: the row's, None without one.
    """

    def __init__(
        self,
        gate: Mixing,
        tokens: np.ndarray,
        target_bytes: np.ndarray,
        bos: int,
        cache: CacheSettings | None,
    ) -> None:
        self.gate, self.sizes, self.cache = gate, target_bytes, cache
        targets = len(target_bytes)
        begins = np.flatnonzero(tokens == bos)  # a target index is its token's
        self.begins = begins if len(begins) and begins[0] == 0 else np.append(0, begins)
        self.stretches = np.linspace(1, targets + 1, STRETCHES + 1).astype(np.int64)[:-1]
        self.sums = {"document": _pair(len(self.begins)), "stretch": _pair(STRETCHES)}
        columns = cache.max_order + 1 if cache else 0
        self.orders = {key: np.zeros(columns) for key in ("targets", "hits", "nats")}

    def start(self) -> Any:
        return self.gate.start()

    def nats(self, state: Any, tokens: np.ndarray, piece: Piece) -> np.ndarray:
        """−ln p of a piece's targets; moves the state on."""
        found = self.gate.nats(state, tokens, piece)
        first = piece.first_target
        targets = np.arange(first, first + len(found))
        sizes = self.sizes[first - 1 : first - 1 + len(found)]
        for key, begins in (("document", self.begins), ("stretch", self.stretches)):
            place = np.searchsorted(begins, targets, side="right") - 1
            for total, values in zip(self.sums[key], (found, sizes), strict=True):
                _add(total, place, values)
        if piece.counts is not None:
            order, hit = matched(piece.counts, self.cache.min_order)
            ones = np.ones(len(found))
            for key, values in (("targets", ones), ("hits", hit), ("nats", found)):
                _add(self.orders[key], order, values)
        return found

    def profile(self, spec: str) -> Profile:
        """All that was added up."""
        sums = {
            f"{key}_{what}": total.astype(np.int64) if what == "bytes" else total
            for key, pair in self.sums.items()
            for what, total in zip(("nats", "bytes"), pair, strict=True)
        }
        orders = {f"order_{key}": total for key, total in self.orders.items()}
        counted = {key: orders[key].astype(np.int64) for key in ("order_targets", "order_hits")}
        return Profile(spec, **sums, **orders | counted)


def matched(counts: tuple[np.ndarray, ...], min_order: int) -> tuple[np.ndarray, np.ndarray]:
    """The order that matched at each target (0: none), and whether its token was among the seen.

    counts: of a piece. Where every order is counted, an array's last axis is orders from
    `min_order` on, and the highest one whose context has occurred is meant.
    """
    first, second, _ = counts
    if first.ndim == 1:  # (order, hits, total) of the match
        return first.astype(np.int64), second > 0
    depth = (first > 0).sum(axis=1)  # totals fall as orders rise
    hits = np.take_along_axis(second, np.maximum(depth - 1, 0)[:, None], axis=1)[:, 0]
    return np.where(depth > 0, depth + min_order - 1, 0), (hits > 0) & (depth > 0)


def _pair(length: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(length), np.zeros(length)


def _add(total: np.ndarray, place: np.ndarray, values: np.ndarray) -> None:
    """total[place] += values, where places may repeat."""
    if len(place):
        low, high = int(place.min()), int(place.max())
        total[low : high + 1] += np.bincount(place - low, values, high - low + 1)
