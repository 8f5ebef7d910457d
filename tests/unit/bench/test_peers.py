"""bench/peers.py: the table's arithmetic, with one stand-in compressor on the path."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fairway.corpus.manifest import Manifest, TokenizerFile, TrainText, ValText, shard_files
from fairway.corpus.shards import write_shard
from fairway.corpus.tokenizer import encode_documents
from fairway.stage import sha256_of
from support.corpus_samples import sample_texts, tokenizer_of
from support.tiny_rows import VOCABULARY, write_tokenizer

BENCH = Path(__file__).resolve().parents[3] / "bench" / "peers.py"
# Writes a tenth of its input's bytes, as xz would name the file.
STAND_IN = f"""#!{sys.executable}
import pathlib, sys
text = pathlib.Path(sys.argv[-1]).read_bytes()
pathlib.Path(sys.argv[-1] + ".xz").write_bytes(text[: len(text) // 10])
"""
SEEDS = """row,is_code_length,nats,artifact_bytes,eval_seconds
good,True,1000.0,500,2.0
good,True,1200.0,700,4.0
hashed,False,10.0,500,2.0
"""


@pytest.fixture
def results(tmp_path) -> Path:
    """The corpus and the table of seeds of a run."""
    folder = tmp_path / "results" / "corpus"
    folder.mkdir(parents=True)
    (tmp_path / "results" / "seeds.csv").write_text(SEEDS)
    write_tokenizer(folder / "tokenizer.model")
    train, val = sample_texts(8), sample_texts(3, seed=2)
    counts = {}
    for name, texts in (("train", train), ("val", val)):
        documents = encode_documents(tokenizer_of("lossless"), texts)
        counts[name] = write_shard(folder / f"{name}.bin", documents)
    size = len("".join(val).encode())
    train_shards = shard_files(folder, [(folder / "train.bin", counts["train"])])
    Manifest(
        "spec",
        "text",
        VOCABULARY,
        TokenizerFile("tokenizer.model", sha256_of(folder / "tokenizer.model")),
        TrainText(8, counts["train"], train_shards),
        ValText(
            *(3, counts["val"], counts["val"] - 1, size, size, "original", "val.bin"),
            *(sha256_of(folder / "val.bin"), "", ""),
        ),
        folder,
    ).save(folder / "manifest.json")
    return tmp_path / "results"


def peers(results: Path, programs: dict[str, str]) -> subprocess.CompletedProcess:
    """Run the benchmark with these scripts, and nothing else, on the path."""
    path = results.parent / "bin"
    path.mkdir()
    for name, script in programs.items():
        (path / name).write_text(script)
        (path / name).chmod(0o755)
    return subprocess.run(
        [sys.executable, str(BENCH), "--results", str(results)],
        env=os.environ | {"PATH": str(path)},
        capture_output=True,
        text=True,
    )


def test_table(results):
    done = peers(results, {"xz": STAND_IN})
    assert done.returncode == 0, done.stderr
    assert "brotli -11: not installed" in done.stderr and "xz -9e: not" not in done.stderr
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:4]
    ]
    rows = {row[0]: row[1:] for row in cells}
    val = [text.encode() for text in sample_texts(3, seed=2)]
    size, length = sum(map(len, val)), 1100 / np.log(2) / 8
    good = [f"{length + 600:,.0f}", f"{8 * (length + 600) / size:.4f}"]
    alone = [f"{length:,.0f}", f"{8 * length / size:.4f}"]
    assert rows["**good**"] == [*good, *alone, *alone, f"{3e6 / size:.2f}"]
    train = len(b"\0".join(text.encode() for text in sample_texts(8)))
    alone = (size + 2) // 10  # two NUL bytes between three documents
    after = (train + 1 + size + 2) // 10 - train // 10
    assert rows["xz -9e"][0] == f"{alone:,}" and rows["xz -9e"][4] == f"{after:,}"
    assert rows["xz -9e"][2:4] == ["", ""]
    assert rows["xz -9e"][1] == f"{8 * alone / size:.4f}"
    assert f"training text of {train - 7:,}, separators not counted" in done.stdout
    assert "hashed" not in done.stdout


def test_compressor_that_fails_is_one_line(results):
    done = peers(results, {"xz": f"#!{sys.executable}\nimport sys\nsys.exit('no memory')\n"})
    assert done.returncode == 2
    assert "peers.py: error: xz -9e --keep text: exit 1 ['no memory']" in done.stderr
