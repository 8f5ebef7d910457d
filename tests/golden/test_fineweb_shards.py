"""Real FineWeb tokens and the real tokenizer of parameter-golf go through the corpus stages."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from fairway.corpus.belonging import check_belongs
from fairway.corpus.byte_accounting import ByteTable
from fairway.corpus.documents import read_documents
from fairway.corpus.exact_text import encode_exactly
from fairway.corpus.given_back import give_back
from fairway.corpus.manifest import Manifest
from fairway.corpus.shards import read_shard
from fairway.corpus.tokenizer import (
    document_starts,
    encode_documents,
    load_tokenizer,
    train_tokenizer,
)
from fairway.stage import StageError, sha256_of
from support.corpus_samples import (
    ENCODE_FLAGS,
    as_tokenizer,
    assert_hashes,
    assert_refused,
    make_corpus,
)
from support.shared_data import require_shared

SHARDS = "data/datasets/fineweb10B_sp1024"
VAL_BYTES = 1_245_313


@pytest.fixture(scope="module")
def tokenizer() -> SentencePieceProcessor:
    return load_tokenizer(require_shared("data/tokenizers/fineweb_1024_bpe.model"), 1024)


@pytest.fixture(scope="module")
def val() -> np.ndarray:
    return read_shard(require_shared(f"{SHARDS}/fineweb_val_000000.bin"), 1024)


@cache
def texts(name: str) -> list[str]:
    return list(read_documents(require_shared(f"data/{name}.jsonl.xz")))


@cache
def other_tokenizer() -> bytes:
    """As many pieces, trained on the very text: the nearest wrong one there is."""
    return train_tokenizer(texts("fineweb_val_docs"), 1024)


def settings_for(**others: Any) -> dict[str, Any]:
    return {
        "kind": "shards",
        "train_shards": [str(require_shared(SHARDS) / "fineweb_train_*.bin")],
        "val_shards": [str(require_shared(f"{SHARDS}/fineweb_val_000000.bin"))],
        "tokenizer": str(require_shared("data/tokenizers/fineweb_1024_bpe.model")),
        "vocabulary": 1024,
        "val_fraction": 0.06,
        "minimum_documents": 100,
        **others,
    }


@pytest.mark.parametrize("known", [False, True])
def test_shards_are_taken_as_they_are(tmp_path: Path, known: bool) -> None:
    documents = str(require_shared("data/fineweb_val_docs.jsonl.xz")) if known else None
    done = make_corpus(tmp_path, settings_for(val_documents=documents), *ENCODE_FLAGS)
    assert done.returncode == 0, done.stderr
    manifest = Manifest.load(tmp_path / "out/manifest.json")
    assert (manifest.train.documents, manifest.train.tokens) == (200, 628_457)
    assert (manifest.val.documents, manifest.val.tokens) == (458, 519_543)
    assert manifest.val.targets == 519_542
    assert manifest.val.bytes == VAL_BYTES
    assert manifest.val.original_bytes == (VAL_BYTES if known else None)
    given = require_shared(f"{SHARDS}/fineweb_val_000000.bin")
    assert sha256_of(tmp_path / "out/val.bin") == sha256_of(given)
    manifest.read_val_bytes(tmp_path / "out/val_bytes.npy")
    assert_hashes(manifest)


@pytest.mark.parametrize(
    ("shard", "documents"),
    [("train", "fineweb_sample200_docs"), ("val", "fineweb_val_docs")],
)
def test_encoding_gives_the_tokens_of_the_shards(
    tokenizer: SentencePieceProcessor, shard: str, documents: str
) -> None:
    expected = read_shard(require_shared(f"{SHARDS}/fineweb_{shard}_000000.bin"))
    tokens = np.concatenate(encode_documents(tokenizer, texts(documents)))
    assert np.array_equal(tokens, expected)


def test_bytes_per_target_are_the_published_rule(
    tokenizer: SentencePieceProcessor, val: np.ndarray
) -> None:
    values = ByteTable.of(tokenizer).target_bytes(val[:20_001])
    for index in range(20_000):
        target, previous = int(val[index + 1]), int(val[index])
        piece = tokenizer.id_to_piece(target)
        expected = len(piece.removeprefix("▁").encode())
        expected += piece.startswith("▁") and not tokenizer.is_control(previous)
        if tokenizer.is_byte(target) or tokenizer.is_control(target):
            expected = int(tokenizer.is_byte(target))
        assert values[index] == expected


def test_no_piece_of_the_real_tokenizer_needs_the_rule_for_runs(
    tokenizer: SentencePieceProcessor,
) -> None:
    assert not [i for i in range(1024) if "▁" in tokenizer.id_to_piece(i)[1:]]


@pytest.mark.parametrize("cut", [1, 1000, 100_003])
def test_cut_validation_text_is_accounted_for(
    tokenizer: SentencePieceProcessor, val: np.ndarray, cut: int
) -> None:
    part = val[:-cut]
    give_back(tokenizer, part, document_starts(part, "val"), None)


def test_text_that_this_tokenizer_folds(tokenizer: SentencePieceProcessor) -> None:
    documents = texts("docs")[:100]  # line breaks and indentation, which it drops
    originals = [text.encode() for text in documents]
    plain = np.concatenate(encode_documents(tokenizer, documents))
    lost = give_back(tokenizer, plain, document_starts(plain, "docs"), originals)
    assert not lost.same
    assert 0.9 * lost.original_bytes < lost.target_bytes.sum() < 0.99 * lost.original_bytes
    exact = np.concatenate(encode_exactly(tokenizer, documents))
    kept = give_back(tokenizer, exact, document_starts(exact, "docs"), originals)
    assert kept.same and kept.text == b"\0".join(originals)
    assert len(exact) < 1.5 * len(plain), "only what is folded is written in bytes"


def test_wrong_tokenizer_of_the_same_size_is_refused(tmp_path: Path, val: np.ndarray) -> None:
    (tmp_path / "wrong.model").write_bytes(other_tokenizer())
    done = make_corpus(tmp_path, settings_for(tokenizer="wrong.model"), *ENCODE_FLAGS)
    assert_refused(done, "fineweb_val_000000.bin: 0 of 64 documents", "does not belong")
    for start in range(0, len(val), 50_000):
        with pytest.raises(StageError, match="val: 0 of"):
            check_belongs(as_tokenizer(other_tokenizer()), val[start : start + 50_000], "val")


def test_shards_of_the_wrong_tokenizer_are_refused(tokenizer: SentencePieceProcessor) -> None:
    tokens = encode_documents(as_tokenizer(other_tokenizer()), texts("fineweb_val_docs"))
    with pytest.raises(StageError, match="shard: 0 of 64"):
        check_belongs(tokenizer, np.concatenate(tokens), "shard")


def test_every_document_comes_back_with_the_right_one(
    tokenizer: SentencePieceProcessor, val: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairway.corpus.belonging.SAMPLE", 458)
    monkeypatch.setattr("fairway.corpus.belonging.SHARE", 1.0)
    check_belongs(tokenizer, val, "val")
