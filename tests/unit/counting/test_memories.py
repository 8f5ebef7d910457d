"""Memories: what goes into a file comes out, and nothing else does; budgets are kept."""

import hashlib
import struct

import numpy as np
import pytest

from fairway.corpus.shards import BOS
from fairway.counting import memories
from fairway.counting.memories import MAGIC, MOST_TOKENS, pack_memory, read_memory
from fairway.counting.memory_text import last_tokens, pack_within, tokens_of_documents
from fairway.stage import StageError

TOKENIZER = "cd" * 32
TOKENS = np.random.default_rng(0).zipf(1.3, 5000).clip(1, 99).astype(np.uint16)
SHARDS = [np.array(part, dtype=np.uint16) for part in ([5, BOS, 6, BOS, 7, 8], [9], [BOS, 2, 3])]


def packed(tokens=TOKENS, compressor="lzma"):
    return pack_memory(tokens, 100, TOKENIZER, compressor)


def resealed(rest: bytes) -> bytes:
    """A file with what follows the checksum changed and the right checksum."""
    return MAGIC + hashlib.sha256(rest).digest() + rest


@pytest.mark.parametrize("compressor", ["lzma", "zstd", "brotli"])
@pytest.mark.parametrize("count", [1, 2, 5000, 600_000])
def test_a_memory_comes_back(tmp_path, compressor, count):
    tokens, done = np.resize(TOKENS, count), []
    content = pack_memory(tokens, 100, TOKENIZER, compressor, done.append)
    (tmp_path / "m.bin").write_bytes(content)
    memory = read_memory(tmp_path / "m.bin")
    np.testing.assert_array_equal(memory.tokens, tokens)
    assert (memory.vocabulary, memory.tokenizer_sha256) == (100, TOKENIZER)
    assert memory.sha256 == hashlib.sha256(content).hexdigest()
    assert sum(done) == count and (count < 600_000 or len(done) > 1)


def test_equal_text_gives_equal_bytes():
    assert packed() == packed(np.array(TOKENS, dtype=np.int64))


BODY = packed()[len(MAGIC) + 32 :]


def with_count(count: int) -> bytes:
    return resealed(BODY[:36] + struct.pack("<I", count) + BODY[40:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing; a memory starts with 46574d45"),
        (b"FAIRWAY\1" + packed()[8:], "starts with 46414952574159"),
        (packed()[:-1], "do not have the SHA-256 they should"),
        (packed() + b"\0", "do not have the SHA-256 they should"),
        (MAGIC, "do not have the SHA-256 they should"),
        (resealed(b"short"), "do not have the SHA-256 they should"),
        (with_count(0), "declares 0 tokens; expected 1 to"),
        (with_count(2**32 - 1), "declares 4294967295 tokens; expected 1 to"),
        (with_count(4999), "its 4999 tokens: is not one lzma stream of 9998 bytes"),
        (with_count(5001), "its 5001 tokens: is not one lzma stream"),
        (resealed(BODY[:40] + b"\7" + BODY[41:]), "compressor 7; expected 0 to 2"),
        (resealed(BODY[:-9]), "cannot be decompressed"),
        (resealed(BODY + b"\0"), "cannot be decompressed"),
        (resealed(BODY[:32] + struct.pack("<I", 50) + BODY[36:]), "vocabulary of 50"),
    ],
)
def test_a_damaged_file_is_one_clear_error(tmp_path, content, message):
    path = tmp_path / "m.bin"
    path.write_bytes(content)
    with pytest.raises(StageError, match=message) as error:
        read_memory(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize("compressor", ["lzma", "zstd", "brotli"])
def test_no_more_is_unpacked_than_declared(tmp_path, compressor):
    swelling = pack_memory(np.zeros(10_000_000, np.uint16), 100, TOKENIZER, compressor)
    path = tmp_path / "m.bin"
    path.write_bytes(swelling)
    with pytest.raises(StageError, match="declares 10000000 tokens; expected 1 to"):
        read_memory(path)
    body = swelling[len(MAGIC) + 32 :]
    path.write_bytes(resealed(body[:36] + struct.pack("<I", 1000) + body[40:]))
    with pytest.raises(StageError, match=r"is not one .* stream|cannot be decompressed"):
        read_memory(path)
    assert MOST_TOKENS > 10_000_000


def test_more_tokens_than_a_reader_takes_are_not_packed(monkeypatch):
    monkeypatch.setattr(memories, "MOST_TOKENS", 10)
    assert pack_memory(np.zeros(10, np.uint16), 100, TOKENIZER, "zstd")
    with pytest.raises(StageError, match=r"^11 tokens; expected at most 10"):
        pack_memory(np.zeros(11, np.uint16), 100, TOKENIZER, "zstd")


def test_another_tokenizer_is_named(tmp_path):
    (tmp_path / "m.bin").write_bytes(packed())
    memory = read_memory(tmp_path / "m.bin")
    memory.require_corpus(TOKENIZER, 100, tmp_path / "m.bin")
    with pytest.raises(StageError, match=r"m\.bin: tokenizer SHA-256 cdcd.*; the text has abab"):
        memory.require_corpus("ab" * 32, 100, tmp_path / "m.bin")
    with pytest.raises(StageError, match=r"m\.bin: vocabulary 100; the text has 101"):
        memory.require_corpus(TOKENIZER, 101, tmp_path / "m.bin")


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 10, 99])
def test_the_last_tokens_over_shards(count):
    whole = np.concatenate(SHARDS)
    np.testing.assert_array_equal(last_tokens(SHARDS, count), whole[len(whole) - count :][:count])


@pytest.mark.parametrize(("documents", "tokens"), [(1, 3), (2, 7), (3, 9), (4, 10), (99, 10)])
def test_documents_begin_at_their_bos(documents, tokens):
    assert tokens_of_documents(SHARDS, documents) == tokens


@pytest.mark.parametrize("size", [100, 300, 1000, 2000, 10**6])
def test_as_many_tokens_as_fit_nearly(size):
    shards = np.array_split(TOKENS, 3)
    content = pack_within(shards, size, packed)
    assert len(content) <= size
    if size == 10**6:
        assert content == packed()
    else:
        more = last_tokens(shards, int(1.03 * len(TOKENS) * len(content) / len(packed())) + 20)
        assert len(packed(more)) > size, "3 % more would not fit"


def test_a_budget_for_nothing_is_an_error():
    with pytest.raises(StageError, match="bytes: 82; not one token"):
        pack_within(SHARDS, 82, packed)
