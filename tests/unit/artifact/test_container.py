"""The artifact: exact, deterministic, and damage is one clear line."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from fairway.artifact.container import (
    build_model,
    decode,
    encode,
    load_model,
    section_sizes,
)
from fairway.artifact.storage import RowIntegers, StoredModel
from fairway.files.compression import compress
from fairway.stage import StageError
from support.damage import artifact_of, artifact_parts, artifact_sections, resealed
from support.tiny_models import CONTEXT, TOKENIZER_SHA256, random_tokens, tiny_quantized

CODERS = ["lzma", "zstd", "brotli", "ans"]
GENERAL = CODERS[:-1]
FILES = Path(__file__).parents[2] / "golden" / "files"


def packed(stored: StoredModel, name: str = "lzma") -> bytes:
    return encode(stored, name)


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


@pytest.mark.parametrize("name", CODERS)
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
    raw = artifact_sections(content, "lzma")
    assert {name: len(part) for name, part in raw.items()} == {
        name: size["raw"] for name, size in sizes.items()
    }
    rest = len(content) - sum(size["packed"] for size in sizes.values())
    assert 0 < rest < 400  # magic, checksum and header


@pytest.mark.parametrize("name", GENERAL)
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


def raw_sections(**changes: object) -> dict[str, bytes]:
    return artifact_sections(packed(tiny_quantized(**changes).stored), "lzma")


def repacked(raw: dict[str, bytes], name: str = "zstd", **sizes: int) -> bytes:
    """An artifact of these sections, some of which lie about their sizes."""
    parts = {key: (sizes.get(key, len(part)), compress(name, part)) for key, part in raw.items()}
    return artifact_of(name, parts)


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("declared", ["small", "true"])
def test_no_more_is_unpacked_than_was_declared_and_can_be(name, declared):
    raw = raw_sections()
    size = 1 << 25 if declared == "true" else len(raw["float32"])
    content = repacked(raw | {"float32": bytes(1 << 25)}, name, float32=size)
    tracemalloc.start()
    message = (
        "not one .* stream of" if declared == "small" else "section float32 has 33554432 bytes"
    )
    with pytest.raises(StageError, match=rf"^model\.bin: .*({message}|cannot be decompressed)"):
        decode(content, "model.bin")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda index: index["config"].update(width=1 << 20),
            "width: 1048576; expected 1 to 65536",
        ),
        (
            lambda index: index["config"].update(loops=10**9),
            "loops: 1000000000; expected 0 to 128",
        ),
        (lambda index: index["config"].update(width=64), "its model has shape"),
        (lambda index: index["config"].pop("heads"), "no `heads`"),
        (lambda index: index["tensors"].append(index["tensors"][0]), "a tensor twice"),
        (lambda index: index["tensors"].pop(), "missing; its model has shape"),
        (lambda index: index["tensors"][0].__setitem__(1, "int9"), "expected int6 or int8"),
        (lambda index: index.update(tensors=None), "tensors: None; expected a list"),
        (lambda index: index.update(other=1), "unknown key 'other'"),
        (lambda index: index.update(columns=["x"]), "columns of x; expected integers, once"),
        (lambda index: index.update(columns=["smear_logit"]), "columns of smear_logit"),
        (lambda index: index.update(columns=["token_embedding"] * 2), "columns of token_embedd"),
        (lambda index: index.update(columns=["token_embedding"]), "section scale has .* bytes"),
    ],
)
def test_an_index_that_is_no_models_is_named(change, message):
    raw = raw_sections()
    index = json.loads(raw["index"])
    change(index)
    raw["index"] = json.dumps(index).encode()
    with pytest.raises(StageError, match=rf"^model\.bin: .*{message}"):
        decode(repacked(raw), "model.bin")


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("scale", np.float16(np.nan), "section scale: values from nan"),
        ("scale", np.float16(-1), "section scale: values from -1.0 .* expected 0"),
        ("float32", np.float32(np.inf), "section float32: values from .* to inf"),
        ("float16", np.float16(np.nan), "section float16: values from nan"),
        ("int8", np.int8(-128), "section int8: values from -128"),
        ("int6", np.uint8(255), "section int6: a class above 14"),
    ],
)
def test_values_that_no_model_has_are_named(section, value, message):
    raw = raw_sections(fp16_below=100)
    part, item = bytearray(raw[section]), np.asarray(value).tobytes()
    planes = len(part) // len(item)
    for plane, byte in enumerate(item):
        part[plane * planes + 3] = byte
    raw[section] = bytes(part)
    with pytest.raises(StageError, match=rf"^model\.bin: {message}"):
        decode(repacked(raw), "model.bin")


def test_nothing_may_stand_behind_the_last_section():
    content = packed(tiny_quantized().stored)
    for rest in (content[40:] + b"\0", content[40:-1]):
        with pytest.raises(StageError, match="bytes behind the header; its sections have"):
            decode(resealed(rest), "model.bin")


@pytest.mark.parametrize("name", CODERS)
def test_an_artifact_of_a_version_is_none_of_another(name: str) -> None:
    content = packed(tiny_quantized().stored, name)
    first = (FILES / f"artifact.v1.{name}.bin").read_bytes()
    for one, other in ((content, 1), (first, 2)):
        decode(one, "model.bin")
        with pytest.raises(StageError, match="SHA-256"):
            decode(one[:7] + bytes([other]) + one[8:], "model.bin")


def test_the_choice_of_coder_changes_no_score():
    stored = tiny_quantized().stored
    tokens = torch.from_numpy(random_tokens(CONTEXT).astype(np.int64))[None]
    logits = [build_model(decode(packed(stored, name), "x"))(tokens) for name in CODERS]
    assert all(torch.equal(logits[0], other) for other in logits[1:])


@pytest.mark.parametrize("change", [b"\1\0\0\0", b"\0\0\0\0", b"\0"])
def test_an_ans_code_with_other_words_behind_it_is_refused(change):
    parts = artifact_parts(packed(tiny_quantized().stored, "ans"))
    size, code = parts["int6"]
    with pytest.raises(StageError, match=r"^model\.bin: section int6: "):
        decode(artifact_of("ans", parts | {"int6": (size, code + change)}), "model.bin")


def test_an_ans_section_of_another_size_is_refused():
    parts = artifact_parts(packed(tiny_quantized().stored, "ans"))
    size, code = parts["int6"]
    with pytest.raises(StageError, match=r"section int6 has .* bytes; its .* values take"):
        decode(artifact_of("ans", parts | {"int6": (size + 1, code)}), "model.bin")
