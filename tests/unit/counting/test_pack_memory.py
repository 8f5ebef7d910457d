"""The stage that packs a memory: what it refuses is one line, and leaves no file."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pack_memory
from fairway.corpus.manifest import Manifest, TokenizerFile, TrainText, ValText, shard_files
from fairway.corpus.shards import write_shard
from fairway.counting.memories import read_memory
from fairway.stage import StageError, read_json

TOKENS = np.random.default_rng(2).integers(1, 100, 3000).astype(np.uint16)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A corpus, of which a memory takes the training text alone."""
    monkeypatch.setattr(sys, "argv", sys.argv)  # put back afterwards
    count = write_shard(tmp_path / "train.bin", TOKENS)
    shards = shard_files(tmp_path, [(tmp_path / "train.bin", count)])
    val = ValText(1, 2, 1, 1, 1, "original", "val.bin", "", "", "")
    Manifest(
        *("0" * 64, "text", 100, TokenizerFile("tokenizer.model", "1" * 64)),
        *(TrainText(3, count, shards), val, tmp_path),
    ).save(tmp_path / "manifest.json")
    return tmp_path


def pack(folder: Path, limit: int = 10_000, **memory) -> Path:
    """Run the stage; the memory's file."""
    settings = {"memory": "m", "budget": "all", "size": None, "compressor": "lzma"}
    settings |= {"artifact_bytes": limit} | memory
    (folder / "spec.json").write_text(json.dumps({"code": "test", "settings": settings}))
    flags = {"spec": "spec.json", "manifest": "manifest.json", "memory": "m.bin",
             "stats": "m.json"}  # fmt: skip
    sys.argv = ["pack_memory"]
    sys.argv += [text for flag, name in flags.items() for text in (f"--{flag}", folder / name)]
    sys.argv = list(map(str, sys.argv))
    pack_memory.main()
    return folder / "m.bin"


def test_a_memory_is_the_last_of_the_training_text(folder):
    np.testing.assert_array_equal(read_memory(pack(folder)).tokens, TOKENS)
    file = pack(folder, budget="tokens", size=500)
    np.testing.assert_array_equal(read_memory(file).tokens, TOKENS[-500:])
    assert read_json(folder / "m.json")["bytes"] == file.stat().st_size


def test_a_memory_above_the_limit_is_refused(folder):
    size = pack(folder).stat().st_size
    (folder / "m.bin").unlink()
    with pytest.raises(StageError) as caught:
        pack(folder, size)
    line = f"memory m: {size:,} bytes; expected less than limits.artifact_bytes, {size:,}"
    assert str(caught.value) == line and not (folder / "m.bin").exists()


@pytest.mark.parametrize("memory", [{}, {"budget": "tokens", "size": 9}])
def test_an_empty_training_text_makes_no_memory(folder, memory):
    manifest = Manifest.load(folder / "manifest.json")
    replace(manifest, train=TrainText(0, 0, ())).save(folder / "manifest.json")
    with pytest.raises(StageError) as caught:
        pack(folder, **memory)
    assert str(caught.value) == "memory m: the training text is empty; expected at least a token"
    assert not (folder / "m.bin").exists()


def test_a_training_shard_that_is_gone_or_damaged_is_named(folder):
    content = (folder / "train.bin").read_bytes()
    (folder / "train.bin").write_bytes(content[:-2])
    with pytest.raises(StageError, match=r"memory m: .*train\.bin: "):
        pack(folder)
    (folder / "train.bin").unlink()
    with pytest.raises(StageError, match=r"memory m: .*train\.bin: no such file"):
        pack(folder)
