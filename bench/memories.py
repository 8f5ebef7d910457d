"""What packs a training text best into a memory, and what it costs to unpack it.

    python bench/memories.py                       # reads results/corpus of a finished run
    pip install brotli pyppmd                      # those that are missing are named

Prints one Markdown table: bytes, bits per token, seconds to pack and to unpack, on one core.
Packed are the token ids, 16 bits each, or the text that they stand for, which the tokenizer then
has to turn into ids again. The last line is our own rule without a network, exact counts of 15
orders under the Bayes gate from the uniform distribution on: its length, not a file; unpacking
needs the whole distribution at every token, timed on some.
"""

import argparse
import importlib
import lzma
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.start import run

from fairway.corpus.exact_text import ExactText
from fairway.corpus.manifest import Manifest
from fairway.corpus.shards import read_shard
from fairway.corpus.tokenizer import load_tokenizer
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets
from fairway.gates.bayes import BayesGate, TargetCounts

ORDER, PPMD_MEMORY = 16, 256 << 20
TIMED = 200  # tokens at which our own rule is asked for the whole distribution

Packer = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]


def lzma_packer(lc: int, lp: int, pb: int) -> Packer:
    """LZMA2 at its strongest, by how many bits of place and of the byte before it looks at."""
    preset = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    filters = [preset | {"lc": lc, "lp": lp, "pb": pb, "dict_size": 1 << 26}]
    return (
        lambda raw: lzma.compress(raw, lzma.FORMAT_RAW, filters=filters),
        lambda packed: lzma.decompress(packed, lzma.FORMAT_RAW, filters=filters),
    )


def zstd_packer() -> Packer:
    """zstd 22 with a window over all of it."""
    parameters = zstandard.ZstdCompressionParameters.from_level(22, window_log=27)
    return (
        zstandard.ZstdCompressor(compression_params=parameters).compress,
        zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress,
    )


def optional_packers(size: int) -> Iterator[tuple[str, Packer]]:
    """Packers of packages that may be missing."""
    for name in ("brotli", "pyppmd"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            print(f"{name}: not installed", file=sys.stderr)
            continue
        if name == "brotli":
            pack = lambda raw, m=module: m.compress(raw, quality=11, lgwin=24)  # noqa: E731
            yield "brotli 11", (pack, module.decompress)
        else:

            def encode(raw: bytes, m=module) -> bytes:
                encoder = m.Ppmd7Encoder(ORDER, PPMD_MEMORY)
                return encoder.encode(raw) + encoder.flush()

            def decode(packed: bytes, m=module) -> bytes:
                return m.Ppmd7Decoder(ORDER, PPMD_MEMORY).decode(packed, size)

            yield f"PPMd7 order {ORDER}", (encode, decode)


def packed_line(name: str, raw: bytes, packer: Packer, tokens: int) -> list[str]:
    """One packer's line; what it packs must come back."""
    start = time.perf_counter()
    packed = packer[0](raw)
    middle = time.perf_counter()
    if packer[1](packed) != raw:
        raise RuntimeError(f"{name}: what it unpacked is not what was packed")
    return cells(name, len(packed), tokens, middle - start, time.perf_counter() - middle)


def cells(name: str, size: float, tokens: int, pack: float, unpack: float) -> list[str]:
    """The cells of a line."""
    return [name, f"{size:,.0f}", f"{8 * size / tokens:.3f}", f"{pack:.1f}", f"{unpack:,.1f}"]


def own_line(tokens: np.ndarray, vocabulary: int) -> list[str]:
    """Our own rule without a network."""
    start = time.perf_counter()
    targets = len(tokens) - 1
    settings = CacheSettings(kind="exact", max_order=15, output="orders", update="token")
    plan = WindowPlan(targets, min(256, targets), min(64, targets))
    counts = count_targets(tokens, plan, 1, targets, settings)
    gate, nats = BayesGate(settings.min_order, settings.max_order), 0.0
    state, uniform = gate.start(), np.full(1 << 14, math.log(vocabulary), dtype=np.float32)
    for first, *rows in counts.chunks():
        part = tokens[first : first + len(rows[0])]
        model = uniform[: len(part)]
        nats += float(gate.nats(state, part, model, model, TargetCounts(*rows)).sum())
    middle = time.perf_counter()
    hits = np.zeros((settings.orders, vocabulary), dtype=np.uint32)
    last = TargetCounts(rows[0][-1], hits, rows[2][-1])
    for _ in range(TIMED):
        gate.full_distribution(state, np.full(vocabulary, 1 / vocabulary), uniform[0], last)
    unpack = (time.perf_counter() - middle) / TIMED * targets
    size = nats / math.log(2) / 8
    return cells("exact counts, Bayes gate, no network", size, targets, middle - start, unpack)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    manifest = Manifest.load(parser.parse_args().results / "corpus" / "manifest.json")
    shards = [read_shard(path) for path in manifest.train_shards()]
    tokens = np.concatenate(shards)
    tokenizer = load_tokenizer(manifest.path_of(manifest.tokenizer.file), manifest.vocabulary)
    ids, text = tokens.tobytes(), ExactText(tokenizer).decode(tokens)
    packers = {f"LZMA lc {a} lp {b} pb {c}": lzma_packer(a, b, c) for a, b, c in
               ((3, 0, 2), (0, 1, 1), (3, 1, 1))}  # fmt: skip
    packers["zstd 22"] = zstd_packer()
    print("| | bytes | bits a token | pack, s | unpack, s |\n|---|--:|--:|--:|--:|")
    for what, raw in (("ids", ids), ("text", text)):
        for name, packer in (packers | dict(optional_packers(len(raw)))).items():
            found = packed_line(f"{name}, {what}", raw, packer, len(tokens))
            print(f"| {' | '.join(found)} |", flush=True)
    planes = np.frombuffer(ids, np.uint8).reshape(-1, 2).T.tobytes()
    found = packed_line("LZMA, ids in two planes", planes, lzma_packer(0, 0, 0), len(tokens))
    print(f"| {' | '.join(found)} |", flush=True)
    print(f"| {' | '.join(own_line(tokens, manifest.vocabulary))} |")
    print(f"\nTraining text of {len(tokens):,} tokens, {len(text):,} bytes.")


if __name__ == "__main__":
    run(main)
