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
    decode_documents,
    document_starts,
    encode_documents,
    load_tokenizer,
    train_tokenizer,
)
from fairway.stage import StageError
from support.corpus_samples import VOCABULARY, as_tokenizer, sample_model, sample_texts
from support.shared_data import require_shared

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


def test_piece_for_the_space_is_required(tmp_path: Path) -> None:
    path = tmp_path / "t.model"
    space = b"\n\x03" + "▁".encode() + b"\x15"  # the field of a piece that is this sign alone
    assert sample_model().count(space) == 1
    path.write_bytes(sample_model().replace(space, space.replace("▁".encode(), "㑤".encode())))
    with pytest.raises(StageError, match=r"t\.model: no piece '▁'; expected one: where no longer"):
        load_tokenizer(path, VOCABULARY)


def test_given_tokenizer_without_a_piece_for_the_space() -> None:
    with pytest.raises(StageError, match=r"nospace2\.model: no piece '▁'"):
        load_tokenizer(require_shared("inputs/nospace2.model"), 512)


@pytest.mark.parametrize("sign", ["▁", "\u2585"])
def test_no_text_is_left_out_of_training(sign: str) -> None:
    plain, marked = sample_texts(60), [f"{sign}{text}{sign}{sign}" for text in sample_texts(60)]
    assert train_tokenizer(marked, 400) == train_tokenizer(plain, 400)
    half = [*plain[:30], *(f"{text[:50]}{sign}{text[50:]}" for text in plain[30:])]
    pieces = as_tokenizer(train_tokenizer(half, 400))
    size = sum(len(pieces.encode(text)) for text in plain)
    best = sum(len(ids) for ids in as_tokenizer(train_tokenizer(plain, 400)).encode(plain))
    assert size < 1.01 * best


def test_starts_of_documents() -> None:
    assert document_starts(np.array([1, 5, 1, 1, 6]), "x").tolist() == [0, 2, 3]
    with pytest.raises(StageError, match="x: begins with token 5; expected BOS"):
        document_starts(np.array([5, 1]), "x")
