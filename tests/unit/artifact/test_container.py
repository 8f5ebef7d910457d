"""The artifact: exact, deterministic, and damage is one clear line."""

import numpy as np
import pytest
import torch

from fairway.artifact.container import (
    build_model,
    compressor,
    decode,
    encode,
    load_model,
    section_sizes,
    sections,
)
from fairway.artifact.storage import RowIntegers, StoredModel
from fairway.stage import StageError
from support.tiny_models import CONTEXT, TOKENIZER_SHA256, random_tokens, tiny_quantized


def packed(stored: StoredModel, name: str = "lzma") -> bytes:
    return encode(stored, name, compressor(name))


def test_a_model_scores_the_same_from_its_artifact(tmp_path):
    stored, path = tiny_quantized().stored, tmp_path / "artifact.bin"
    path.write_bytes(packed(stored))
    model = load_model(path)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    tokens = torch.from_numpy(random_tokens(CONTEXT).astype(np.int64))[None]
    assert torch.equal(model(tokens), build_model(stored)(tokens))
    found = decode(path.read_bytes(), path)
    assert found.tokenizer_sha256 == TOKENIZER_SHA256 and found.kinds == stored.kinds


def test_same_tensors_give_the_same_bytes():
    assert packed(tiny_quantized().stored) == packed(tiny_quantized().stored)
    again = decode(packed(tiny_quantized().stored), "x")
    assert packed(again) == packed(tiny_quantized().stored)  # repacked


@pytest.mark.parametrize("name", ["lzma", "zstd"])
def test_every_flipped_byte_and_every_cut_is_found(name):
    content = packed(tiny_quantized().stored, name)
    generator = np.random.default_rng(0)
    places = [0, 7, 8, 39, 40, 44, 60, len(content) - 1, *generator.integers(0, len(content), 40)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(generator.integers(8))
        with pytest.raises(StageError, match=r"^model\.bin: .*(starts with|SHA-256)"):
            decode(bytes(damaged), "model.bin")
    for length in (0, 5, 8, 20, 40, 43, 200, len(content) - 1):
        with pytest.raises(StageError, match=r"^model\.bin: "):
            decode(content[:length], "model.bin")
    with pytest.raises(StageError, match="SHA-256"):
        decode(content + b"\0", "model.bin")


def test_sections_are_accounted_for():
    content = packed(tiny_quantized().stored)
    sizes = section_sizes(content)
    raw = sections(tiny_quantized().stored)
    assert {name: len(part) for name, part in raw.items()} == {
        name: size["raw"] for name, size in sizes.items()
    }
    rest = len(content) - sum(size["packed"] for size in sizes.values())
    assert 0 < rest < 400  # magic, checksum and header


@pytest.mark.parametrize("name", ["lzma", "zstd"])
def test_trained_like_int6_costs_little_more_than_its_entropy(name):
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((512, 1024)) * np.exp(
        0.3 * generator.standard_normal((1, 1024))
    )
    scale = np.abs(weight).max(axis=1, keepdims=True) / 31
    integers = np.rint(weight / scale).astype(np.int8)
    counts = np.bincount(integers.ravel() + 31)
    share = counts[counts > 0] / integers.size
    entropy = float(-(share * np.log2(share)).sum())
    tensor = RowIntegers(torch.from_numpy(integers), torch.ones(512).half())
    stored = StoredModel({}, "", {"w": "int6"}, {"w": tensor})
    bits = 8 * section_sizes(packed(stored, name))["int6"]["packed"] / integers.size
    # one byte per weight costs LZMA 0.13 bits more than the entropy, packed bits far more
    assert bits < entropy + 0.07, (bits, entropy)


def test_corpus_of_another_tokenizer_is_refused():
    stored = tiny_quantized().stored
    stored.require_corpus(TOKENIZER_SHA256, 300, "a.bin")
    with pytest.raises(StageError, match=r"a\.bin: tokenizer SHA-256 555.*; the corpus has 666"):
        stored.require_corpus("6" * 64, 300, "a.bin")
    with pytest.raises(StageError, match=r"a\.bin: vocabulary 300; the corpus has 1024"):
        stored.require_corpus(TOKENIZER_SHA256, 1024, "a.bin")
