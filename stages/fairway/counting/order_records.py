"""Records of counts: three numbers (total, hits, distinct) in as few bytes as are simple to read.

A record is one byte if total ≤ 10: 230 triples are possible there. Otherwise the byte says how
many bytes total (1–4), hits (0–4) and distinct (1–2) take; these follow, low byte first.

Chunks of `CHUNK_TARGETS` targets follow one another. A chunk is

    depth     one byte per target: how many orders have a record
    records   order by order, those of the targets that reach it, in text order
"""

import numpy as np

from fairway.kernels.compiled import borrowing, compiled

CHUNK_TARGETS = 8192
LONGEST = 11  # bytes of a record, at most
MARGIN = 16  # bytes that a reader may touch after the last record
_LARGEST_SMALL = 10  # totals up to this have a record of one byte


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


def _decoder() -> np.ndarray:
    """What each record byte means, uint32 (256, 8).

    Columns: the record's total, hits and distinct as far as the byte gives them; the bits of the
    three words that follow to be added; where the word of hits and that of distinct begin and
    where the record ends, after the byte, 8 bits each.
    """
    table = np.zeros((256, 8), dtype=np.uint32)
    table[: len(_SMALL), :3] = _SMALL
    table[:, 3:6] = (1 << 8 * _SIZES.astype(np.int64)) - 1
    table[:, 6] = np.cumsum(_SIZES, axis=1) @ (1, 1 << 8, 1 << 16)
    return table


_DECODER = _decoder()


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
def write_records(order, cells, payload, sizes):
    """Append the records of the targets that are at `order`; sizes gets the bytes per chunk.

    cells: uint32 (targets, 4): order, hits, total and distinct of each target of the rank.
    payload: `LONGEST` bytes per record are enough. Returns the bytes written.
    """
    cursor = 0
    for chunk in range(sizes.size):
        begin = cursor
        last = min((chunk + 1) * CHUNK_TARGETS, cells.shape[0])
        for target in range(chunk * CHUNK_TARGETS, last):
            if cells[target, 0] != order:
                continue
            hit, total, other = cells[target, 1], cells[target, 2], cells[target, 3]
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


@borrowing
def _word(piece, at):
    """Bytes at … at+3 as one number, low byte first.

    Unsigned places need no check for negative ones, so that LLVM makes one read of the four.
    """
    at = np.uint64(at)
    return (
        np.uint32(piece[at])
        | np.uint32(piece[at + np.uint64(1)]) << np.uint32(8)
        | np.uint32(piece[at + np.uint64(2)]) << np.uint32(16)
        | np.uint32(piece[at + np.uint64(3)]) << np.uint32(24)
    )


@borrowing
def read_records(piece, cursors, ends, totals, hits, distinct):
    """Decode one chunk; returns False if a record would begin at its order's end or beyond.

    piece: its bytes and `MARGIN` more; cursors: (orders,), where each order's records begin,
    moved to where they end; ends: where they should. totals, hits, distinct: uint32 (targets,
    orders), all 0 before. No branch depends on a record, as processors guess these badly.
    """
    for target in range(totals.shape[0]):
        depth = piece[target]
        if depth > cursors.size:
            return False
        for order in range(depth):
            cursor = cursors[order]
            if cursor >= ends[order]:
                return False
            code = piece[cursor]
            lengths, cursor = _DECODER[code, 6], cursor + np.uint64(1)
            word = _word(piece, cursor) & _DECODER[code, 3]
            totals[target, order] = _DECODER[code, 0] + word
            word = _word(piece, cursor + (lengths & 0xFF)) & _DECODER[code, 4]
            hits[target, order] = _DECODER[code, 1] + word
            word = _word(piece, cursor + (lengths >> 8 & 0xFF)) & _DECODER[code, 5]
            distinct[target, order] = _DECODER[code, 2] + word
            cursors[order] = cursor + (lengths >> 16)
    return True


@compiled
def possible_counts(totals, hits, distinct):
    """Whether an exact cache can have counted so, uint32 (targets, orders) each.

    Totals do not rise with the order; hits and distinct are at most the total, and distinct is
    above 0 where the total is.
    """
    wrong = np.uint32(0)
    total, hit, other = totals.ravel(), hits.ravel(), distinct.ravel()
    for i in range(total.size):  # flat, so that it is done for several at once
        wrong |= np.uint32(hit[i] > total[i]) | np.uint32(other[i] > total[i])
        wrong |= np.uint32(min(other[i], np.uint32(1)) < min(total[i], np.uint32(1)))
    for target in range(totals.shape[0]):
        for order in range(1, totals.shape[1]):
            wrong |= np.uint32(totals[target, order] > totals[target, order - 1])
    return wrong == 0
