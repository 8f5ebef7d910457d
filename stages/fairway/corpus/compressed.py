"""Content of .xz and .zst files, read as a stream, to the last byte of the file.

Both formats may have several parts, one behind the other, and .xz zero bytes between them; all of
that is content or padding. Whatever else follows a part is damage: a reader that stops there
would lose documents in silence, as Python's own readers do (`lzma.open` takes what does not
decode behind the first stream for rubbish, zstandard's a cut frame for the end).

Memory grows with what is asked for, and a file that swells beyond any text is refused.
"""

import io
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import zstandard

from fairway.stage import StageError

COMPRESSIONS = (".xz", ".zst")
_LARGEST_WINDOW = 1 << 31  # bytes; all that the library has, so `zstd --long=31` is read
_READ = {".xz": 1 << 16, ".zst": 1 << 12}  # bytes at a time; one of a .zst may give 32 KiB
_WRITE = 1 << 20  # bytes that an .xz decoder gives at most at a time
_PADDING = 4  # zero bytes between .xz streams come in this many
_SMALL = 1 << 26  # bytes that any file may decode to
_MOST_TIMES = 1000  # its own size, beyond that; text gives 3 to 30

Parts = Callable[[IO[bytes]], Iterator[bytes]]


def open_compressed(path: Path) -> IO[bytes]:
    """The content of a file with one of COMPRESSIONS as its ending, to be read in order.

    Reading raises StageError naming the file if it is damaged, has anything but whole parts, or
    decodes to more than text can.
    """
    parts = {".xz": _xz_parts, ".zst": _zstd_parts}[path.suffix]
    return io.BufferedReader(_Stream(_content(path, parts)))


class _Stream(io.RawIOBase):
    """A file over pieces of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self.rest:
            piece = next(self.pieces, None)
            if piece is None:
                return 0
            self.rest = memoryview(piece)
        size = min(len(buffer), len(self.rest))
        buffer[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


def _content(path: Path, parts: Parts) -> Iterator[bytes]:
    """All pieces, with the file's name in every error."""
    most = max(_SMALL, _MOST_TIMES * path.stat().st_size)
    total = 0
    with path.open("rb") as file:
        try:
            for piece in parts(file):
                total += len(piece)
                if total > most:
                    raise StageError(
                        f"{path}: decodes to more than {most:,} bytes, {_MOST_TIMES} times its "
                        "size; expected text"
                    )
                yield piece
        except (lzma.LZMAError, zstandard.ZstdError, EOFError) as error:
            raise StageError(f"{path}: damaged {path.suffix} file ({error})") from None


def _xz_parts(file: IO[bytes]) -> Iterator[bytes]:
    data = file.read(_READ[".xz"])
    while True:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        while not decoder.eof:
            if decoder.needs_input and not data:
                raise EOFError("ends within a stream")
            yield decoder.decompress(data, _WRITE)
            data = file.read(_READ[".xz"]) if decoder.needs_input else b""
        data = _behind_padding(file, decoder.unused_data)
        if not data:
            return


def _behind_padding(file: IO[bytes], data: bytes) -> bytes:
    """What follows the zero bytes behind a stream; nothing at the file's end."""
    padding = 0
    while True:
        data = data or file.read(_READ[".xz"])
        rest = data.lstrip(b"\0")
        padding += len(data) - len(rest)
        if rest or not data:
            break
        data = b""
    if padding % _PADDING:
        raise EOFError(f"{padding} zero bytes behind a stream; expected a multiple of {_PADDING}")
    return rest


def _zstd_parts(file: IO[bytes]) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    data = file.read(_READ[".zst"])
    while True:
        frame = decoder.decompressobj()
        while not frame.eof:
            if not data:
                raise EOFError("ends within a frame")
            yield frame.decompress(data)
            data = b"" if frame.eof else file.read(_READ[".zst"])
        data = frame.unused_data or file.read(_READ[".zst"])
        if not data:
            return
