"""A second reader of artifacts, from docs/format.md alone: numpy and the coders' libraries.

python tests/golden/second_reader.py results/models/ebls/seed1337/artifact.bin
"""

import hashlib
import json
import lzma
import math
import sys
from pathlib import Path

import brotli
import constriction
import numpy as np
import zstandard

TYPES = {"int6": "<i1", "int8": "<i1", "scale": "<f2", "float16": "<f2", "float32": "<f4"}
LIMITS = {"int6": 31, "int8": 127}
Shape = tuple[int, ...]


def read(content: bytes) -> tuple[dict, dict[str, tuple]]:
    """The index, and of each tensor its values, or its integers and their scales."""
    assert content[:8] == b"FAIRWAY\x01" and content[8:40] == hashlib.sha256(content[40:]).digest()
    position = 44 + int.from_bytes(content[40:44], "little")
    header, packed = json.loads(content[44:position]), {}
    for name, size, length in header["sections"]:
        packed[name] = content[position : position + length], size
        position += length
    coder = header["compressor"]
    index = json.loads(decompress("lzma" if coder == "ans" else coder, *packed["index"]))
    shapes: dict[str, list[Shape]] = {section: [] for section in TYPES}
    for name, kind, shape in index["tensors"]:
        shapes[kind].append(tuple(shape))
        if kind in LIMITS:
            both = name in index.get("columns", [])
            shapes["scale"] += [(shape[0],), (shape[1],)] if both else [(shape[0],)]
    found, tensors = {}, {}
    for section in TYPES:
        if coder == "ans":
            found[section] = iter(ans_section(section, packed[section][0], shapes[section]))
        else:
            raw = decompress(coder, *packed[section])
            found[section] = iter(general_section(section, raw, shapes[section]))
    for name, kind, _ in index["tensors"]:
        scales = 0 if kind not in LIMITS else 1 + (name in index.get("columns", []))
        tensors[name] = next(found[kind]), *(next(found["scale"]) for _ in range(scales))
    return index, tensors


def decompress(name: str, packed: bytes, size: int) -> bytes:
    if name == "zstd":
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    if name == "brotli":
        return brotli.decompress(packed)
    lzma2 = {"id": lzma.FILTER_LZMA2, "dict_size": min(1 << 26, max(1 << 12, size))}
    return lzma.decompress(packed, lzma.FORMAT_RAW, filters=[lzma2])


def general_section(section: str, raw: bytes, shapes: list[Shape]) -> list[np.ndarray]:
    counts, order = [math.prod(shape) for shape in shapes], "F" if section == "int6" else "C"
    if section == "int6":
        values = int6_values(np.frombuffer(raw, np.uint8), sum(counts))
    else:
        planes = np.frombuffer(raw, np.uint8).reshape(np.dtype(TYPES[section]).itemsize, -1)
        values = planes.T.copy().view(TYPES[section]).reshape(-1)
    ends = np.cumsum(counts, dtype=int)
    parts = zip(ends - counts, ends, shapes, strict=True)
    return [values[start:end].reshape(shape, order=order) for start, end, shape in parts]


def int6_values(raw: np.ndarray, count: int) -> np.ndarray:
    position = -(-count // 2)
    halves = np.stack([raw[:position] >> 4, raw[:position] & 15], 1).reshape(-1)
    classes = halves[:count].astype(int) - 7
    starts, widths = np.array([0, 1, 2, 4, 6, 8, 12, 16]), np.array([0, 0, 1, 1, 1, 2, 2, 4])
    magnitudes = starts[abs(classes)]
    for width in (1, 2, 4):
        places = np.flatnonzero(widths[abs(classes)] == width)
        bits = np.unpackbits(raw[position:])[: len(places) * width].reshape(-1, width)
        magnitudes[places] += bits @ (1 << np.arange(width)[::-1])
        position += -(-len(places) * width // 8)
    return (np.sign(classes) * magnitudes).astype(np.int8)


def ans_section(section: str, packed: bytes, shapes: list[Shape]) -> list[np.ndarray]:
    coder = constriction.stream.stack.AnsCoder(np.frombuffer(packed, "<u4").astype(np.uint32))
    models: dict[tuple, Model] = {}

    def take(count: int, what: str, context: int, *new: object) -> np.ndarray:
        return models.setdefault((what, context), Model(*new)).take(coder, count)

    unpack = ans_integers if section in LIMITS else ans_floats
    return [unpack(section, shape, take) for shape in shapes]


class Model:
    """The counts of the symbols of one context."""

    def __init__(self, size: int, before: int = 1, mirror: np.ndarray | None = None) -> None:
        self.counts, self.mirror, self.seen = np.full(size, before, np.int64), mirror, 0

    def take(self, coder: constriction.stream.stack.AnsCoder, count: int) -> np.ndarray:
        blocks = [np.zeros(0, np.int32)]
        while count:
            length = min(count, max(32, self.seen // 4))
            free = (1 << 24) - len(self.counts)
            shares = self.counts * free // self.counts.sum()
            shares[np.argmax(shares)] += free - shares.sum()
            model = constriction.stream.model.Categorical(shares.astype(float), perfect=False)
            blocks.append(coder.decode(model, length))
            new = 32 * np.bincount(blocks[-1], minlength=len(self.counts))
            self.counts += new if self.mirror is None else new + new[self.mirror]
            if self.counts.sum() > 1 << 34:
                self.counts = (self.counts + 1) // 2
            self.seen, count = self.seen + length, count - length
        return np.concatenate(blocks)


def ans_integers(section: str, shape: Shape, take) -> np.ndarray:
    limit, values = LIMITS[section], np.zeros(shape, np.int16)
    rows, columns = take(shape[0], "row", 0, 96), take(shape[1], "column", 0, 96)
    contexts = np.maximum(rows[:, None] + columns - 33, 0) // 2 + 1
    contexts[(rows == 0)[:, None] | (columns == 0)] = 0
    mirror = np.arange(2 * limit, -1, -1)
    for context in np.unique(contexts[contexts > 0]).tolist():
        places = contexts == context
        values[places] = take(places.sum(), "integer", context, 2 * limit + 1, 1, mirror)
    values[contexts > 0] -= limit
    return values.astype(np.int8)


def ans_floats(section: str, shape: Shape, take) -> np.ndarray:
    dtype, count = np.dtype(TYPES[section]), math.prod(shape)
    planes = np.zeros((dtype.itemsize, count), np.uint8)
    if count:
        means = take(shape[0] if len(shape) == dtype.itemsize == 2 else 1, "mean", 0, 64)
        of_value = np.repeat(means, count // len(means))
        for mean in np.unique(means).tolist():
            places = of_value == mean
            planes[-1, places] = take(places.sum(), "top", mean, 256, 1, np.arange(256) ^ 128)
        for place in range(dtype.itemsize - 1):
            planes[place] = take(count, "low", place, 256, 128)
    return planes.T.copy().view(dtype).reshape(shape)


if __name__ == "__main__":
    for name, parts in read(Path(sys.argv[1]).read_bytes())[1].items():
        print(name, *parts)
