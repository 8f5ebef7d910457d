"""Make golden files of the formats in docs/format.md, and beside each what is in it.

    python tests/golden/make_files.py shard.v1.bin
    python tests/golden/make_files.py --missing

A file is made once, by the writer of the day, from content that is made up here; what is there
already is left alone, since it is to be read for ever (tests/golden/test_format_files.py). A new
version of a format gets a new name. The content is written down by json or numpy, not by what
reads the format.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stages"))

from fairway.artifact.container import encode
from fairway.artifact.kinds import storage_kinds
from fairway.artifact.storage import RowIntegers, StoredModel
from fairway.codec.file import Codec
from fairway.codec.prediction import Uniform
from fairway.corpus.shards import write_shard
from fairway.counting.counts import MatchCounts
from fairway.counting.memories import pack_memory
from fairway.counting.order_counts import OrderCountsWriter
from fairway.model.architecture import ModelConfig
from fairway.model.shapes import state_shapes
from fairway.scoring.scores import Scores
from fairway.stage import sha256_of

FOLDER = Path(__file__).resolve().parent / "files"
VOCABULARY = 258
TOKENIZER_SHA256 = "0123456789abcdef" * 4
EXACT_ROW = {
    "row": "golden",
    "windows": {"length": 8, "stride": 4},
    "vocabulary": VOCABULARY,
    "gate": {"kind": "fixed", "alpha": 0.5},
    "cache_settings": {
        **{"kind": "exact", "max_order": 4, "min_order": 2, "buckets": None, "min_count": 1},
        **{"prefill": True, "update": "token", "cross_documents": True, "output": "match"},
        "memory": None,
    },
}
MODEL = {
    **{"vocabulary": 20, "width": 16, "heads": 2, "kv_heads": 1, "mlp_width": 24, "rope_dims": 4},
    **{"rope_base": 10000.0, "rope_train_length": 32, "rope_context": 32, "bigram_rows": 24},
    **{"bigram_width": 4, "value_embedding_width": 4, "value_embedding_layers": (1,)},
    **{"logit_cap": 30.0, "unique_blocks": 1, "shared_blocks": 1, "loops": 2, "lora_rank": 2},
    **{"lora_matrices": ("q", "down"), "gamma_init": -2.0, "gamma_penalty": 0.01},
}
Content = dict[str, Any]


class ByteText:
    """Tokens as a text without a tokenizer: BOS is nothing, id 2 + b the byte b."""

    def decode(self, tokens: np.ndarray) -> bytes:
        return bytes(int(token) - 2 for token in tokens if token > 1)


def noise(count: int, value: int) -> list[int]:
    """Whole numbers below 2²⁴ that look drawn, the same in every version of everything."""
    found = []
    for _ in range(count):
        value = value * 1_664_525 + 1_013_904_223 & 0xFFFFFFFF
        found.append(value >> 8)
    return found


def tokens(count: int) -> list[int]:
    """A text of documents of 50 tokens, each second one words, the others noise."""
    words, found = b"the cat sat on the mat and the dog on the log ", []
    for i, drawn in enumerate(noise(count, 1)):
        letter = words[i % len(words)] if i // 50 % 2 else drawn >> 16
        found.append(1 if i % 50 == 0 else 2 + letter)
    return [*found[:-1], VOCABULARY - 1]


def artifact(path: Path) -> Content:
    """All kinds of tensors; integers with rows and columns of zeros, the largest, rows alike.

    In files called `columns` every other matrix of integers has scales of its columns too.
    """
    config = ModelConfig(**MODEL)
    shapes = state_shapes(config)
    kinds, values, tensors = storage_kinds(shapes, 90), {}, {}
    for place, (name, shape) in enumerate(shapes.items()):
        drawn = np.reshape(noise(math.prod(shape), place), shape)
        if (limit := {"int6": 31, "int8": 127}.get(kinds[name])) is None:
            floats = np.asarray((drawn - 2**23) / 2**22, kinds[name])
            values[name], tensors[name] = [floats.tolist()], torch.from_numpy(floats)
            continue
        integers = (drawn % (2 * limit + 1) - limit) >> np.arange(shape[1]) % 5
        integers[0], integers[:, 1], integers[2, 2], integers[3, 3] = 0, 0, limit, -limit
        for row in range(6, shape[0]):
            integers[row] = integers[row - 2 - place % 2]
            integers[row, row % shape[1]] = 1
        scale = (1 + np.arange(shape[0]) % 7).astype(np.float16) / 512
        scale = scale if place % 3 else np.exp2(np.arange(shape[0]) % 5 / 2 - 6).astype(np.float16)
        values[name] = [integers.tolist(), scale.tolist()]
        scales = [scale]
        if path.name.startswith("columns.") and place % 2:
            scales.append((1 + np.arange(shape[1]) % 5).astype(np.float16) / 4)
            values[name].append(scales[1].tolist())
        tensors[name] = RowIntegers(*map(torch.from_numpy, (integers.astype(np.int8), *scales)))
    stored = StoredModel(config.to_dict(), TOKENIZER_SHA256, kinds, tensors)
    path.write_bytes(encode(stored, path.name.split(".")[2]))
    return {
        "config": MODEL,
        "tokenizer_sha256": TOKENIZER_SHA256,
        "tensors": [[name, kinds[name], shape, *values[name]] for name, shape in shapes.items()],
    }


def shard(path: Path) -> Content:
    content = {"vocabulary": VOCABULARY, "tokens": tokens(300)}
    write_shard(path, np.array(content["tokens"], np.uint16))
    return content


def memory(path: Path) -> Content:
    text, compressor = tokens(300), path.name.split(".")[2]
    packed = pack_memory(np.array(text, np.uint16), VOCABULARY, TOKENIZER_SHA256, compressor)
    path.write_bytes(packed)
    return {"vocabulary": VOCABULARY, "tokenizer_sha256": TOKENIZER_SHA256, "tokens": text}


def fwtx(path: Path) -> Content:
    codec = Codec(Uniform(VOCABULARY), ByteText(), EXACT_ROW)
    content = {"row": EXACT_ROW, "tokens": tokens(300)}
    path.write_bytes(codec.compress(np.array(content["tokens"], np.uint16)))
    return content


def scores(path: Path) -> Content:
    nll = [i / 16 for i in range(100)]
    content = {
        "first_target": 4_000_000_001,
        "nll": nll,
        "entropy": nll[::-1],
        "artifact_sha256": "ab" * 32,
        "spec": "cd" * 32,
    }
    arrays = {key: np.array(content[key], np.float32) for key in ("nll", "entropy")}
    Scores(**(content | arrays)).save(path)
    return content


def match_counts(path: Path) -> Content:
    order = [(0, 2, 3, 7)[i % 4] for i in range(100)]
    total = [(0, 1 + i, 70_000 * i, 2**32 - 1)[i % 4] for i in range(100)]
    hits = [(0, i, 40_000 * i, 2**31)[i % 4] for i in range(100)]
    content = {"first_target": 101, "order": order, "hits": hits, "total": total, "spec": ""}
    content["order"][2] = content["hits"][2] = content["total"][2] = 0
    kinds = {"order": np.uint8, "hits": np.uint32, "total": np.uint32}
    arrays = {key: np.array(content[key], kind) for key, kind in kinds.items()}
    MatchCounts(**(content | arrays)).save(path)
    return content


def order_counts(path: Path) -> Content:
    """Two chunks; records: [target from 0, order, total, hits, distinct], all others are 0."""
    targets, orders = 8200, (2, 3, 4, 5)
    largest = [3, 10, 11, 255, 256, 70_000, 20_000_000, 2**32 - 1]
    records = []
    for place, target in enumerate([*range(64), *range(8180, 8200)]):
        total = largest[place % len(largest)]
        for order in orders[: 1 + place % 4]:
            hits = (0, total // 2, total)[place % 3]
            others = min(total - hits, 1 + 300 * (place % 2)) if hits < total else 0
            records.append([target, order, total, hits, (hits > 0) + others])
            total = max(1, total - 2)
    content = {"first_target": 1, "targets": targets, "min_order": 2, "records": records}
    writer = OrderCountsWriter(1, targets, 2)
    for order in orders:
        cells = np.zeros((targets, 4), np.uint32)
        for target, of, total, hits, distinct in records:
            if of == order:
                cells[target] = order, hits, total, distinct
        writer.add(order, cells)
    highest = np.zeros(targets, np.uint8)
    for target, order, *_ in records:
        highest[target] = max(highest[target], order)
    writer.finish(highest).save(path)
    return content


MAKERS: dict[str, Callable[[Path], Content]] = {
    **{f"artifact.v2.{name}.bin": artifact for name in ("lzma", "zstd", "brotli", "ans")},
    **{f"columns.v2.{name}.bin": artifact for name in ("lzma", "ans")},
    "shard.v1.bin": shard,
    "memory.v1.lzma.bin": memory,
    "memory.v1.zstd.bin": memory,
    "memory.v1.brotli.bin": memory,
    "fwtx.v2.bin": fwtx,
    "scores.v1.npz": scores,
    "match_counts.v1.npz": match_counts,
    "order_counts.v1.npz": order_counts,
}


def content_of(name: str) -> Path:
    """The JSON file of what is in a golden file, one for all compressors: NAME.vN.json."""
    return FOLDER / ".".join([*name.split(".")[:2], "json"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a file's name, with its version")
    parser.add_argument("--missing", action="store_true", help="all that are not there yet")
    options = parser.parse_args()
    names = options.names or [name for name in MAKERS if not (FOLDER / name).exists()]
    if not options.names and not options.missing:
        parser.error("name a file, or --missing")
    for name in names:
        if name not in MAKERS:
            sys.exit(f"error: {name}: expected one of {', '.join(MAKERS)}")
        if (FOLDER / name).exists():
            sys.exit(f"error: {FOLDER / name}: is there already, and is to be read as it is")
    for name in names:
        text = json.dumps(MAKERS[name](FOLDER / name)) + "\n"
        beside = content_of(name)
        if beside.exists() and beside.read_text() != text:
            sys.exit(f"error: {beside}: other content; a new version takes a new name")
        new = [FOLDER / name] if beside.exists() else [FOLDER / name, beside]
        beside.write_text(text)
        with (FOLDER.parent / "SHA256SUMS").open("a") as sums:
            sums.writelines(f"{sha256_of(path)}  {path.name}\n" for path in new)
        print(f"{FOLDER / name}: {(FOLDER / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
