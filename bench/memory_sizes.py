"""Bits per byte over the bytes of memory, with the network and without.

    python bench/memory_sizes.py                                 # reads a finished run
    python bench/memory_sizes.py --row exact15_bayes_memory --figure /tmp/memory_sizes.png

A memory is the last of the training text, 1/16 of its tokens, 1/8, … all; none is the same rule
without one. For each, the text is counted behind it and mixed as the row says: once with the
scores of the run's first seed, once with the uniform distribution in their place. Prints a
Markdown table: tokens, bytes of the packed memory, both scores.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.start import run

from finished import proven_row

from fairway.corpus.manifest import Manifest
from fairway.corpus.shards import read_shard
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import count_targets
from fairway.counting.memories import pack_memory
from fairway.counting.memory_text import last_tokens
from fairway.counting.settings import CacheSettings
from fairway.progress import Progress
from fairway.rows.gate import row_gate
from fairway.rows.mixing import RankShard
from fairway.rows.settings import RowOfAnyJob
from fairway.rows.sums import bits_per_byte
from fairway.rows.sweeping import sums_by_part
from fairway.scoring.scores import Scores
from fairway.stage import StageError

SHARES = (0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the training text
COLUMNS = ("tokens", "bytes", "with the network", "without")


def row_of(results: Path, row: str) -> tuple[RowOfAnyJob, int]:
    """Settings of a finished run's row, and the run's first seed."""
    settings, seed = proven_row(results, row)
    if settings["cache_settings"] is None or settings["cache_settings"]["memory"] is None:
        raise StageError(f"row {row}: its cache has no memory; expected one that has")
    if settings["model"] is None:
        raise StageError(f"row {row}: it has no model; expected one with a network")
    return settings, seed


def scores_of(results: Path, row: RowOfAnyJob, seed: int) -> Scores:
    """Nats of the whole validation text by the row's model."""
    folder = results / "models" / row["model"] / f"seed{seed}" / "scores"
    parts = [Scores.load(folder / f"rank{rank}.npz") for rank in range(row["ranks"])]
    nll, entropy = (np.concatenate([getattr(part, key) for part in parts]) for key in
                    ("nll", "entropy"))  # fmt: skip
    return Scores(1, nll, entropy, parts[0].artifact_sha256, parts[0].spec)


def line(
    row: RowOfAnyJob, manifest: Manifest, tokens: np.ndarray, memory: np.ndarray, scores: Scores
) -> dict[str, float]:
    """One memory: its size, and bits per byte behind it."""
    packed, cache = 0, row["cache_settings"] | {"memory": None}
    if len(memory):
        cache = row["cache_settings"]
        compressor = cache["memory_settings"]["compressor"]
        packed = len(
            pack_memory(memory, manifest.vocabulary, manifest.tokenizer.sha256, compressor)
        )
    targets, windows = len(tokens) - 1, row["windows"]
    plan = WindowPlan(targets, min(windows["length"], targets), min(windows["stride"], targets))
    settings = CacheSettings.from_settings(cache)
    counts = count_targets(tokens, plan, 1, targets, settings, memory=memory)
    found = [len(memory), packed]
    for base in (scores, Scores.uniform(1, targets, manifest.vocabulary)):
        gates, shards = [row_gate(row["gate"], cache, memory)], [RankShard("all", base, counts)]
        nats = sums_by_part(gates, shards, tokens, [1], 1, lambda count: None).item()
        found.append(bits_per_byte(nats, manifest.val.bytes))
    return dict(zip(COLUMNS, found, strict=True))


def draw(table: pd.DataFrame, path: Path) -> None:
    """Both scores over megabytes of memory."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for column, style in zip(COLUMNS[2:], ("o-", "s--"), strict=True):
        axes.plot(table["bytes"] / 1e6, table[column], style, label=column)
    axes.set_xlabel("memory, MB (10⁶ bytes) of the artifact")
    axes.set_ylabel("bits per byte")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--row", default="exact15_bayes_memory")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    row, seed = row_of(options.results, options.row)
    manifest = Manifest.load(options.results / "corpus" / "manifest.json")
    tokens = manifest.read_val(manifest.val_path)
    train = [read_shard(path) for path in manifest.train_shards()]
    scores, size = scores_of(options.results, row, seed), sum(map(len, train))
    progress, lines = Progress(len(SHARES), "memories"), []
    for share in SHARES:
        memory = last_tokens(train, round(share * size)) if share else np.zeros(0, np.uint16)
        lines.append(line(row, manifest, tokens, memory, scores))
        progress.update(1)
    progress.close()
    table = pd.DataFrame(lines)
    print("| tokens of memory | bytes | BPB with the network | without |\n|--:|--:|--:|--:|")
    for found in lines:
        known, packed, *scored = found.values()
        print(f"| {known:,} | {packed:,} | {' | '.join(f'{bpb:.4f}' for bpb in scored)} |")
    if options.figure:
        draw(table, options.figure)


if __name__ == "__main__":
    run(main)
