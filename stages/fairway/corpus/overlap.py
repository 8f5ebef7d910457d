"""How much of the validation text stands in the training text: what a memory can recall.

A *run* is `RUN_TOKENS` tokens on end within a document, its BOS included. The runs of the
validation text are put into a table by a hash; the training text is read once, in pieces, and each
of its runs is looked up there and compared token by token, so that equal hashes decide nothing.
Time is linear in both texts; memory, 20 to 40 bytes a token, in the validation text alone.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fairway.corpus.manifest import Overlap
from fairway.corpus.shards import BOS
from fairway.kernels.compiled import compiled
from fairway.kernels.dictionary import scramble, slot_shift
from fairway.kernels.prefetch import prefetch

RUN_TOKENS = 20  # a line of text
NAMED = 10  # duplicates that are named
_PIECE = 1 << 20  # tokens of training text compared at a time
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # of the rolling hash, odd
_AHEAD = 32  # runs whose slots are asked for before they are read
# An entry: half of the hash, whether the run occurred, and where it ends; 0 if the slot is free.
_LOW = np.uint64((1 << 32) - 1)
_FOUND = np.uint64(1 << 31)
_ENDS = np.uint64((1 << 31) - 1)


def measure_overlap(
    val: np.ndarray,
    starts: np.ndarray,
    shards: Sequence[np.ndarray],
    progress: Callable[[int], None] = lambda tokens: None,
) -> Overlap:
    """The overlap of a validation text with the training text.

    val: uint16 (tokens,), from its first BOS on; starts: of its documents; shards: uint16, of the
    training text, in order. progress: called with the number of training tokens just compared.
    """
    val = np.asarray(val).view(np.ndarray)
    table = np.zeros(1 << max(1, (3 * len(val) // 2).bit_length()), dtype=np.uint64)
    hashes = _hash_runs(val)
    _enter(val, hashes, table)
    for piece in _pieces(shards):
        _compare(val, table, piece, _hash_runs(piece))
        progress(len(piece))
    runs, found = np.zeros((2, len(starts)), dtype=np.int64)
    _count(val, hashes, table, runs, found)
    places = _documents_of(val, starts)
    duplicates = _duplicates(places, shards)
    return Overlap(
        RUN_TOKENS,
        int(runs.sum()),
        int(found.sum()),
        int(np.count_nonzero(runs)),
        int(np.count_nonzero(2 * found > runs)),
        len(duplicates),
        tuple(duplicates[:NAMED]),
        sum(len(numbers) - 1 for numbers in places.values()),
    )


@compiled
def _hash_runs(tokens):
    """Hashes of the runs that end at each token, uint64; of no meaning for the first ones."""
    hashes = np.empty(tokens.size, dtype=np.uint64)
    leaving = np.uint64(1)
    for _ in range(RUN_TOKENS):
        leaving *= _MULTIPLIER
    rolling = np.uint64(0)
    for i in range(tokens.size):
        rolling = rolling * _MULTIPLIER + np.uint64(tokens[i]) + np.uint64(1)
        if i >= RUN_TOKENS:
            rolling -= leaving * (np.uint64(tokens[i - RUN_TOKENS]) + np.uint64(1))
        hashes[i] = scramble(rolling)
    return hashes


@compiled
def _slot_of(val, table, tokens, end, hashed, shift):
    """The slot of the run that ends at tokens[end], or the free one where it belongs."""
    slot, last = hashed >> shift, np.uint64(table.size - 1)
    while table[slot]:
        if table[slot] >> np.uint64(32) == hashed & _LOW:
            other, same = np.int64(table[slot] & _ENDS), True
            for k in range(RUN_TOKENS):
                same &= val[other - k] == tokens[end - k]
            if same:
                break
        slot = (slot + np.uint64(1)) & last
    return slot


@compiled
def _enter(val, hashes, table):
    """Put all runs of the validation text into the table, by where each first ends."""
    shift, age = slot_shift(table), 0
    for i in range(val.size):
        age = 1 if val[i] == BOS else age + 1
        if age >= RUN_TOKENS:
            slot = _slot_of(val, table, val, i, hashes[i], shift)
            if table[slot] == 0:
                table[slot] = hashes[i] << np.uint64(32) | np.uint64(i)


@compiled
def _compare(val, table, piece, hashes):
    """Mark the runs that occur in a piece of training text."""
    shift = slot_shift(table)
    for i in range(RUN_TOKENS - 1, piece.size):
        if i + _AHEAD < piece.size:
            prefetch(table, hashes[i + _AHEAD] >> shift)
        slot = _slot_of(val, table, piece, i, hashes[i], shift)
        if table[slot]:
            table[slot] |= _FOUND


@compiled
def _count(val, hashes, table, runs, found):
    """Fill, by document, how many runs there are and how many of them are marked."""
    shift, age, document = slot_shift(table), 0, -1
    for i in range(val.size):
        if val[i] == BOS:
            age, document = 0, document + 1
        age += 1
        if age >= RUN_TOKENS:
            slot = _slot_of(val, table, val, i, hashes[i], shift)
            runs[document] += 1
            found[document] += (table[slot] & _FOUND) > 0


def _pieces(shards: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The training text in pieces, each with the tokens before it that its first runs reach."""
    before = np.zeros(0, dtype=np.uint16)
    for shard in shards:
        for start in range(0, len(shard), _PIECE):
            piece = np.concatenate([before, shard[start : start + _PIECE]])
            yield piece
            before = piece[-(RUN_TOKENS - 1) :]


def _documents_of(val: np.ndarray, starts: np.ndarray) -> dict[bytes, list[int]]:
    """Numbers of the documents of more than a BOS, by their content."""
    own: dict[bytes, list[int]] = {}
    for number, document in enumerate(np.split(val, starts[1:])):
        if len(document) > 1:
            own.setdefault(document.tobytes(), []).append(number)
    return own


def _duplicates(own: dict[bytes, list[int]], shards: Sequence[np.ndarray]) -> list[int]:
    """Numbers of the documents that are training documents as well."""
    lengths = np.unique([len(content) // 2 for content in own])
    found = {content for content in _documents(shards, lengths) if content in own}
    return sorted(number for content in found for number in own[content])


def _documents(shards: Sequence[np.ndarray], lengths: np.ndarray) -> Iterator[bytes]:
    """Content of the training documents that have one of these lengths, in tokens."""
    begun = np.zeros(0, dtype=np.uint16)  # a document may go on in the next shard
    for shard in shards:
        shard = np.asarray(shard).view(np.ndarray)
        bounds = np.flatnonzero(shard == BOS)
        if not bounds.size:
            begun = np.concatenate([begun, shard])
            continue
        yield np.concatenate([begun, shard[: bounds[0]]]).tobytes()
        wanted = np.isin(np.diff(bounds), lengths)
        for start, stop in itertools.compress(itertools.pairwise(bounds.tolist()), wanted):
            yield shard[start:stop].tobytes()
        begun = shard[bounds[-1] :]
    yield begun.tobytes()
