"""The artifact: a packed model in one file, and all that scoring knows of the model.

    8 bytes    magic, with the format's version
    32 bytes   SHA-256 of everything behind it
    4 bytes    length of the header, little-endian
    header     JSON: compressor, and [name, raw bytes, packed bytes] of every section
    sections   each compressed on its own

Section `index` is JSON: model config, tokenizer, and [name, kind, shape] of every tensor; the
others hold all values of one type. The int6 values go column by column, since rows have a scale
each but columns differ, and are laid out by fairway.artifact.int6. Everything else goes as planes,
all first bytes, all second bytes, …, since the high bytes of floats compress and the low ones do
not.

The bytes are a function of the tensors alone: no times, no hashes of settings.
"""

import hashlib
import json
import lzma
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard
from torch import Tensor

from fairway.artifact.int6 import join_int6, split_int6
from fairway.artifact.storage import FLOAT16, FLOAT32, INT6, INT8, RowIntegers, StoredModel
from fairway.model.architecture import ModelConfig
from fairway.model.network import Model
from fairway.stage import StageError, require_file

MAGIC = b"FAIRWAY\x01"
ZSTD_LEVEL = 22
_START = len(MAGIC) + 32
_SCALE = "scale"
_DTYPES = {INT6: "|i1", INT8: "|i1", _SCALE: "<f2", FLOAT16: "<f2", FLOAT32: "<f4"}
_MINIMUM_DICTIONARY = 4096  # of LZMA

Compress = Callable[[bytes], bytes]


def compressor(name: str) -> Compress:
    """The compressing function called `lzma` (preset 9 | EXTREME) or `zstd` (level 22)."""
    return {"lzma": _lzma_compress, "zstd": zstandard.ZstdCompressor(ZSTD_LEVEL).compress}[name]


def encode(stored: StoredModel, name: str, compress: Compress) -> bytes:
    """The artifact of a model. compress: compressor(name), or a wrapper that remembers."""
    packed = {key: (len(raw), compress(raw)) for key, raw in sections(stored).items()}
    entries = [[key, size, len(part)] for key, (size, part) in packed.items()]
    header = json.dumps({"compressor": name, "sections": entries}, separators=(",", ":")).encode()
    payload = b"".join(part for _, part in packed.values())
    rest = struct.pack("<I", len(header)) + header + payload
    return MAGIC + hashlib.sha256(rest).digest() + rest


def sections(stored: StoredModel) -> dict[str, bytes]:
    """The uncompressed sections, by name, in the order of the file."""
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in _DTYPES}
    tensors = []
    for name, tensor in stored.tensors.items():
        kind = stored.kinds[name]
        if isinstance(tensor, RowIntegers):
            integers = tensor.integers.numpy()
            tensors.append([name, kind, list(integers.shape)])
            arrays[kind].append(integers.ravel(order="F" if kind == INT6 else "C"))
            arrays[_SCALE].append(tensor.scale.numpy())
        else:
            tensors.append([name, kind, list(tensor.shape)])
            arrays[kind].append(tensor.numpy().ravel())
    index = {
        "config": stored.config,
        "tokenizer_sha256": stored.tokenizer_sha256,
        "tensors": tensors,
    }
    result = {"index": json.dumps(index, separators=(",", ":")).encode()}
    for name, parts in arrays.items():
        values = np.concatenate([np.zeros(0, _DTYPES[name]), *parts]).astype(_DTYPES[name])
        result[name] = split_int6(values) if name == INT6 else _planes(values)
    return result


def decode(content: bytes, name: object) -> StoredModel:
    """The model in an artifact's bytes, bit-identical; `name` is for the error.

    Raises StageError if the bytes are not an artifact, are cut short or are damaged.
    """
    if content[: len(MAGIC)] != MAGIC:
        found = content[: len(MAGIC)].hex() or "nothing"
        raise StageError(f"{name}: starts with {found}; an artifact starts with {MAGIC.hex()}")
    if hashlib.sha256(content[_START:]).digest() != content[len(MAGIC) : _START]:
        raise StageError(
            f"{name}: {len(content)} bytes do not have the SHA-256 they should; "
            "damaged or cut short, pack again"
        )
    header, position = _header(content)
    raw = {}
    for key, size, packed in header["sections"]:
        part = content[position : position + packed]
        raw[key] = _decompress(header["compressor"], part, size)
        position += packed
    return _join(raw)


def section_sizes(content: bytes) -> dict[str, dict[str, int]]:
    """Bytes of each section of an artifact, `raw` and `packed`."""
    entries = _header(content)[0]["sections"]
    return {name: {"raw": raw, "packed": packed} for name, raw, packed in entries}


def _header(content: bytes) -> tuple[dict[str, Any], int]:
    """The header, and where the sections start."""
    (length,) = struct.unpack_from("<I", content, _START)
    stop = _START + 4 + length
    return json.loads(content[_START + 4 : stop]), stop


def read_artifact(path: Path) -> StoredModel:
    """Unpack an artifact file; raises StageError naming it if it is missing or damaged."""
    return decode(require_file(path).read_bytes(), path)


def build_model(stored: StoredModel) -> Model:
    """The model ready for scoring: dequantised to float32, in eval mode, on the CPU."""
    model = Model(ModelConfig.from_dict(stored.config))
    model.load_state_dict(stored.state())
    return model.eval().requires_grad_(False)


def load_model(path: Path) -> Model:
    """The model of an artifact file, ready for scoring."""
    return build_model(read_artifact(path))


def _lzma_filters(size: int) -> list[dict[str, int]]:
    # The preset's 64 MiB dictionary is cut to the data's size: the same bytes with less memory.
    # Literal and position contexts are off: there is no structure for them to see.
    preset = {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    }
    return [preset | {"dict_size": min(1 << 26, max(_MINIMUM_DICTIONARY, size))}]


def _lzma_compress(raw: bytes) -> bytes:
    return lzma.compress(raw, lzma.FORMAT_RAW, filters=_lzma_filters(len(raw)))


def _decompress(name: str, packed: bytes, size: int) -> bytes:
    if name == "lzma":
        return lzma.decompress(packed, lzma.FORMAT_RAW, filters=_lzma_filters(size))
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)


def _planes(values: np.ndarray) -> bytes:
    return values.view(np.uint8).reshape(len(values), -1).T.tobytes() if len(values) else b""


def _join_planes(raw: bytes, dtype: str) -> np.ndarray:
    planes = np.frombuffer(raw, np.uint8).reshape(np.dtype(dtype).itemsize, -1)
    return np.ascontiguousarray(planes.T).view(dtype).ravel()


def _join(raw: dict[str, bytes]) -> StoredModel:
    """The model whose `sections` these are."""
    index = json.loads(raw.pop("index"))
    int6 = sum(math.prod(shape) for _, kind, shape in index["tensors"] if kind == INT6)
    values = {
        name: join_int6(part, int6) if name == INT6 else _join_planes(part, _DTYPES[name])
        for name, part in raw.items()
    }
    positions = dict.fromkeys(values, 0)

    def take(section: str, shape: list[int], order: str = "C") -> Tensor:
        start = positions[section]
        positions[section] += math.prod(shape)
        part = values[section][start : positions[section]].reshape(shape, order=order)
        return torch.from_numpy(np.array(part, order="C"))

    tensors: dict[str, RowIntegers | Tensor] = {}
    for name, kind, shape in index["tensors"]:
        if kind in (INT6, INT8):
            integers = take(kind, shape, "F" if kind == INT6 else "C")
            tensors[name] = RowIntegers(integers, take(_SCALE, shape[:1]))
        else:
            tensors[name] = take(kind, shape)
    kinds = {name: kind for name, kind, _ in index["tensors"]}
    config: dict[str, Any] = index["config"]
    return StoredModel(config, index["tokenizer_sha256"], kinds, tensors)
