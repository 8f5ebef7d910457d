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
QUARTERS = np.cumprod([1.0, *[math.sqrt(math.sqrt(2))] * 3]).tolist()
Shape = tuple[int, ...]


def read(content: bytes) -> tuple[dict, dict[str, tuple]]:
    """The index, and of each tensor its values, or its integers and their scales."""
    assert content[:7] == b"FAIRWAY" and content[7] in (1, 2)
    checked = content[: 8 * (content[7] > 1)] + content[40:]  # version 1 left out its own number
    assert content[8:40] == hashlib.sha256(checked).digest()
    position, packed = 44 + int.from_bytes(content[40:44], "little"), {}
    coder = (header := json.loads(content[44:position]))["compressor"]
    for name, size, length in header["sections"]:
        packed[name] = content[position : position + length], size
        position += length
    index = json.loads(decompress("lzma" if coder == "ans" else coder, *packed["index"]))
    shapes: dict[str, list[Shape]] = {section: [] for section in TYPES}
    columns, sides = index.get("columns", []), {}
    for name, kind, shape in index["tensors"]:
        shapes[kind].append(tuple(shape))
        sides[name] = shape[: 1 + (name in columns)] if kind in LIMITS else []
        shapes["scale"] += [(size,) for size in sides[name]]
    unpack, tensors = ans_section if coder == "ans" else general_section, {}
    found = {key: iter(unpack(coder, content[7], key, *packed[key], shapes[key])) for key in TYPES}
    for name, kind, _ in index["tensors"]:
        tensors[name] = next(found[kind]), *(next(found["scale"]) for _ in sides[name])
    return index, tensors


def decompress(name: str, packed: bytes, size: int) -> bytes:
    if name == "zstd":
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    lzma2 = {"id": lzma.FILTER_LZMA2, "dict_size": min(1 << 26, max(1 << 12, size))}
    raw = {"format": lzma.FORMAT_RAW, "filters": [lzma2]}
    return brotli.decompress(packed) if name == "brotli" else lzma.decompress(packed, **raw)


def general_section(coder: str, _, section: str, packed: bytes, size: int, shapes: list) -> list:
    counts, order = [math.prod(shape) for shape in shapes], "F" if section == "int6" else "C"
    raw = np.frombuffer(decompress(coder, packed, size), np.uint8)
    values = int6_values(raw, sum(counts)) if section == "int6" else from_planes(section, raw)
    parts = zip(np.cumsum(counts, dtype=int), counts, shapes, strict=True)
    return [values[end - count : end].reshape(shape, order=order) for end, count, shape in parts]


def from_planes(section: str, planes: np.ndarray) -> np.ndarray:
    planes = planes.reshape(np.dtype(TYPES[section]).itemsize, -1)
    return planes.T.copy().view(TYPES[section]).reshape(-1)


def int6_values(raw: np.ndarray, count: int) -> np.ndarray:
    position = -(-count // 2)
    classes = (raw[:position, None] >> np.array([4, 0]) & 15).reshape(-1)[:count].astype(int) - 7
    starts, widths = np.array([0, 1, 2, 4, 6, 8, 12, 16]), np.array([0, 0, 1, 1, 1, 2, 2, 4])
    magnitudes = starts[abs(classes)]
    for width in (1, 2, 4):
        places = np.flatnonzero(widths[abs(classes)] == width)
        bits = np.unpackbits(raw[position:])[: len(places) * width].reshape(-1, width)
        magnitudes[places] += bits @ (1 << np.arange(width)[::-1])
        position += -(-len(places) * width // 8)
    return (np.sign(classes) * magnitudes).astype(np.int8)


def ans_section(_, version: int, section: str, packed: bytes, size: int, shapes: list) -> list:
    coder = constriction.stream.stack.AnsCoder(np.frombuffer(packed, "<u4").astype(np.uint32))
    first, share, models = (32, 4, {}) if version == 1 else (8, 8, {})

    def take(count: int, what: object, counts: object, mirror: object = None) -> np.ndarray:
        counts, seen = models.get(what, (np.array(counts, np.int64), 0))
        blocks = [np.zeros(0, np.int32)]
        while count:
            length, free = min(count, max(first, seen // share)), (1 << 24) - len(counts)
            shares = counts * free // counts.sum()
            shares[np.argmax(shares)] += free - shares.sum()
            model = constriction.stream.model.Categorical(shares.astype(float), perfect=False)
            blocks.append(coder.decode(model, length))
            new = 32 * np.bincount(blocks[-1], minlength=len(counts))
            counts = counts + (new if mirror is None else new + new[mirror])
            counts = (counts + 1) // 2 if counts.sum() > 1 << 34 else counts
            seen, count = seen + length, count - length
        models[what] = counts, seen
        return np.concatenate(blocks)

    unpack = ans_integers if section in LIMITS else ans_floats
    return [unpack(version, section, shape, take) for shape in shapes]


def numbers(take, count: int, what: str, size: int) -> np.ndarray:
    return sum(take(count, (what, i), [1] * 256).astype(int) << 8 * i for i in range(size)[::-1])


def ans_integers(version: int, section: str, shape: Shape, take) -> np.ndarray:
    limit, values, refers = LIMITS[section], np.zeros(shape, np.int16), np.zeros(shape[0], int)
    if version > 1 and take(1, "refers", [1, 1])[0]:
        refers = numbers(take, shape[0], "reference", -(-shape[0].bit_length() // 8))
    rows, columns = (take(shape[i], ("class", i), [1] * 96 * version) for i in (0, 1))
    both, range_ = rows[:, None] + columns, np.arange(-limit, limit + 1)
    contexts = np.maximum(both - 33, 0) // 2 + 1 if version == 1 else np.maximum(both - 65, 1)
    contexts[(rows == 0)[:, None] | (columns == 0)] = 0
    for context in np.unique(contexts[contexts > 0]).tolist():
        square = 24 * 2.0 ** ((context - 1) // 4 - 32) * QUARTERS[(context - 1) % 4]
        power = np.square(np.square(np.square(1 + range_**2 / square)))
        weights = (2.0**30 / power).astype(int) * (version > 1)
        counts, places = 1 + 32768 * weights // max(1, weights.sum()), contexts == context
        values[places] = take(places.sum(), context, counts, limit - range_) - limit
    for row in np.flatnonzero(refers):
        values[row] = (values[row] + values[refers[row] - 1] + limit) % (2 * limit + 1) - limit
    return values.astype(np.int8)


def ans_floats(version: int, section: str, shape: Shape, take) -> np.ndarray:
    size, count = np.dtype(TYPES[section]).itemsize, math.prod(shape)
    if version > 1 and count and (few := take(1, "palette", [1] * 65)[0]):
        values = numbers(take, few, "value", size)
        values[0::2], values[1::2] = values[0::2].cumsum(), values[1::2].cumsum()
        which = take(count, object(), [1] * few) if few > 1 else np.zeros(count, int)
        return values.astype(f"<u{size}").view(TYPES[section])[which].reshape(shape)
    planes = np.zeros((size, count), np.uint8)
    if count:
        rows = shape[0] if len(shape) == size == 2 and shape[1] >= 16 * (version > 1) else 1
        means = take(rows, "mean", [1] * 64)
        for mean in np.unique(means):
            places = np.repeat(means == mean, count // rows)
            planes[-1, places] = take(places.sum(), ("top", mean), [1] * 256, np.arange(256) ^ 128)
        prior = [128 if version == 1 or size == 4 else 8] * 256
        planes[:-1] = [take(count, ("low", i), prior) for i in range(size - 1)]
    return from_planes(section, planes).reshape(shape)


if __name__ == "__main__":
    for name, parts in read(Path(sys.argv[1]).read_bytes())[1].items():
        print(name, *parts)
