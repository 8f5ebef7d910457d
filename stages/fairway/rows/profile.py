"""Where a row's nats lie: by document, along the text, by matched order.

The sums are small (a few numbers per document), so statistics over documents and pictures of the
text need no score or count shard again. They add up to the row's own sums.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairway.files.arrays import TEXT, Layout, load_arrays, save_arrays

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
