"""A memory's file: training text that caches begin with, and that an artifact pays for.

    8 bytes    magic, with the format's version
    32 bytes   SHA-256 of everything behind it
    32 bytes   SHA-256 of the tokenizer's model file
    4 bytes    vocabulary
    4 bytes    number of tokens
    1 byte     compressor: 0 LZMA (raw LZMA2, settings as in `_filters`), 1 zstd (one frame)
    payload    the tokens, little-endian uint16, compressed

All integers are little-endian. The bytes are a function of the tokens and of the tokenizer alone.
Nothing is unpacked beyond what the file declares, nor more than such a payload can hold.
"""

import hashlib
import lzma
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from fairway.corpus.shards import check_vocabulary
from fairway.counting.segments import NO_MEMORY
from fairway.stage import StageError, require_file

MAGIC = b"FWMEMRY\x01"
COMPRESSORS = ("lzma", "zstd")
MOST_TOKENS = 1 << 30
_HEADER = struct.Struct("<32sIIB")
_CHECKED = len(MAGIC) + 32  # where that begins which the checksum covers
_PIECE = 1 << 20  # bytes compressed or unpacked at a time
_MOST_TIMES, _FREE_BYTES = 100, 1 << 20  # tokens take at most 100 times the payload and 1 MiB
_ZSTD_LEVEL = 22

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
    compressor: str,
    progress: Progress = lambda tokens: None,
) -> bytes:
    """The file of some tokens, uint16, which are read once, piece by piece.

    progress: called with the number of tokens just compressed.
    """
    payload = bytearray()
    compress, flush = _compressor(compressor, 2 * len(tokens))
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
        raise StageError(f"{path}: compressor {compressor}; expected 0 or 1")
    tokens = _unpacked(COMPRESSORS[compressor], payload, count, path)
    check_vocabulary(tokens, vocabulary, path)
    return Memory(tokens, vocabulary, tokenizer.hex(), hashlib.sha256(content).hexdigest())


def _unpacked(compressor: str, payload: memoryview, count: int, path: Path) -> np.ndarray:
    """`count` tokens, no more of which are ever made than one piece beyond them."""
    raw, size = bytearray(), 2 * count
    try:
        for piece in _pieces(compressor, payload, size):
            raw += piece
            if len(raw) > size:
                break
    except (lzma.LZMAError, zstandard.ZstdError, EOFError) as error:
        raise StageError(f"{path}: cannot be unpacked ({error})") from None
    if len(raw) != size:
        raise StageError(f"{path}: does not unpack to the {count} tokens that it declares")
    tokens = np.frombuffer(raw, dtype="<u2").astype(np.uint16, copy=False)
    tokens.flags.writeable = False
    return tokens


def _pieces(compressor: str, payload: memoryview, size: int) -> Iterator[bytes]:
    """The unpacked payload; raises EOFError unless it is one whole stream."""
    if compressor == "lzma":
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(size))
        waiting: bytes | memoryview = payload
        while not decoder.eof:
            piece = decoder.decompress(waiting, _PIECE)
            if not piece and decoder.needs_input:
                raise EOFError("ends within a stream")
            yield piece
            waiting = b""
        if decoder.unused_data:
            raise EOFError("bytes behind the stream")
        return
    with zstandard.ZstdDecompressor().stream_reader(payload, read_across_frames=True) as reader:
        while piece := reader.read(_PIECE):
            yield piece


def _compressor(name: str, size: int) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Compresses a piece, and ends the stream."""
    if name == "lzma":
        packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=_filters(size))
    else:
        window = min(max(2 * size, 1 << 10).bit_length(), 27)
        parameters = zstandard.ZstdCompressionParameters.from_level(
            _ZSTD_LEVEL, window_log=window, write_checksum=False
        )
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size)
    return packer.compress, packer.flush


def _filters(size: int) -> list[dict[str, int]]:
    """Tokens of two bytes: what stands first and second in a pair matters (lp, pb)."""
    dictionary = min(1 << 26, max(1 << 12, size))
    preset = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    return [preset | {"lc": 3, "lp": 1, "pb": 1, "dict_size": dictionary}]
