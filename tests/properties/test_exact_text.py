"""Any bytes become token ids and come back, whatever the tokenizer does to a text."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.corpus.exact_text import ExactText, encode_exactly
from fairway.corpus.shards import BOS
from fairway.corpus.tokenizer import encode_documents
from support.corpus_samples import sample_texts, tokenizer_of

KINDS = ("lossless", "lossy", "no_prefix")
# What tokenizers treat specially, what is not UTF-8, and what stands for something here.
SPECIAL = st.sampled_from(
    [
        *(" ", "  ", "\n", "▁", "½", "ﬁ", "e\u0301", "=\u0338", "\u200b", "\uf8ff", "🏌", "the"),
        *(b"\0", b"\xff", b"\xe2\x96", b"\x81"),
    ]
).map(lambda part: part if isinstance(part, bytes) else part.encode())
TEXT = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from([" ", "▁", "\u2585", "\0", "<s>", "<0x41>", "A", "ﬁ", "the"])).map(
        "".join
    ),
)
CONTENT = st.one_of(st.binary(max_size=40), st.lists(SPECIAL, max_size=20).map(b"".join))


@cache
def exact_text(kind: str) -> ExactText:
    return ExactText(tokenizer_of(kind))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(content=CONTENT)
def test_any_bytes_come_back(kind: str, content: bytes) -> None:
    text = exact_text(kind)
    tokens = text.encode(content)
    assert tokens.dtype == np.uint16 and tokens[0] == BOS
    assert int((tokens == BOS).sum()) == 1 + content.count(b"\0")
    assert text.decode(tokens) == content


def test_plain_text_has_the_corpus_tokens() -> None:
    texts = sample_texts(20)
    tokens = exact_text("lossless").encode("\0".join(texts).encode())
    expected = np.concatenate(encode_documents(tokenizer_of("lossless"), texts))
    np.testing.assert_array_equal(tokens, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_changes_is_written_in_bytes(kind: str) -> None:
    plain = "".join(sample_texts(5)).encode()
    mixed = plain[:900] + "▁ﬁ½".encode() + b"\xff  \n" + plain[900:]
    text = exact_text(kind)
    most = len(text.encode(plain)) + len(mixed) - len(plain) + 10
    assert len(text.encode(mixed)) <= most < len(plain)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_documents_come_back_and_keep_plain_tokens(kind: str, texts: list[str]) -> None:
    documents = encode_exactly(tokenizer_of(kind), texts)
    plain = encode_documents(tokenizer_of(kind), texts)
    for text, tokens, as_it_is in zip(texts, documents, plain, strict=True):
        assert tokens.dtype == np.uint16 and tokens[0] == BOS and BOS not in tokens[1:]
        assert exact_text(kind).decode(tokens) == text.encode()
        if exact_text(kind).decode(as_it_is) == text.encode():
            np.testing.assert_array_equal(tokens, as_it_is)


def test_space_at_the_start_does_not_cost_a_document() -> None:
    text = sample_texts(1)[0]
    (plain,), (moved,) = (
        encode_exactly(tokenizer_of("no_prefix"), [t]) for t in (text, " " + text)
    )
    assert len(moved) <= len(plain) + 2
