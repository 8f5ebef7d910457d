"""Compressed text is read to the end of its file: every part of it, padding, and nothing else."""

import gzip
import lzma
import struct
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from fairway.corpus.compressed import open_compressed
from fairway.corpus.documents import read_documents
from fairway.stage import StageError
from support.shared_data import require_shared

ONE, TWO = (b"".join(b"%d of part %d\n" % (i, part) for i in range(5000)) for part in (1, 2))
SKIPPED = struct.pack("<II", 0x184D2A50, 5) + b"other"  # a frame that readers pass over


def packed(ending: str, content: bytes) -> bytes:
    if ending == ".xz":
        return lzma.compress(content)
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)  # as `zstd` does


def content_of(tmp_path: Path, ending: str, compressed: bytes) -> bytes:
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(compressed)
    with open_compressed(path) as file:
        return file.read()


@pytest.mark.parametrize(
    ("ending", "between"),
    [*((".xz", b"\0" * size) for size in (0, 4, 8, 1 << 17)), (".zst", b""), (".zst", SKIPPED)],
)
def test_every_part_is_read(tmp_path: Path, ending: str, between: bytes) -> None:
    compressed = packed(ending, ONE) + between + packed(ending, TWO) + between
    assert content_of(tmp_path, ending, compressed) == ONE + TWO
    assert content_of(tmp_path, ending, packed(ending, b"") + packed(ending, TWO)) == TWO


def test_file_is_read_in_pieces_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ending in (".xz", ".zst"):
        compressed = packed(ending, ONE) + packed(ending, TWO)
        for size in (1, 3, len(packed(ending, ONE))):
            monkeypatch.setitem(open_compressed.__globals__["_READ"], ending, size)
            assert content_of(tmp_path, ending, compressed) == ONE + TWO


DAMAGED = {
    "nothing": lambda first, second: b"",
    "text": lambda first, second: ONE,
    "cut": lambda first, second: first[:-9],
    "second cut": lambda first, second: first + second[:-1],
    "second cut at once": lambda first, second: first + second[:3],
    "second damaged": lambda first, second: first + second[:99] + b"\xff\xff" + second[101:],
    "gzip behind": lambda first, second: first + gzip.compress(TWO),
    "text behind": lambda first, second: first + b"\n",
    "before": lambda first, second: b"\0\0\0\0" + first,
    "odd padding": lambda first, second: first + b"\0\0\0" + second,
    "odd padding at the end": lambda first, second: first + b"\0",
}


@pytest.mark.parametrize("ending", [".xz", ".zst"])
@pytest.mark.parametrize("damage", list(DAMAGED))
def test_anything_else_is_one_line(tmp_path: Path, ending: str, damage: str) -> None:
    compressed = DAMAGED[damage](packed(ending, ONE), packed(ending, TWO))
    with pytest.raises(StageError, match=rf"a\.txt\{ending}: damaged \{ending} file \("):
        content_of(tmp_path, ending, compressed)


def test_zeros_between_zstd_frames_are_damage(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"a\.txt\.zst: damaged"):
        content_of(tmp_path, ".zst", packed(".zst", ONE) + b"\0" * 4 + packed(".zst", TWO))


@pytest.mark.parametrize("log", [27, 28, 31])
def test_long_windows_of_zstd(tmp_path: Path, log: int) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=log)
    # Of a stream whose size nobody said, so that the window stays as it is.
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    compressed = writer.compress(ONE) + writer.flush()
    assert zstandard.get_frame_parameters(compressed).window_size == 1 << log
    assert content_of(tmp_path, ".zst", compressed) == ONE


@pytest.mark.parametrize("ending", [".xz", ".zst"])
def test_bomb_is_refused_before_it_takes_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setitem(open_compressed.__globals__, "_SMALL", 1 << 22)
    monkeypatch.setitem(open_compressed.__globals__["_READ"], ".zst", 64)  # 2 MiB at most
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(packed(ending, bytes(1 << 26)))
    tracemalloc.start()
    try:
        with open_compressed(path) as file, pytest.raises(StageError) as caught:
            while file.read(1 << 16):
                pass
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: decodes to more than ")
    assert most < 1 << 24, "memory is for what is read (8 MiB of it LZMA's dictionary)"


def test_small_file_may_repeat_itself(tmp_path: Path) -> None:
    content = ONE * 200
    assert len(content) > 1000 * len(packed(".zst", content))
    assert content_of(tmp_path, ".zst", packed(".zst", content)) == content


@pytest.mark.parametrize(
    ("name", "documents"), [("pad", 400), ("min", 2), ("badsecond", None), ("xzgz", None)]
)
def test_files_that_lost_documents(name: str, documents: int | None) -> None:
    path = require_shared(f"inputs/{name}.jsonl.xz")
    if documents is None:
        with pytest.raises(StageError, match=rf"{name}\.jsonl\.xz: damaged \.xz file"):
            list(read_documents(path))
    else:
        assert len(list(read_documents(path))) == documents
