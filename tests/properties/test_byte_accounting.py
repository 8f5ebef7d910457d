"""Bytes per target add up to the text, for any text and for lossless and lossy tokenizers."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from fairway.corpus.byte_accounting import ByteTable, document_bytes
from fairway.corpus.exact_text import encode_exactly
from fairway.corpus.given_back import give_back
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
    values = give_back(tokenizer_of(kind), tokens, starts, None).target_bytes
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


@pytest.mark.parametrize("kind", ["lossless", "lossy", "no_prefix"])
@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=5))
def test_bytes_of_exact_tokens_are_those_of_the_original(kind: str, texts: list[str]) -> None:
    originals = [text.encode() for text in texts]
    tokens = np.concatenate(encode_exactly(tokenizer_of(kind), texts))
    found = give_back(tokenizer_of(kind), tokens, document_starts(tokens, "test"), originals)
    assert found.same and found.text == b"\0".join(originals)
    assert found.original_bytes == found.target_bytes.sum() == sum(map(len, originals))


def test_longer_or_shorter_text_is_not_the_original() -> None:
    texts = ["x  two spaces, ½ and ﬁ", "x y"]
    originals = [text.encode() for text in texts]
    tokens, starts = joined("lossy", texts)
    found = give_back(tokenizer_of("lossy"), tokens, starts, originals)
    assert found.text == "x two spaces, 1⁄2 and fi\0x y".encode()
    assert (int(found.target_bytes.sum()), found.original_bytes) == (29, 28)
    assert not found.same
    with pytest.raises(StageError, match=r"29 bytes that are not the 28 .*\(a, b\)"):
        found.require_claims(["a", "b"])
    found.require_claims([])
    give_back(tokenizer_of("lossy"), tokens, starts, None).require_claims(["a"])  # nobody knows


def test_text_of_the_same_length_is_not_the_original_either() -> None:
    tokens, starts = joined("lossless", ["one two"])
    found = give_back(tokenizer_of("lossless"), tokens, starts, [b"one_two"])
    assert found.original_bytes == found.target_bytes.sum() and not found.same


def test_tokenizer_that_needs_another_rule_is_refused() -> None:
    tokens, starts = joined("no_prefix", ["fine", " begins with a space"])
    with pytest.raises(StageError, match="document 1: its tokens count 19 bytes but decode to 20"):
        give_back(tokenizer_of("no_prefix"), tokens, starts, None)


@pytest.mark.parametrize("text", ["x 漢", "x é", "x 🏌"])
def test_cut_character_counts_the_bytes_that_are_there(text: str) -> None:
    tokenizer = tokenizer_of("lossless")
    tokens, _ = joined("lossless", ["whole document", text])
    whole = len(text.encode())
    for missing in range(len(text[-1].encode())):
        part = tokens[: len(tokens) - missing]
        found = give_back(tokenizer, part, document_starts(part, "test"), None)
        assert int(found.target_bytes.sum()) == len("whole document") + whole - missing
        assert found.text == f"whole document\0{text}".encode()[: len(found.text)]


def test_byte_that_is_no_text_is_refused() -> None:
    tokens = np.array([1, 300, 4 + 0x80, 300], dtype=np.uint16)
    with pytest.raises(StageError, match="document 0: its tokens count"):
        give_back(tokenizer_of("lossless"), tokens, np.array([0]), None)
