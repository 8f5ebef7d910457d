"""Token shards in the FineWeb format: 256 little-endian int32, then uint16 tokens.

Header: magic 20240520, version 1, token count, zeros. A document is BOS (id 1) and its pieces.
"""

from pathlib import Path

import numpy as np

from fairway.stage import StageError, atomic_output, require_file

MAGIC = 20240520
VERSION = 1
HEADER_INTEGERS = 256
HEADER_BYTES = 4 * HEADER_INTEGERS
BOS = 1
_CHECK_TOKENS = 1 << 24  # tokens compared with the vocabulary at a time


def read_shard(path: Path, vocabulary: int | None = None) -> np.ndarray:
    """Map a shard's tokens, uint16 of shape (tokens,), read-only.

    vocabulary: if given, every token id must be below it.
    Raises StageError for a missing, empty or truncated file, a wrong magic or version, a count
    that differs from the file's size, or a token id out of range.
    """
    size = require_file(path).stat().st_size
    if size < HEADER_BYTES:
        raise StageError(f"{path}: {size} bytes; a token shard has a header of {HEADER_BYTES}")
    header = np.fromfile(path, dtype="<i4", count=HEADER_INTEGERS)
    if header[0] != MAGIC:
        raise StageError(f"{path}: magic {header[0]}; a token shard has {MAGIC}")
    if header[1] != VERSION:
        raise StageError(f"{path}: shard version {header[1]}; expected {VERSION}")
    count = int(header[2])
    if count <= 0:
        raise StageError(f"{path}: the header says {count} tokens; expected at least 1")
    if size != HEADER_BYTES + 2 * count:
        raise StageError(
            f"{path}: {size} bytes; {count} tokens need {HEADER_BYTES + 2 * count} (truncated?)"
        )
    tokens = np.memmap(path, dtype="<u2", mode="r", offset=HEADER_BYTES, shape=(count,))
    if vocabulary is not None:
        check_vocabulary(tokens, vocabulary, path)
    return tokens


def check_vocabulary(tokens: np.ndarray, vocabulary: int, name: object) -> None:
    """Raise StageError naming the first token id that is not below `vocabulary`."""
    for start in range(0, len(tokens), _CHECK_TOKENS):
        part = tokens[start : start + _CHECK_TOKENS]
        if int(part.max()) >= vocabulary:
            position = start + int(np.argmax(part >= vocabulary))
            raise StageError(
                f"{name}: token id {int(tokens[position])} at position {position}; "
                f"expected ids below the vocabulary of {vocabulary}"
            )


def write_shard(path: Path, parts: np.ndarray | list[np.ndarray]) -> int:
    """Write token arrays, one after the other, as one shard; returns the token count."""
    parts = [parts] if isinstance(parts, np.ndarray) else parts
    count = sum(len(part) for part in parts)
    if not 0 < count < 2**31:  # the header has 32 bits for it
        raise StageError(f"{path}: {count} tokens to write; expected 1 to {2**31 - 1}")
    header = np.zeros(HEADER_INTEGERS, dtype="<i4")
    header[:3] = MAGIC, VERSION, count
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        file.write(header.tobytes())
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype="<u2").tobytes())
    return count
