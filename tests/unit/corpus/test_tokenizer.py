"""Tokenizer: its ids, its losslessness, its determinism, and what is refused."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentencepiece import SentencePieceTrainer

from fairway.corpus import tokenizer as module
from fairway.corpus.tokenizer import (
    check_belongs,
    decode_documents,
    document_starts,
    encode_documents,
    load_tokenizer,
    train_tokenizer,
)
from fairway.stage import StageError
from support.corpus_samples import VOCABULARY, as_tokenizer, sample_model, sample_texts

AWKWARD = [
    " leading and trailing  ",
    "\n\n\tlines\r\n\n    indented\n",
    "\u00a0\u2003\u200b odd blanks",
    "é ﬁ ① Å ½ … 漢字 \U0001f3cc\ufe0f",
    "\u2585 \u2047 <s> <0x0A> <unk> </s> \\n",
    "a\0b",
    "e\u0301 combining",
    " ",
    "\n",
]


def trained_otherwise(**options: Any) -> bytes:
    model = io.BytesIO()
    settings: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": VOCABULARY,
        "byte_fallback": True,
        "pad_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "unk_id": 3,
        "minloglevel": 2,
        **options,
    }
    SentencePieceTrainer.train(
        sentence_iterator=iter(sample_texts(150)), model_writer=model, **settings
    )
    return model.getvalue()


def test_ids_are_those_of_the_reference() -> None:
    tokenizer = as_tokenizer(sample_model())
    assert tokenizer.get_piece_size() == VOCABULARY
    assert (tokenizer.pad_id(), tokenizer.bos_id()) == (0, 1)
    assert (tokenizer.eos_id(), tokenizer.unk_id()) == (2, 3)
    assert [tokenizer.id_to_piece(4 + byte) for byte in (0, 10, 255)] == [
        "<0x00>",
        "<0x0A>",
        "<0xFF>",
    ]
    assert all(tokenizer.is_byte(4 + byte) for byte in range(256))


def test_training_is_deterministic() -> None:
    assert train_tokenizer(sample_texts(150), VOCABULARY) == sample_model()


def test_training_reads_a_bounded_share(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def texts() -> Any:
        for text in sample_texts(150):
            taken.append(text)
            yield text

    monkeypatch.setattr(module, "TRAINING_BYTES", 40_000)
    train_tokenizer(texts(), VOCABULARY)
    sizes = [len(text.encode()) for text in taken]
    assert sum(sizes[:-2]) < 40_000 <= sum(sizes[:-1])


def test_training_uses_a_document_of_any_length() -> None:
    # The trainer's own default leaves out what is longer than 4,192 bytes.
    long = "\n".join(sample_texts(150))
    assert len(long) > 50_000
    pieces = as_tokenizer(train_tokenizer([long], VOCABULARY))
    assert len(pieces.encode(long)) < 0.7 * len(long)
    train_tokenizer([long, "x" * 200_000], VOCABULARY)


def test_vocabulary_that_cannot_be_reached() -> None:
    with pytest.raises(StageError, match=r"corpus\.vocabulary: 9999 pieces cannot be trained"):
        train_tokenizer(sample_texts(20), 9999)
    with pytest.raises(StageError, match=r"corpus\.vocabulary: 262 pieces cannot be trained"):
        train_tokenizer(sample_texts(20), 262)


@pytest.mark.parametrize("text", AWKWARD + sample_texts(3))
def test_text_comes_back(text: str) -> None:
    tokenizer = as_tokenizer(sample_model())
    (tokens,) = encode_documents(tokenizer, [text])
    assert decode_documents(tokenizer, [tokens]) == [text.encode()]


def test_document_is_bos_and_pieces() -> None:
    tokenizer = as_tokenizer(sample_model())
    documents = encode_documents(tokenizer, sample_texts(1100))
    assert len(documents) == 1100
    for tokens in documents[::100]:
        assert tokens.dtype == np.uint16
        assert tokens[0] == 1
        assert 1 not in tokens[1:]
        assert 2 not in tokens


def test_saved_tokenizer_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.model"
    path.write_bytes(sample_model())
    assert load_tokenizer(path, VOCABULARY).get_piece_size() == VOCABULARY


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: b"", "not a SentencePiece model"),
        (lambda: b"text", "not a SentencePiece model"),
        (lambda: sample_model()[:-100], "not a SentencePiece model"),
        (lambda: trained_otherwise(vocab_size=500), "500 pieces; expected corpus.vocabulary, 512"),
        (lambda: trained_otherwise(bos_id=2, eos_id=1), "BOS has id 2; expected 1"),
        (lambda: trained_otherwise(bos_id=-1, eos_id=1, unk_id=2), "BOS has id -1; expected 1"),
    ],
)
def test_unfit_tokenizers_are_refused(
    tmp_path: Path, model: Callable[[], bytes], message: str
) -> None:
    path = tmp_path / "t.model"
    path.write_bytes(model())
    with pytest.raises(StageError, match=rf"t\.model: {message}"):
        load_tokenizer(path, VOCABULARY)


def test_byte_fallback_is_required(tmp_path: Path) -> None:
    path = tmp_path / "t.model"
    path.write_bytes(trained_otherwise(byte_fallback=False, vocab_size=150))
    with pytest.raises(StageError, match=r"t\.model: 0 byte pieces; expected 256"):
        load_tokenizer(path, 150)
    with pytest.raises(StageError, match="nothing: no such file"):
        load_tokenizer(tmp_path / "nothing", 150)


def test_starts_of_documents() -> None:
    assert document_starts(np.array([1, 5, 1, 1, 6]), "x").tolist() == [0, 2, 3]
    with pytest.raises(StageError, match="x: begins with token 5; expected BOS"):
        document_starts(np.array([5, 1]), "x")


def shard_of(seed: int, count: int) -> np.ndarray:
    texts = sample_texts(count)
    return np.concatenate(encode_documents(as_tokenizer(sample_model(seed)), texts))


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 500])
def test_own_tokenizer_belongs(count: int) -> None:
    check_belongs(as_tokenizer(sample_model()), shard_of(1, count), "shard")


@pytest.mark.parametrize("cut", [1, 2, 7])
def test_cut_shard_belongs(cut: int) -> None:
    tokenizer = as_tokenizer(sample_model())
    texts = [f"{text} 漢" for text in sample_texts(5)]  # three byte pieces, cut in between
    tokens = np.concatenate(encode_documents(tokenizer, texts))
    check_belongs(tokenizer, tokens[cut:-cut], "shard")


@pytest.mark.parametrize("count", [1, 2, 500])
def test_other_tokenizer_of_the_same_size_is_refused(count: int) -> None:
    with pytest.raises(StageError, match=r"shard: 0 of \d+ documents, decoded, .* not belong"):
        check_belongs(as_tokenizer(sample_model(2)), shard_of(1, count), "shard")


def test_text_without_documents_is_refused() -> None:
    with pytest.raises(StageError, match="shard: no document"):
        check_belongs(as_tokenizer(sample_model()), np.array([300, 301]), "shard")
