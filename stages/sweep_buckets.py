"""Score a hashed row with tables of many sizes: reported, normalised and exact.

    ./run results/sweeps/buckets.csv

    python stages/sweep_buckets.py --spec results/specs/sweep_buckets.*.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin \\
        --scores results/models/ebls/seed1337/scores/rank?.npz \\
        --table /tmp/buckets.csv --figure /tmp/buckets.png

Reads the scores of one seed, counts the validation text anew for every number of buckets, and
writes a line for each, and the picture. Not part of the default run.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fairway.audit.evidence import sample_targets
from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets
from fairway.gates.match import match_gate
from fairway.progress import Progress
from fairway.provenance import Recording
from fairway.scoring.scores import Scores
from fairway.stage import StageError, atomic_output, read_spec, run
from fairway.tables.sweep import Text, exact_counterpart, sweep_line
from fairway.tables.sweep_figure import sweep_figure


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag in ("spec", "manifest", "val", "table", "figure"):
        parser.add_argument(f"--{flag}", type=Path, required=True)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="rank 0, 1, …")
    parser.add_argument("--provenance", type=Path, help="output: what it read and wrote")
    return parser.parse_args()


def load_text(options: argparse.Namespace, windows: dict[str, int]) -> Text:
    """The validation text and its scores, checked to cover it."""
    manifest = Manifest.load(options.manifest)
    shards = [Scores.load(path) for path in options.scores]
    nll, entropy = (
        np.concatenate([getattr(shard, name) for shard in shards]) for name in ("nll", "entropy")
    )
    if len(nll) != manifest.val.targets:
        raise StageError(f"--scores: {len(nll)} targets; the text has {manifest.val.targets}")
    plan = WindowPlan(manifest.val.targets, **windows)
    tokens = manifest.read_val(options.val)
    return Text(tokens, plan, manifest.vocabulary, nll, entropy, manifest.val.bytes)


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec)
    read = options.manifest, options.val, *options.scores
    recording = Recording(options.provenance, spec, read)
    settings = spec.settings
    sweep = settings["sweep"]
    text = load_text(options, settings["windows"])
    cache = replace(CacheSettings.from_settings(settings["cache_settings"]), prefill=True)
    gate = match_gate(settings["gate"], cache.max_order, hashed=True)
    generator = np.random.default_rng(sweep["seed"])
    targets = sample_targets(text.plan.targets, sweep["mass_targets"], generator)
    exact = count_targets(text.tokens, text.plan, 1, text.plan.targets, exact_counterpart(cache))
    orders = cache.max_order + 1 - cache.min_order
    progress = Progress(len(sweep["log2_buckets"]) * orders * text.plan.targets, "counted")
    lines = []
    for exponent in sorted(sweep["log2_buckets"]):
        sized = replace(cache, buckets=1 << exponent)
        lines.append(sweep_line(text, sized, gate, targets, exact, progress.update))
    progress.close()
    table = pd.DataFrame(lines)
    with atomic_output(options.table) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    with atomic_output(options.figure) as temporary:
        temporary.write_bytes(sweep_figure(table, f"{settings['row']}: {text.bytes:,} bytes"))
    recording.finish(options.table, options.figure)


if __name__ == "__main__":
    run(main)
