"""Bytes per target add up to the text, for any text and for lossless and lossy tokenizers."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from fairway.corpus.byte_accounting import (
    ByteTable,
    charge_original_bytes,
    document_bytes,
    prove_bytes,
)
from fairway.corpus.tokenizer import decode_documents, document_starts, encode_documents
from fairway.stage import StageError
from support.corpus_samples import VOCABULARY, tokenizer_of

# Any text, and text thick with what tokenizers treat specially.
SPECIAL = st.sampled_from([" ", "  ", "\n", "\t", "▁", "\u2585", "½", "ﬁ", "e\u0301", "🏌", "the"])
TEXT = st.one_of(st.text(max_size=60), st.lists(SPECIAL, max_size=30).map("".join))
DOCUMENTS = st.lists(TEXT.map(lambda text: "x" + text), min_size=1, max_size=5)


@cache
def table_of(kind: str) -> ByteTable:
    return ByteTable.of(tokenizer_of(kind))


def joined(kind: str, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.concatenate(encode_documents(tokenizer_of(kind), texts))
    return tokens, document_starts(tokens, "test")


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_lossless_tokenizer_gives_back_any_text(texts: list[str]) -> None:
    documents = encode_documents(tokenizer_of("lossless"), texts)
    decoded = decode_documents(tokenizer_of("lossless"), documents)
    assert decoded == [text.replace("▁", " ").encode() for text in texts]


@pytest.mark.parametrize("kind", ["lossless", "lossy"])
@settings(max_examples=150, deadline=None)
@given(texts=DOCUMENTS)
def test_bytes_are_those_of_the_decoded_text(kind: str, texts: list[str]) -> None:
    tokens, starts = joined(kind, texts)
    values = prove_bytes(tokenizer_of(kind), table_of(kind), tokens, starts)
    assert values.dtype == np.uint16
    assert len(values) == len(tokens) - 1
    documents = np.split(tokens, starts[1:])
    decoded = [len(text) for text in decode_documents(tokenizer_of(kind), documents)]
    assert document_bytes(values, starts).tolist() == decoded
    assert not values[starts[1:] - 1].any()  # the BOS of a next document


def plain_rule(tokenizer: SentencePieceProcessor, tokens: list[int]) -> list[int]:
    """The published rule, one target at a time, by its words."""

    def is_boundary(token: int) -> bool:
        return (
            tokenizer.is_control(token)
            or tokenizer.is_unknown(token)
            or tokenizer.is_unused(token)
        )

    values = []
    for previous, token in itertools.pairwise(tokens):
        piece = tokenizer.id_to_piece(token)
        if is_boundary(token):
            values.append(0)
        elif tokenizer.is_byte(token):
            values.append(1)
        elif piece.startswith("▁"):
            values.append(len(piece[1:].encode()) + (not is_boundary(previous)))
        else:
            values.append(len(piece.encode()))
    return values


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=50))
def test_rule_is_the_published_one_for_any_tokens(tokens: list[int]) -> None:
    values = table_of("lossy").target_bytes(np.array(tokens, dtype=np.uint16))
    assert values.tolist() == plain_rule(tokenizer_of("lossy"), tokens)


def test_runs_of_spaces_count_what_they_decode_to() -> None:
    tokenizer, table = tokenizer_of("lossless"), table_of("lossless")
    runs = [
        index
        for index in range(260, VOCABULARY)
        if set(tokenizer.id_to_piece(index)) == {"▁"} and len(tokenizer.id_to_piece(index)) > 1
    ]
    assert runs
    for index in runs:
        assert table.size[index] + 1 == len(tokenizer.id_to_piece(index))


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_original_bytes_are_charged_within_each_document(texts: list[str]) -> None:
    tokens, starts = joined("lossy", texts)
    decoded = prove_bytes(tokenizer_of("lossy"), table_of("lossy"), tokens, starts)
    original = np.array([len(text.encode()) for text in texts])
    charged = charge_original_bytes(decoded, starts, original)
    assert charged.dtype == np.uint16
    assert document_bytes(charged, starts).tolist() == original.tolist()
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        changed = np.flatnonzero(charged[start : end - 1] != decoded[start : end - 1])
        # What is changed stands in one run at the document's end.
        zeros = decoded[start : end - 1] == 0
        assert all(
            index in changed or zeros[index]
            for index in range(changed.min(initial=end), end - 1 - start)
        )


def test_difference_goes_on_to_the_target_before() -> None:
    values = np.array([3, 2, 1, 0, 5, 5], dtype=np.uint16)  # BOS of the second at position 4
    starts = np.array([0, 4])
    charged = charge_original_bytes(values, starts, np.array([2, 10]))
    assert charged.tolist() == [2, 0, 0, 0, 5, 5]
    charged = charge_original_bytes(values, starts, np.array([7, 70_000]))
    assert charged.tolist() == [3, 2, 2, 0, 4465, 65535]


def test_document_that_cannot_carry_its_bytes() -> None:
    with pytest.raises(StageError, match="document 0: 9 bytes of text; its tokens are too few"):
        charge_original_bytes(np.array([0, 3], np.uint16), np.array([0, 1]), np.array([9, 3]))
    values, starts = np.array([3, 0, 1], np.uint16), np.array([0, 2])
    with pytest.raises(StageError, match="document 1: 131071 bytes"):  # more than two targets hold
        charge_original_bytes(values, starts, np.array([3, 2 * 65535 + 1]))


def test_tokenizer_that_needs_another_rule_is_refused() -> None:
    tokens, starts = joined("no_prefix", ["fine", " begins with a space"])
    with pytest.raises(StageError, match="document 1: its tokens count 19 bytes but decode to 20"):
        prove_bytes(tokenizer_of("no_prefix"), table_of("no_prefix"), tokens, starts)


@pytest.mark.parametrize("text", ["x 漢", "x é", "x 🏌"])
def test_cut_character_counts_the_bytes_that_are_there(text: str) -> None:
    tokenizer, table = tokenizer_of("lossless"), table_of("lossless")
    tokens, _ = joined("lossless", ["whole document", text])
    whole = len(text.encode())
    for missing in range(len(text[-1].encode())):
        part = tokens[: len(tokens) - missing]
        values = prove_bytes(tokenizer, table, part, document_starts(part, "test"))
        assert int(values.sum()) == len("whole document") + whole - missing


def test_byte_that_is_no_text_is_refused() -> None:
    tokens = np.array([1, 300, 4 + 0x80, 300], dtype=np.uint16)
    with pytest.raises(StageError, match="document 0: its tokens count"):
        prove_bytes(tokenizer_of("lossless"), table_of("lossless"), tokens, np.array([0]))
