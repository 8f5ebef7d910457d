"""Any bytes come back from the codec, with every kind of row."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.codec.file import Codec
from support.corpus_samples import sample_texts
from support.tiny_rows import ROWS, codec_of

WORDS = sample_texts(1)[0].split(" ")[:12]
# Repeated words, so that the cache matches, and what is no text at all.
PARTS = st.one_of(
    st.sampled_from(WORDS).map(lambda word: f" {word}".encode()),
    st.sampled_from([b"\0", b"\xff\xfe", "▁".encode(), b"\n\n"]),
    st.binary(max_size=6),
)
CONTENT = st.lists(PARTS, max_size=25).map(b"".join)


@cache
def codec(name: str) -> Codec:
    return codec_of(ROWS[name])


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=12, deadline=None)
@given(content=CONTENT)
def test_any_bytes_come_back(name: str, content: bytes) -> None:
    encoder = codec(name)
    file = encoder.compress(encoder.text.encode(content))
    decoder = codec(name)
    assert decoder.text.decode(decoder.decompress(file, "file")) == content
