"""Bytes to fewer bytes and back, by LZMA, zstd or brotli, piece by piece.

LZMA is raw LZMA2 at preset 9 | EXTREME: its 64 MiB dictionary is cut to the data's size, which
gives the same bytes with less memory, and how many bits of context it has is up to the caller.
zstd is one frame at level 22 that states its size; brotli one stream at quality 11, a window of
16 MiB. Nothing is unpacked beyond the size that the caller expects.
"""

import lzma
from collections.abc import Callable, Iterator
from typing import Literal

import brotli
import zstandard

Compressor = Literal["lzma", "zstd", "brotli"]
COMPRESSORS: tuple[Compressor, ...] = ("lzma", "zstd", "brotli")
_PIECE = 1 << 20  # bytes unpacked at a time
_ZSTD_PIECE = 1 << 8  # packed bytes, as zstd does not bound what it gives: these are 8 MiB at most
_ZSTD_LEVEL, _ZSTD_WINDOW = 22, 27  # the most bits
_BROTLI_QUALITY, _BROTLI_WINDOW = 11, 24
_LZMA_DICTIONARY = 1 << 12, 1 << 26
_ERRORS = lzma.LZMAError, zstandard.ZstdError, brotli.error, EOFError

LzmaContext = tuple[int, int, int]
"""lc, lp and pb: bits of the byte before, and of the position, that LZMA looks at."""


class PackedError(Exception):
    """Packed bytes that are not one whole stream of the expected size."""


def compress(name: Compressor, raw: bytes) -> bytes:
    """The packed bytes of `raw`."""
    put, finish = stream(name, len(raw))
    return put(raw) + finish()


def stream(
    name: Compressor, size: int, context: LzmaContext = (0, 0, 0)
) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """For data of `size` bytes in all: what compresses a piece, and what ends the stream."""
    if name == "lzma":
        packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=_filters(size, context))
        return packer.compress, packer.flush
    if name == "brotli":
        packer = brotli.Compressor(quality=_BROTLI_QUALITY, lgwin=_BROTLI_WINDOW)
        return packer.process, packer.finish
    window = min(max(2 * size, 1 << 10).bit_length(), _ZSTD_WINDOW)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _ZSTD_LEVEL, window_log=window, write_checksum=False
    )
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size)
    return packer.compress, packer.flush


def decompress(
    name: Compressor, packed: bytes | memoryview, size: int, context: LzmaContext = (0, 0, 0)
) -> bytearray:
    """The `size` bytes that were compressed, no more of which are made than one piece beyond.

    Raises PackedError if that is not what the packed bytes are.
    """
    raw = bytearray()
    try:
        for piece in _pieces(name, packed, size, context):
            raw += piece
            if len(raw) > size:
                break
    except _ERRORS as error:
        raise PackedError(f"cannot be decompressed ({error})") from None
    if len(raw) != size:
        raise PackedError(f"is not one {name} stream of {size} bytes")
    return raw


def _pieces(
    name: Compressor, packed: bytes | memoryview, size: int, context: LzmaContext
) -> Iterator[bytes]:
    """The unpacked bytes; raises EOFError unless they are one whole stream."""
    if name == "zstd":
        yield from _of_one_frame(packed)
        return
    if name == "lzma":
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(size, context))
        waiting: bytes | memoryview = packed
        while not decoder.eof:
            piece = decoder.decompress(waiting, _PIECE)
            if not piece and decoder.needs_input:
                raise EOFError("ends within a stream")
            yield piece
            waiting = b""
        if decoder.unused_data:
            raise EOFError("bytes behind the stream")
        return
    decoder, waiting = brotli.Decompressor(), bytes(packed)
    while not decoder.is_finished():
        piece = decoder.process(waiting, output_buffer_limit=_PIECE)
        if not piece and not decoder.is_finished() and decoder.can_accept_more_data():
            raise EOFError("ends within a stream")
        yield piece
        waiting = b""


def _of_one_frame(packed: bytes | memoryview) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor().decompressobj()
    for start in range(0, len(packed), _ZSTD_PIECE):
        yield decoder.decompress(packed[start : start + _ZSTD_PIECE])
        if decoder.eof:
            if decoder.unused_data or start + _ZSTD_PIECE < len(packed):
                raise EOFError("bytes behind the frame")
            return
    raise EOFError("ends within a frame")


def _filters(size: int, context: LzmaContext) -> list[dict[str, int]]:
    least, most = _LZMA_DICTIONARY
    lc, lp, pb = context
    preset = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    return [preset | {"lc": lc, "lp": lp, "pb": pb, "dict_size": min(most, max(least, size))}]
