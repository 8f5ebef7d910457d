"""Mix the model's scores with the n-gram counts of a row, for one seed.

    ./run results/rows/hashed15_adaptive/seed1337.json

    python stages/mix_scores.py --spec results/specs/mix_scores/hashed15_adaptive.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin \\
        --val-bytes results/corpus/val_bytes.npy --seed 1337 \\
        --scores results/models/ebls/seed1337/scores/rank?.npz \\
        --counts results/counts/hashed15/rank?.npz --sums /tmp/seed1337.json

Reads the rank shards in order, carries the gate's state from one to the next, and writes the
sums of nats and bytes by rank. A row without a cache takes no --counts.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway.corpus import Manifest
from fairway.counts import MatchCounts
from fairway.mixing import RankShard, mix_row, row_mixer
from fairway.order_counts import OrderCounts
from fairway.row_gate import Counts
from fairway.scores import Scores
from fairway.stage import StageError, read_spec, run


def load_counts(paths: list[Path], cache: dict[str, Any] | None) -> Iterator[Counts]:
    """The counts of rank 0, 1, …, one at a time; cache: its settings, None for a row without."""
    kind = OrderCounts if cache and cache["output"] == "orders" else MatchCounts
    return map(kind.load, paths)


def load_shards(
    scores: list[Path], counts: list[Path], cache: dict[str, Any] | None
) -> Iterator[RankShard]:
    """The scores and, for a row with a cache, the counts of rank 0, 1, …, one at a time."""
    loaded = load_counts(counts, cache) if cache else itertools.repeat(None, len(scores))
    for path, of_rank in zip(scores, loaded, strict=True):
        yield RankShard(str(path), Scores.load(path), of_rank)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--val-bytes", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="rank 0, 1, …")
    parser.add_argument("--counts", type=Path, nargs="*", default=[], help="rank 0, 1, …")
    parser.add_argument("--sums", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec)
    settings = spec.settings
    cache, ranks = settings["cache_settings"], settings["ranks"]
    for flag, given, wanted in (
        ("--scores", len(options.scores), ranks),
        ("--counts", len(options.counts), ranks if cache else 0),
    ):
        if given != wanted:
            raise StageError(f"{flag}: {given} files; row {settings['row']} takes {wanted}")
    manifest = Manifest.load(options.manifest)
    tokens = manifest.read_val(options.val)
    target_bytes = manifest.read_val_bytes(options.val_bytes)
    sums = mix_row(
        row_mixer(settings["gate"], cache, tokens),
        load_shards(options.scores, options.counts, cache),
        target_bytes,
        settings["row"],
        options.seed,
        spec.sha256,
    )
    sums.save(options.sums)


if __name__ == "__main__":
    run(main)
