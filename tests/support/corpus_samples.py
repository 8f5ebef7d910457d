"""Small texts, tokenizers and stage runs shared by the corpus tests."""

from fairway.start import run

import hashlib
import io
import json
import subprocess
import sys
from contextlib import chdir, redirect_stderr
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from fairway.corpus.docstrings import package_docstrings
from fairway.corpus.manifest import Manifest
from fairway.corpus.tokenizer import train_tokenizer
from fairway.stage import sha256_of

STAGES = Path(__file__).resolve().parents[2] / "stages"
VOCABULARY = 512
_LIBRARIES = {1: ("asyncio", "email"), 2: ("unittest", "http", "xml")}  # always there, in English


_RULES = {"lossy": "nmt_nfkc", "folding": "nmt_nfkc_cf"}


@cache
def _library_texts(seed: int) -> list[str]:
    texts = [text for text in package_docstrings(list(_LIBRARIES[seed])) if len(text) >= 200]
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())


def sample_texts(count: int, seed: int = 1) -> list[str]:
    """Different documents of 200 and more characters; seed: 1 or 2, with no text in common."""
    texts = _library_texts(seed)
    return [f"{texts[i % len(texts)]} {i // len(texts)}…" for i in range(count)]


@cache
def sample_model(seed: int = 1) -> bytes:
    """Content of a small tokenizer.model; the other seed gives other pieces."""
    return train_tokenizer(sample_texts(150, seed), VOCABULARY)


def as_tokenizer(model: bytes) -> SentencePieceProcessor:
    """A tokenizer from a model file's content."""
    tokenizer = SentencePieceProcessor()
    tokenizer.LoadFromSerializedProto(model)
    return tokenizer


@cache
def tokenizer_of(kind: str) -> SentencePieceProcessor:
    """`lossless` as trained by the project; `lossy` as SentencePiece's defaults; others by name.

    `folding` takes capitals for small letters; `no_prefix` puts no space before a text.
    """
    if kind == "lossless":
        return as_tokenizer(sample_model())
    options = {"add_dummy_prefix": False} if kind == "no_prefix" else {}
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(sample_texts(150)),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        remove_extra_whitespaces=kind == "lossy",
        normalization_rule_name=_RULES.get(kind, "identity"),
        minloglevel=2,
        **options,
    )
    return as_tokenizer(model.getvalue())


def write_jsonl(path: Path, texts: list[str]) -> Path:
    """One JSON object with `text` per line."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def run_stage(
    name: str, folder: Path, settings: dict[str, Any], *flags: str, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a stage in `folder`, with a spec of these settings written there.

    In this process, which has imported it already; in one of its own where `options` are given.
    """
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"code": "test", "settings": settings}))
    command = [str(STAGES / f"{name}.py"), "--spec", str(spec), *flags]
    if options:
        command = [sys.executable, *command]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, **options)
    said, code = io.StringIO(), 0
    with chdir(folder), redirect_stderr(said), mock.patch.object(sys, "argv", command):
        try:
            run(import_module(name).main)
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(command, code, "", said.getvalue())


ENCODE_FLAGS = (
    "--tokenizer=out/tokenizer.model",
    "--manifest=out/manifest.json",
    "--val=out/val.bin",
    "--val-bytes=out/val_bytes.npy",
    "--val-text=out/val_text.bin",
)


def make_corpus(
    folder: Path, settings: dict[str, Any], *flags: str
) -> subprocess.CompletedProcess[str]:
    """Run both corpus stages into `folder`/out; the result of the first to fail, or the last."""
    done = run_stage("train_tokenizer", folder, settings, "--tokenizer=out/tokenizer.model")
    return done if done.returncode else run_stage("encode_corpus", folder, settings, *flags)


def assert_refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """The stage ended with exit code 2 and one last line that holds `parts`."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert ": error: " in line
    for part in parts:
        assert part in line, line


def assert_hashes(manifest: Manifest) -> None:
    """Every file of a corpus has the SHA-256 that its manifest says."""
    for entry in (manifest.tokenizer, *manifest.train.shards, manifest.val):
        assert sha256_of(manifest.path_of(entry.file)) == entry.sha256
