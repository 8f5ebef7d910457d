"""Token shards in the FineWeb format: layout, and every way a file can be wrong."""

from pathlib import Path

import numpy as np
import pytest

from fairway.corpus import shards
from fairway.corpus.shards import check_vocabulary, read_shard, write_shard
from fairway.stage import StageError

TOKENS = np.array([1, 260, 1023, 1, 4], dtype=np.uint16)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "x.bin"
    write_shard(path, TOKENS)
    return path


def set_header(path: Path, index: int, value: int) -> None:
    header = np.fromfile(path, dtype="<i4", count=256)
    header[index] = value
    path.write_bytes(header.tobytes() + path.read_bytes()[1024:])


def test_layout_is_fineweb(shard: Path) -> None:
    content = shard.read_bytes()
    header = np.frombuffer(content[:1024], dtype="<i4")
    assert header[:3].tolist() == [20240520, 1, 5]
    assert not header[3:].any()
    assert np.frombuffer(content[1024:], dtype="<u2").tolist() == TOKENS.tolist()


def test_round_trip_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.bin"
    assert write_shard(path, [TOKENS[:2], TOKENS[2:2], TOKENS[2:]]) == 5
    tokens = read_shard(path, vocabulary=1024)
    assert tokens.dtype == np.uint16
    assert tokens.tolist() == TOKENS.tolist()
    assert not tokens.flags.writeable


@pytest.mark.parametrize("size", [0, 1, 1023])
def test_empty_or_headless_file(shard: Path, size: int) -> None:
    shard.write_bytes(shard.read_bytes()[:size])
    with pytest.raises(StageError, match=rf"x\.bin: {size} bytes; .* header of 1024"):
        read_shard(shard)


@pytest.mark.parametrize("change", [-1, -2, -10, 2])
def test_size_must_match_the_count(shard: Path, change: int) -> None:
    content = shard.read_bytes()
    shard.write_bytes(content[:change] if change < 0 else content + b"\0" * change)
    with pytest.raises(StageError, match=rf"x\.bin: {1034 + change} bytes; 5 tokens need 1034"):
        read_shard(shard)


def test_wrong_magic(shard: Path) -> None:
    set_header(shard, 0, 20240801)
    with pytest.raises(StageError, match=r"x\.bin: magic 20240801; a token shard has 20240520"):
        read_shard(shard)


def test_wrong_version(shard: Path) -> None:
    set_header(shard, 1, 2)
    with pytest.raises(StageError, match=r"x\.bin: shard version 2; expected 1"):
        read_shard(shard)


@pytest.mark.parametrize("count", [0, -5])
def test_no_tokens_in_the_header(shard: Path, count: int) -> None:
    set_header(shard, 2, count)
    with pytest.raises(StageError, match=rf"x\.bin: the header says {count} tokens"):
        read_shard(shard)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"x\.bin: no such file"):
        read_shard(tmp_path / "x.bin")


def test_token_beyond_the_vocabulary(shard: Path) -> None:
    read_shard(shard, vocabulary=1024)
    with pytest.raises(StageError, match=r"x\.bin: token id 1023 at position 2; .* of 1023"):
        read_shard(shard, vocabulary=1023)


def test_vocabulary_is_checked_in_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_CHECK_TOKENS", 2)
    tokens = np.array([1, 2, 3, 4, 500], dtype=np.uint16)
    with pytest.raises(StageError, match="text: token id 500 at position 4"):
        check_vocabulary(tokens, 500, "text")
    check_vocabulary(tokens, 501, "text")


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="0 tokens to write"):
        write_shard(tmp_path / "x.bin", [])
    assert list(tmp_path.iterdir()) == []
