"""Counts of every order at every target, in a file small enough to keep and fast to stream.

For gates that use all orders. A target's record at order n says how often its context was seen
(total), how often followed by the target's token (hits), and by how many different tokens
(distinct). Totals fall as orders rise, so the orders with total > 0 are min_order … some highest.

They are packed as `fairway.counting.order_records` says, chunk by chunk. A reader keeps one cursor
per order and so yields whole rows, targets × orders.
"""

import contextlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from fairway.counting.order_records import (
    CHUNK_TARGETS,
    LONGEST,
    MARGIN,
    possible_counts,
    read_records,
    write_records,
)
from fairway.counting.settings import CacheSettings
from fairway.files.arrays import (
    DAMAGES,
    FIRST_TARGET,
    TEXT,
    Layout,
    load_arrays,
    open_member,
    read_npy_header,
    save_arrays,
)
from fairway.stage import StageError

VERSION = 1  # of the file


class OrderChunk(NamedTuple):
    """Counts of targets first_target, first_target+1, …; arrays uint32 (targets, orders).

    Column k is order min_order + k. Overwritten when the next chunk is read.
    """

    first_target: int
    totals: np.ndarray
    hits: np.ndarray
    distinct: np.ndarray


@dataclass(frozen=True)
class OrderCounts:
    """Counts of all orders at the targets of one rank, kept packed; read them with `chunks`.

    sizes: uint32 (chunks, orders), bytes of every chunk's records by order; payload: uint8, all
    chunks, or the path of the file that holds them, from which they are streamed.
    """

    first_target: int
    targets: int
    min_order: int
    sizes: np.ndarray
    payload: np.ndarray | Path
    spec: str = ""

    @property
    def orders(self) -> int:
        """Number of orders, min_order and up."""
        return self.sizes.shape[1]

    @property
    def packed_bytes(self) -> int:
        """Bytes of depths and records."""
        return self.targets + int(self.sizes.sum(dtype=np.int64))

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        save_arrays(path, VERSION, **self.__dict__)

    @classmethod
    def load(cls, path: Path, cache: CacheSettings) -> "OrderCounts":
        """Open for streaming: reads all but the payload.

        Raises StageError naming the file if it is damaged or cannot be of the cache.
        """
        path, low = Path(path), cache.min_order
        found = load_arrays(
            path,
            VERSION,
            first_target=FIRST_TARGET,
            targets=Layout("int64", low=1, high=2**31),
            min_order=Layout("int64", low=low, high=low),
            sizes=Layout("uint32", ("chunks", cache.orders)),
            spec=TEXT,
        )
        targets, chunks = found["targets"], len(found["sizes"])
        if chunks != -(-targets // CHUNK_TARGETS):
            raise StageError(f"{path}: {chunks} chunks for {targets} targets")
        return cls(payload=path, **found)

    def chunks(self) -> Iterator[OrderChunk]:
        """Yield the counts chunk by chunk, in order, in bounded memory.

        Raises StageError if the payload is damaged, at the latest after the last chunk.
        """
        shape = min(CHUNK_TARGETS, self.targets), self.orders
        totals, hits, distinct = (np.empty(shape, dtype=np.uint32) for _ in range(3))
        with self._open() as stream:
            for chunk, sizes in enumerate(self.sizes):
                start = chunk * CHUNK_TARGETS
                count = min(CHUNK_TARGETS, self.targets - start)
                piece = self._read(stream, count + int(sizes.sum(dtype=np.int64)))
                rows = totals[:count], hits[:count], distinct[:count]
                if not (_unpack(piece, sizes, rows) and possible_counts(*rows)):
                    raise StageError(f"{self._name()}: damaged records in chunk {chunk}")
                yield OrderChunk(self.first_target + start, *rows)
            self._read(stream, 0)  # the end, where the member's CRC is compared

    @contextlib.contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        if isinstance(self.payload, np.ndarray):
            yield io.BytesIO(self.payload.data)
            return
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(zipfile.ZipFile(self.payload))
                stream, size = open_member(file, "payload.npy")
                stack.enter_context(stream)
                kind = read_npy_header(stream, size)
            except (KeyError, *DAMAGES) as error:
                raise StageError(f"{self.payload}: damaged .npz ({str(error)[:200]})") from None
            if kind != (np.uint8, (self.packed_bytes,)):
                raise StageError(
                    f"{self.payload}: payload is {kind}; expected uint8 ({self.packed_bytes},)"
                )
            yield stream

    def _read(self, stream: BinaryIO, size: int) -> np.ndarray:
        try:
            content = stream.read(size) if size else stream.read(1)
        except DAMAGES as error:
            raise StageError(f"{self._name()}: damaged payload ({str(error)[:200]})") from None
        if len(content) != size:
            raise StageError(f"{self._name()}: payload of another length; delete it and run again")
        return np.frombuffer(content + bytes(MARGIN), dtype=np.uint8)

    def _name(self) -> str:
        return "counts" if isinstance(self.payload, np.ndarray) else str(self.payload)


class OrderCountsWriter:
    """Collects one rank's records, order after order, from min_order up.

    Call `add` with every order in turn, then `finish`.
    """

    def __init__(self, first_target: int, targets: int, min_order: int) -> None:
        self.first_target, self.targets, self.min_order = first_target, targets, min_order
        self.space = np.empty(LONGEST * targets, dtype=np.uint8)  # what is not used costs nothing
        self.records: list[np.ndarray] = []
        self.sizes: list[np.ndarray] = []

    def add(self, order: int, cells: np.ndarray) -> None:
        """Records of the targets that are at `order`. cells: see `write_records`."""
        sizes = np.zeros(-(-self.targets // CHUNK_TARGETS), dtype=np.uint32)
        written = write_records(order, cells, self.space, sizes)
        self.records.append(self.space[:written].copy())
        self.sizes.append(sizes)

    def finish(self, orders: np.ndarray) -> OrderCounts:
        """All that was added, chunk by chunk. orders: highest order of each target, 0 for none."""
        sizes = np.stack(self.sizes, axis=1)
        depth = np.where(orders > 0, orders - (self.min_order - 1), 0).astype(np.uint8)
        payload = np.empty(self.targets + sizes.sum(dtype=np.int64), dtype=np.uint8)
        cursor, begins = 0, [0] * len(self.records)
        for chunk, row in enumerate(sizes):
            part = depth[chunk * CHUNK_TARGETS : (chunk + 1) * CHUNK_TARGETS]
            payload[cursor : cursor + len(part)] = part
            cursor += len(part)
            for order, size in enumerate(row.tolist()):
                piece = self.records[order][begins[order] : begins[order] + size]
                payload[cursor : cursor + size] = piece
                cursor += size
                begins[order] += size
        del self.records, self.space
        return OrderCounts(self.first_target, self.targets, self.min_order, sizes, payload)


def _unpack(piece: np.ndarray, sizes: np.ndarray, rows: tuple[np.ndarray, ...]) -> bool:
    """Decode one chunk into rows, totals, hits and distinct; whether it is undamaged.

    piece: its bytes; sizes: (orders,) bytes of each order's records.
    """
    for array in rows:
        array.fill(0)
    bounds = np.cumsum([len(rows[0]), *sizes], dtype=np.uint64)
    cursors, ends = bounds[:-1].copy(), bounds[1:]
    return read_records(piece, cursors, ends, *rows) and np.array_equal(cursors, ends)
