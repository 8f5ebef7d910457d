"""Which training text a memory holds: the last of it, by documents, tokens or packed bytes."""

from collections.abc import Callable, Sequence

import numpy as np

from fairway.corpus.shards import BOS
from fairway.stage import StageError

_CLOSE_ENOUGH = 0.998  # of the bytes allowed
_MOST_PACKINGS = 12

Pack = Callable[[np.ndarray], bytes]


def last_tokens(shards: Sequence[np.ndarray], count: int) -> np.ndarray:
    """The last `count` tokens of shards that follow one another, or all; uint16."""
    parts: list[np.ndarray] = []
    for shard in reversed(shards):
        if count <= 0:
            break
        parts.append(np.asarray(shard[max(0, len(shard) - count) :], dtype=np.uint16))
        count -= len(parts[-1])
    return np.concatenate(parts[::-1]) if parts else np.zeros(0, dtype=np.uint16)


def tokens_of_documents(shards: Sequence[np.ndarray], documents: int) -> int:
    """How many tokens the last `documents` documents have; all that there are, if fewer."""
    tokens = 0
    for shard in reversed(shards):
        starts = np.flatnonzero(np.asarray(shard) == BOS)
        if len(starts) >= documents:
            return tokens + len(shard) - int(starts[len(starts) - documents])
        documents -= len(starts)
        tokens += len(shard)
    return tokens


def pack_within(shards: Sequence[np.ndarray], size: int, pack: Pack) -> bytes:
    """The file of the most tokens that packs into `size` bytes, nearly.

    pack(tokens): a memory's file. Packs again and again, with as many tokens as the bytes so far
    suggest, until it fits and leaves little. Raises StageError if not one token fits.
    """
    fits, fitting, too_many = b"", 0, sum(map(len, shards)) + 1
    count = min(too_many - 1, size)
    for _ in range(_MOST_PACKINGS):
        file = pack(last_tokens(shards, count))
        if len(file) <= size:
            fits, fitting = file, count
            if count == too_many - 1 or len(file) >= _CLOSE_ENOUGH * size:
                break
        else:
            too_many = count
        suggested = int(count * size / len(file) * (1 + _CLOSE_ENOUGH) / 2)
        count = min(max(suggested, fitting + 1), too_many - 1)
        if count <= fitting:
            break
    if not fitting:
        raise StageError(f"bytes: {size}; not one token of the training text fits")
    return fits
