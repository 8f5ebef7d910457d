"""Files of every format and version, made once and kept: what they hold comes back for ever.

`make_files.py` says how each was made; what is in it stands beside it, as JSON.
"""

import hashlib
import json
import re
import struct
import zipfile
import zlib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from fairway.artifact import container
from fairway.artifact.coders.models import VERSIONS
from fairway.artifact.coders.named import CoderName
from fairway.artifact.container import encode, read_artifact
from fairway.artifact.kinds import Kind
from fairway.artifact.storage import RowIntegers
from fairway.codec import file as codec_file
from fairway.codec.file import Codec, Header, read_header
from fairway.codec.prediction import Uniform
from fairway.corpus import shards
from fairway.corpus.shards import read_shard
from fairway.counting import counts, memories, order_counts
from fairway.counting.counts import MatchCounts
from fairway.counting.memories import read_memory
from fairway.counting.order_counts import OrderCounts
from fairway.counting.settings import CacheSettings
from fairway.files import compression
from fairway.scoring import scores
from fairway.scoring.scores import Scores
from fairway.stage import sha256_of
from golden import second_reader
from golden.make_files import FOLDER, MAKERS, ByteText, content_of
from support.tiny_models import tiny_quantized

CODERS = get_args(CoderName)
PRESENT = {  # versions that are written today
    "artifact": container.MAGIC[-1],
    "shard": shards.VERSION,
    "memory": memories.MAGIC[-1],
    "fwtx": codec_file.FORMAT,
    "scores": scores.VERSION,
    "match_counts": counts.VERSION,
    "order_counts": order_counts.VERSION,
}


def golden(name: str) -> tuple[Path, dict]:
    """A golden file and what is in it."""
    return FOLDER / name, json.loads(content_of(name).read_text())


def test_every_version_that_is_written_has_a_golden_file():
    kept = {path.name for path in FOLDER.iterdir() if path.suffix != ".json"}
    for name, number in PRESENT.items():
        assert any(file.startswith(f"{name}.v{number}.") for file in kept), (name, number)
    assert kept >= MAKERS.keys()


def test_no_golden_file_is_ever_changed():
    """As `sha256sum -c ../SHA256SUMS` in their folder says."""
    lines = (FOLDER.parent / "SHA256SUMS").read_text().splitlines()
    found = [f"{sha256_of(path)}  {path.name}" for path in sorted(FOLDER.iterdir())]
    assert found == sorted(lines, key=lambda line: line[66:])


def assert_same(found: tuple, expected: list, kind: str) -> None:
    """Values, or integers and their scales, of exactly these types."""
    integers = (np.int8, np.float16, np.float16)[: len(expected)]
    types = integers if kind in ("int6", "int8") else (np.dtype(kind),)
    for part, values, dtype in zip(found, expected, types, strict=True):
        wanted = np.array(values, dtype)
        assert (part.dtype, part.shape) == (wanted.dtype, wanted.shape)
        assert part.tobytes() == wanted.tobytes()


ARTIFACTS = [
    *(f"artifact.v{version}.{name}.bin" for version in VERSIONS for name in CODERS),
    *(f"columns.v{version}.{name}.bin" for version in VERSIONS for name in ("lzma", "ans")),
]


@pytest.mark.parametrize("name", ARTIFACTS)
def test_artifact(name: str):
    path, content = golden(name)
    found = read_artifact(path)
    assert json.loads(json.dumps(found.config)) == content["config"]
    assert found.tokenizer_sha256 == content["tokenizer_sha256"]
    assert list(found.tensors) == [entry[0] for entry in content["tensors"]]
    assert {kind for _, kind, *_ in content["tensors"]} == set(get_args(Kind))
    for key, kind, _, *values in content["tensors"]:
        assert found.kinds[key] == kind
        assert_same(parts_of(found.tensors[key]), values, kind)


def parts_of(tensor: RowIntegers | torch.Tensor) -> tuple[np.ndarray, ...]:
    if isinstance(tensor, RowIntegers):
        return tensor.integers.numpy(), *(scale.numpy() for scale in tensor.scales())
    return (tensor.numpy(),)


def as_floats(values: np.ndarray, *scales: np.ndarray) -> bytes:
    """The float32 values that a tensor stands for, as the page has it."""
    result = values.astype(np.float32)
    for scale, shape in zip(scales, ((-1, 1), (1, -1)), strict=False):
        result = result * scale.astype(np.float32).reshape(shape)
    return result.tobytes()


@pytest.mark.parametrize("name", ARTIFACTS)
def test_a_second_reader_gives_the_same(name: str):
    path, content = golden(name)
    index, tensors = second_reader.read(path.read_bytes())
    assert index["config"] == content["config"]
    assert index["tensors"] == [entry[:3] for entry in content["tensors"]]
    matrices = read_artifact(path).state()
    for key, kind, _, *values in content["tensors"]:
        assert_same(tensors[key], values, kind)
        assert as_floats(*tensors[key]) == matrices[key].numpy().tobytes()


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("fp16_below", [0, 1 << 30])
def test_a_second_reader_gives_the_same_of_a_quantised_model(name: str, fp16_below: int):
    """With and without tensors of int8, every second matrix with scales of its columns."""
    stored = tiny_quantized(fp16_below=fp16_below).stored
    for key in [key for key, kind in stored.kinds.items() if kind.startswith("int")][::2]:
        tensor = stored.tensors[key]
        columns = torch.arange(tensor.integers.shape[1]).half() + 0.5
        stored.tensors[key] = replace(tensor, columns=columns)
    _, tensors = second_reader.read(encode(stored, name))
    matrices = stored.state()
    assert ("int8" in stored.kinds.values()) == (fp16_below == 0)
    assert tensors.keys() == stored.tensors.keys()
    for key, tensor in stored.tensors.items():
        for found, expected in zip(tensors[key], parts_of(tensor), strict=True):
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert found.tobytes() == expected.tobytes(), key
        assert as_floats(*tensors[key]) == matrices[key].numpy().tobytes()


def test_the_second_reader_knows_nothing_of_the_first():
    text = Path(second_reader.__file__).read_text()
    assert not re.search(r"(from|import) (fairway|support)", text)
    assert len(text.splitlines()) <= 150


def test_shard():
    path, content = golden("shard.v1.bin")
    assert read_shard(path, content["vocabulary"]).tolist() == content["tokens"]


@pytest.mark.parametrize("compressor", compression.COMPRESSORS)
def test_memory(compressor: str):
    path, content = golden(f"memory.v1.{compressor}.bin")
    found = read_memory(path)
    assert found.tokens.tolist() == content["tokens"]
    assert (found.vocabulary, found.tokenizer_sha256) == (
        content["vocabulary"],
        content["tokenizer_sha256"],
    )


def test_the_header_of_a_memory_is_as_the_page_says():
    path, content = golden("memory.v1.lzma.bin")
    magic, sum_, tokenizer, *numbers = struct.unpack_from("<8s32s32sIIB", path.read_bytes())
    assert magic == b"FWMEMRY\x01" and tokenizer.hex() == content["tokenizer_sha256"]
    assert sum_ == hashlib.sha256(path.read_bytes()[40:]).digest()
    assert numbers == [content["vocabulary"], len(content["tokens"]), 0]


def test_fwtx(tmp_path: Path):
    """The row's floats are products and quotients, so they are the same on any machine.

    A file is bound to the versions of the packages that made it: these 12 bytes, and the CRC that
    covers them, are made those at hand, as the page says. Nothing else is.
    """
    path, content = golden("fwtx.v2.bin")
    header, code = read_header(path.read_bytes(), path)
    expected = {"format": 2, "artifact": bytes(8), "memory": bytes(8), "targets": 299}
    assert {key: getattr(header, key) for key in expected} == expected
    assert header.text == zlib.crc32(ByteText().decode(np.array(content["tokens"])))
    here = b"".join(bytes(map(int, version(name).split(".")[:3])) for name in PACKAGES)
    rest = replace(header, versions=bytes(3) + here).pack() + code
    today = b"FWTX" + struct.pack("<I", zlib.crc32(rest)) + rest
    codec = Codec(Uniform(content["row"]["vocabulary"]), ByteText(), content["row"])
    assert codec.decompress(today, path).tolist() == content["tokens"]


PACKAGES = ("numpy", "numba", "constriction")


def test_the_header_of_a_fwtx_is_as_the_page_says():
    path, _ = golden("fwtx.v2.bin")
    raw = path.read_bytes()
    magic, checksum, number, *names, probe, text, targets = struct.unpack_from(
        "<4sIB8s8s8s12sIII", raw
    )
    assert magic == b"FWTX" and checksum == zlib.crc32(raw[8:])
    assert read_header(raw, path)[0] == Header(number, *names, probe, text, targets)


def test_scores():
    path, content = golden("scores.v1.npz")
    found = vars(Scores.load(path))
    for key, value in content.items():
        assert np.array_equal(found[key], value), key


def test_match_counts():
    path, content = golden("match_counts.v1.npz")
    cache = CacheSettings("exact", max_order=7, min_count=1)
    found = vars(MatchCounts.load(path, cache))
    for key, value in content.items():
        assert np.array_equal(found[key], value), key


def test_order_counts():
    path, content = golden("order_counts.v1.npz")
    cache = CacheSettings("exact", max_order=5, output="orders")
    found = OrderCounts.load(path, cache)
    assert (found.first_target, found.targets) == (content["first_target"], content["targets"])
    read = [
        [chunk.first_target + target - 1, order + 2, *map(int, (totals, hits, distinct))]
        for chunk in found.chunks()
        for target in range(len(chunk.totals))
        for order in range(chunk.totals.shape[1])
        if (totals := chunk.totals[target, order])
        for hits, distinct in [(chunk.hits[target, order], chunk.distinct[target, order])]
    ]
    assert read == content["records"]


def test_records_of_counts_are_as_the_page_says():
    """Read with nothing but docs/format.md."""
    path, content = golden("order_counts.v1.npz")
    with zipfile.ZipFile(path) as file:
        sizes = np.lib.format.read_array(file.open("sizes.npy"))
        payload = np.lib.format.read_array(file.open("payload.npy")).tobytes()
    small = [
        (total, hits, (hits > 0) + others)
        for total in range(1, 11)
        for hits in range(total + 1)
        for others in (range(1, total - hits + 1) if hits < total else [0])
    ]
    lengths = [
        (total, hits, distinct)
        for total in range(1, 5)
        for hits in range(total + 1)
        for distinct in range(1, min(total, 2) + 1)
    ]
    assert (len(small), len(lengths)) == (230, 26)
    found, at = [], 0
    for chunk in range(len(sizes)):
        count = min(8192, content["targets"] - 8192 * chunk)
        depths, at = payload[at : at + count], at + count
        for order, size in enumerate(sizes[chunk].tolist()):
            end = at + size
            for target in (i for i in range(count) if depths[i] > order):
                code, at = payload[at], at + 1
                if code < 230:
                    values = small[code]
                else:
                    values = []
                    for length in lengths[code - 230]:
                        values.append(int.from_bytes(payload[at : at + length], "little"))
                        at += length
                found.append([8192 * chunk + target, order + 2, *values])
            assert at == end
    assert at == len(payload) and sorted(found) == content["records"]
