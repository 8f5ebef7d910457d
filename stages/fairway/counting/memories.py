"""A memory's file: training text that caches begin with, and that an artifact pays for.

    8 bytes    magic, with the format's version
    32 bytes   SHA-256 of everything behind it
    32 bytes   SHA-256 of the tokenizer's model file
    4 bytes    vocabulary
    4 bytes    number of tokens
    1 byte     compressor: 0 LZMA (lc 3, lp 1, pb 1), 1 zstd, 2 brotli, as in files/compression.py
    payload    the tokens, little-endian uint16, compressed

All integers are little-endian. The bytes are a function of the tokens and of the tokenizer alone.
Nothing is unpacked beyond what the file declares, nor more than such a payload can hold.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairway.corpus.shards import check_vocabulary
from fairway.counting.segments import NO_MEMORY
from fairway.files.compression import COMPRESSORS, Compressor, PackedError, decompress, stream
from fairway.stage import StageError, require_file

MAGIC = b"FWMEMRY\x01"
MOST_TOKENS = 1 << 27  # 256 MiB
_HEADER = struct.Struct("<32sIIB")
_CHECKED = len(MAGIC) + 32  # where that begins which the checksum covers
_PIECE = 1 << 20  # bytes compressed at a time
_LZMA_CONTEXT = 3, 1, 1  # tokens have two bytes: which of them a byte is matters
_MOST_TIMES, _FREE_BYTES = 100, 1 << 20  # tokens take at most 100 times the payload and 1 MiB

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Memory:
    """A memory that was read. tokens: uint16; sha256: of the file."""

    tokens: np.ndarray
    vocabulary: int
    tokenizer_sha256: str
    sha256: str

    def require_corpus(self, tokenizer_sha256: str, vocabulary: int, path: Path) -> None:
        """Raise StageError, naming the memory's file, unless the text is of its tokenizer."""
        for key, found, expected in (
            ("tokenizer SHA-256", self.tokenizer_sha256, tokenizer_sha256),
            ("vocabulary", self.vocabulary, vocabulary),
        ):
            if found != expected:
                raise StageError(f"{path}: {key} {found}; the text has {expected}")


def memory_of(
    paths: Sequence[Path], cache: dict[str, Any] | None, tokenizer_sha256: str, vocabulary: int
) -> Memory | None:
    """The memory that a cache begins with; None for a cache without one, or no cache.

    paths: of its file, if there is one; cache: its settings. Raises StageError if it is not there
    or is of another tokenizer than the text.
    """
    wanted = 0 if cache is None or cache.get("memory") is None else 1
    if len(paths) != wanted:
        raise StageError(f"--memory: {len(paths)} files; the cache takes {wanted}")
    for path in paths:
        memory = read_memory(path)
        memory.require_corpus(tokenizer_sha256, vocabulary, path)
        return memory
    return None


def memory_tokens(
    paths: Sequence[Path], cache: dict[str, Any] | None, tokenizer_sha256: str, vocabulary: int
) -> np.ndarray:
    """The tokens of `memory_of`, none without a memory: what counting and gates begin with."""
    memory = memory_of(paths, cache, tokenizer_sha256, vocabulary)
    return NO_MEMORY if memory is None else memory.tokens


def pack_memory(
    tokens: np.ndarray,
    vocabulary: int,
    tokenizer_sha256: str,
    compressor: Compressor,
    progress: Progress = lambda tokens: None,
) -> bytes:
    """The file of some tokens, uint16, which are read once, piece by piece.

    progress: called with the number of tokens just compressed. StageError for too many tokens.
    """
    if len(tokens) > MOST_TOKENS:
        raise StageError(f"{len(tokens)} tokens; expected at most {MOST_TOKENS}")
    payload = bytearray()
    compress, flush = stream(compressor, 2 * len(tokens), _LZMA_CONTEXT)
    for start in range(0, len(tokens), _PIECE // 2):
        part = np.ascontiguousarray(tokens[start : start + _PIECE // 2], dtype="<u2")
        payload += compress(part.tobytes())
        progress(len(part))
    payload += flush()
    header = _HEADER.pack(
        bytes.fromhex(tokenizer_sha256), vocabulary, len(tokens), COMPRESSORS.index(compressor)
    )
    rest = header + payload
    return MAGIC + hashlib.sha256(rest).digest() + rest


def read_memory(path: Path) -> Memory:
    """Unpack a memory's file. Raises StageError, naming it, for one that is damaged or empty."""
    content = memoryview(require_file(path).read_bytes())
    if content[: len(MAGIC)] != MAGIC:
        found = content[: len(MAGIC)].hex() or "nothing"
        raise StageError(f"{path}: starts with {found}; a memory starts with {MAGIC.hex()}")
    rest = content[_CHECKED:]
    if len(rest) < _HEADER.size or hashlib.sha256(rest).digest() != content[len(MAGIC) : _CHECKED]:
        raise StageError(
            f"{path}: {len(content)} bytes do not have the SHA-256 they should; damaged or cut "
            "short, pack again"
        )
    tokenizer, vocabulary, count, compressor = _HEADER.unpack_from(rest)
    payload = rest[_HEADER.size :]
    most = min(MOST_TOKENS, (_MOST_TIMES * len(payload) + _FREE_BYTES) // 2)
    if not 1 <= count <= most:
        raise StageError(f"{path}: declares {count} tokens; expected 1 to {most}")
    if compressor >= len(COMPRESSORS):
        raise StageError(f"{path}: compressor {compressor}; expected 0 to 2")
    tokens = _unpacked(COMPRESSORS[compressor], payload, count, path)
    check_vocabulary(tokens, vocabulary, path)
    return Memory(tokens, vocabulary, tokenizer.hex(), hashlib.sha256(content).hexdigest())


def _unpacked(compressor: Compressor, payload: memoryview, count: int, path: Path) -> np.ndarray:
    """`count` tokens, no more of which are ever made than one piece beyond them."""
    try:
        raw = decompress(compressor, payload, 2 * count, _LZMA_CONTEXT)
    except PackedError as error:
        raise StageError(f"{path}: its {count} tokens: {error}") from None
    tokens = np.frombuffer(raw, dtype="<u2").astype(np.uint16, copy=False)
    tokens.flags.writeable = False
    return tokens
