"""A shard's tokenizer is known by what it makes of the text that it decodes."""

import numpy as np
import pytest

from fairway.corpus.belonging import check_belongs
from fairway.corpus.exact_text import encode_exactly
from fairway.corpus.tokenizer import encode_documents
from fairway.stage import StageError
from support.corpus_samples import as_tokenizer, sample_model, sample_texts, tokenizer_of


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


@pytest.mark.parametrize("kind", ["lossless", "lossy", "folding", "no_prefix"])
def test_exactly_encoded_shard_belongs(kind: str) -> None:
    texts = [f"X▁{text}  É" for text in sample_texts(20)]
    tokens = np.concatenate(encode_exactly(tokenizer_of(kind), texts))
    check_belongs(tokenizer_of(kind), tokens, "shard")
    with pytest.raises(StageError, match="shard: 0 of 19 documents"):
        check_belongs(as_tokenizer(sample_model(2)), tokens, "shard")
