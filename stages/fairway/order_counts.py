"""Counts of every order at every target, in a file small enough to keep and fast to stream.

For gates that use all orders. A target's record at order n says how often its context was seen
(total), how often followed by the target's token (hits), and by how many different tokens
(distinct). Totals fall as orders rise, so the orders with total > 0 are min_order … some highest.

Chunks of `CHUNK_TARGETS` targets follow one another. A chunk is

    depth     one byte per target: how many orders have a record, from min_order up
    records   order by order, those of the targets that reach it, in text order

A record is one byte if total ≤ 10: 230 triples are possible there. Otherwise the byte says how
many bytes total (1–4), hits (0–4) and distinct (1–2) take; these follow, low byte first. A reader
keeps one cursor per order and so yields whole rows, targets × orders.
"""

import contextlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from fairway.arrays import load_arrays, save_arrays
from fairway.compiled import compiled
from fairway.stage import StageError

CHUNK_TARGETS = 8192
_LARGEST_SMALL = 10  # totals up to this have a record of one byte
_LONGEST = 11  # bytes of a record, at most


def _small_records() -> np.ndarray:
    """All possible (total, hits, distinct) with total ≤ 10, in the order of their bytes.

    Only a context that was always followed by the same token has hits = total, and then one
    successor; the occurrences that were no hits have at least one and at most total − hits others.
    """
    found = []
    for total in range(1, _LARGEST_SMALL + 1):
        for hits in range(total + 1):
            others = range(1, total - hits + 1) if hits < total else range(1)
            found.extend((total, hits, (hits > 0) + other) for other in others)
    return np.array(found, dtype=np.uint8)


def _large_records(first: int) -> np.ndarray:
    """Bytes of total, hits and distinct for the record bytes from `first` to 255; 0 below."""
    sizes = np.zeros((256, 3), dtype=np.uint8)
    for total in range(1, 5):
        for hits in range(total + 1):
            for distinct in range(1, min(total, 2) + 1):
                sizes[first] = total, hits, distinct
                first += 1
    return sizes


def _positions(rows: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """For every row (three small numbers), its index, at [row[0], row[1], row[2]]."""
    index = np.zeros(shape, dtype=np.uint8)
    for position, row in enumerate(rows):
        index[tuple(row)] = position
    return index


_SMALL = _small_records()
_SIZES = _large_records(len(_SMALL))
_SMALL_BYTE = _positions(_SMALL, (_LARGEST_SMALL + 1,) * 3)
_SIZES_BYTE = _positions(_SIZES, (5, 5, 3))


@compiled
def _bytes_of(value):
    """How many bytes a number below 2^32 takes; 0 for 0."""
    return (value > 0) + (value > 0xFF) + (value > 0xFFFF) + (value > 0xFFFFFF)


@compiled
def _put(payload, cursor, value, size):
    for byte in range(size):
        payload[cursor + byte] = (value >> (8 * byte)) & 0xFF
    return cursor + size


@compiled
def _get(payload, cursor, size):
    value = np.uint32(0)
    for byte in range(size):
        value |= np.uint32(payload[cursor + byte]) << np.uint32(8 * byte)
    return value


@compiled
def write_records(order, orders, hits, totals, distinct, payload, sizes):
    """Append the records of the targets that are at `order`; sizes gets the bytes per chunk.

    orders uint8, hits, totals, distinct uint32: one element per target of the rank. payload:
    `_LONGEST` bytes per record are enough. Returns the bytes written.
    """
    cursor = 0
    for chunk in range(sizes.size):
        begin = cursor
        last = min((chunk + 1) * CHUNK_TARGETS, orders.size)
        for target in range(chunk * CHUNK_TARGETS, last):
            if orders[target] != order:
                continue
            total, hit, other = totals[target], hits[target], distinct[target]
            if total <= _LARGEST_SMALL:
                payload[cursor] = _SMALL_BYTE[total, hit, other]
                cursor += 1
                continue
            lengths = _bytes_of(total), _bytes_of(hit), _bytes_of(other)
            payload[cursor] = _SIZES_BYTE[lengths[0], lengths[1], lengths[2]]
            cursor = _put(payload, cursor + 1, total, lengths[0])
            cursor = _put(payload, cursor, hit, lengths[1])
            cursor = _put(payload, cursor, other, lengths[2])
        sizes[chunk] = cursor - begin
    return cursor


@compiled
def read_records(piece, sizes, targets, totals, hits, distinct):
    """Decode one chunk; returns False if the records do not fill it exactly.

    piece: its bytes; sizes: (orders,) bytes of each order's records. totals, hits, distinct:
    uint32 (targets, orders), every element is set.
    """
    orders = sizes.size
    cursors = np.empty(orders, dtype=np.int64)
    ends = targets + np.cumsum(sizes.astype(np.int64))
    cursors[0] = targets
    cursors[1:] = ends[:-1]
    if ends[-1] + _LONGEST > piece.size:  # the longest record may be read past a damaged end
        return False
    for target in range(targets):
        depth = piece[target]
        if depth > orders:
            return False
        for order in range(depth):
            cursor = cursors[order]
            if cursor >= ends[order]:
                return False
            code = piece[cursor]
            cursor += 1
            if code < len(_SMALL):
                totals[target, order] = _SMALL[code, 0]
                hits[target, order] = _SMALL[code, 1]
                distinct[target, order] = _SMALL[code, 2]
            else:
                totals[target, order] = _get(piece, cursor, _SIZES[code, 0])
                cursor += _SIZES[code, 0]
                hits[target, order] = _get(piece, cursor, _SIZES[code, 1])
                cursor += _SIZES[code, 1]
                distinct[target, order] = _get(piece, cursor, _SIZES[code, 2])
                cursor += _SIZES[code, 2]
            cursors[order] = cursor
        for order in range(depth, orders):
            totals[target, order] = hits[target, order] = distinct[target, order] = 0
    return (cursors == ends).all()


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
        save_arrays(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> "OrderCounts":
        """Open for streaming: reads all but the payload. Raises StageError naming the file."""
        names = ("first_target", "targets", "min_order", "sizes", "spec")
        found = load_arrays(path, *names)
        targets, sizes = int(found["targets"]), found["sizes"]
        chunks = -(-targets // CHUNK_TARGETS)
        if sizes.ndim != 2 or len(sizes) != chunks:
            raise StageError(
                f"{path}: sizes {sizes.shape}; expected {chunks} rows for {targets} targets"
            )
        return cls(
            int(found["first_target"]),
            targets,
            int(found["min_order"]),
            sizes,
            Path(path),
            str(found["spec"]),
        )

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
                if not read_records(piece, sizes, count, *rows):
                    raise StageError(f"{self._name()}: damaged records in chunk {chunk}")
                yield OrderChunk(self.first_target + start, *rows)
            if stream.read(1):
                raise StageError(f"{self._name()}: bytes left over after the last chunk")

    @contextlib.contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        if isinstance(self.payload, np.ndarray):
            yield io.BytesIO(self.payload.data)
            return
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(zipfile.ZipFile(self.payload))
                stream = stack.enter_context(file.open("payload.npy"))
                np.lib.format.read_magic(stream)
                np.lib.format.read_array_header_1_0(stream)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise StageError(f"{self.payload}: damaged .npz ({error})") from None
            yield stream

    def _read(self, stream: BinaryIO, size: int) -> np.ndarray:
        try:
            content = stream.read(size)
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise StageError(f"{self._name()}: damaged payload ({error})") from None
        if len(content) != size:
            raise StageError(f"{self._name()}: payload ends early; delete it and run again")
        return np.frombuffer(content + bytes(_LONGEST), dtype=np.uint8)

    def _name(self) -> str:
        return "counts" if isinstance(self.payload, np.ndarray) else str(self.payload)


class OrderCountsWriter:
    """Collects one rank's records, order after order, from min_order up.

    Call `add` with every order in turn, then `finish`.
    """

    def __init__(self, first_target: int, targets: int, min_order: int) -> None:
        self.first_target, self.targets, self.min_order = first_target, targets, min_order
        self.records: list[np.ndarray] = []
        self.sizes: list[np.ndarray] = []

    def add(self, order: int, orders, hits, totals, distinct) -> None:
        """Records of the targets for which `orders` says `order`; arrays (targets,)."""
        space = np.empty(_LONGEST * np.count_nonzero(orders == order), dtype=np.uint8)
        sizes = np.zeros(-(-self.targets // CHUNK_TARGETS), dtype=np.uint32)
        written = write_records(order, orders, hits, totals, distinct, space, sizes)
        self.records.append(space[:written].copy())
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
        self.records.clear()
        return OrderCounts(self.first_target, self.targets, self.min_order, sizes, payload)
