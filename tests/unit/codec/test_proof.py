"""What a proof is about: whole characters of the text's start, and its independent reading."""

import math

import numpy as np
import pytest

from fairway.codec.proof import check_decoded, claimed_bits, proven_targets, proven_text
from fairway.corpus.byte_accounting import ByteTable
from fairway.corpus.exact_text import ExactText, encode_exactly
from fairway.corpus.shards import BOS
from fairway.corpus.tokenizer import encode_documents
from fairway.rows.gate import row_gate
from fairway.rows.mixing import RankShard, row_mixer
from fairway.scoring.scores import Scores
from fairway.stage import StageError
from support.corpus_samples import sample_texts, tokenizer_of

TABLE = ByteTable.of(tokenizer_of("lossless"))


def tokens_of(*texts: str) -> np.ndarray:
    return np.concatenate(encode_documents(tokenizer_of("lossless"), list(texts)))


def test_proven_part_has_the_wanted_bytes():
    tokens = tokens_of(*sample_texts(3))
    sizes = TABLE.target_bytes(tokens)
    for wanted in (1, 100, 333):
        targets = proven_targets(tokens, sizes, TABLE, wanted)
        assert sizes[: targets - 1].sum() < wanted <= sizes[:targets].sum()
    for wanted in (int(sizes.sum()) + 1, math.inf):
        assert proven_targets(tokens, sizes, TABLE, wanted) == len(sizes)


def test_proven_part_ends_with_a_whole_character():
    tokens = tokens_of("x🏌y")  # the golfer has four byte pieces
    sizes = TABLE.target_bytes(tokens)
    assert sizes.tolist() == [0, 1, 1, 1, 1, 1, 1]
    before = proven_targets(tokens, sizes, TABLE, 1)
    assert [proven_targets(tokens, sizes, TABLE, wanted) for wanted in (2, 3, 4)] == [before] * 3
    assert proven_targets(tokens, sizes, TABLE, 5) == before + 4


def test_proven_text_is_the_original_and_what_the_codec_decodes():
    texts = [*sample_texts(2), "a\0b ▁▅ é", "last"]
    original = "\0".join(texts).encode()
    tokens = np.concatenate(encode_exactly(tokenizer_of("lossless"), texts))
    sizes, exact = TABLE.target_bytes(tokens), ExactText(tokenizer_of("lossless"))
    for targets in (1, 50, *np.flatnonzero(tokens == BOS)[1:], len(sizes)):
        proven = proven_text(original, tokens[: targets + 1], sizes[:targets])
        assert proven == exact.decode(tokens[: targets + 1])
        assert original.startswith(proven)


@pytest.mark.parametrize(
    ("decoded", "place"),
    [(b"abX", 2), (b"ab", 2), (b"abcd", 3), (b"", 0)],
    ids=["other", "short", "long", "nothing"],
)
def test_first_difference_is_named(decoded, place):
    check_decoded(b"abc", b"abc", "r")
    with pytest.raises(StageError, match=rf"row r: decoded .* differ .* 3 at byte {place};"):
        check_decoded(decoded, b"abc", "r")


def test_claimed_bits_are_of_exactly_these_targets():
    nll = np.log(np.array([2, 4, 8, 16], np.float32))
    shards = [
        RankShard(f"rank{i}", Scores(1 + 2 * i, part, part, "artifact", "spec"))
        for i, part in enumerate((nll[:2], nll[2:]))
    ]
    mixer = row_mixer(row_gate(None, None), np.zeros(5, np.uint16))
    assert claimed_bits(mixer, shards, 3) == pytest.approx(1 + 2 + 3)
    with pytest.raises(StageError, match="scores: 4 targets; expected at least 5"):
        claimed_bits(mixer, shards, 5)
