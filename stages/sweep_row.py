"""Score a row with other numbers of its gate or cache, as the configuration's `sweeps` say.

    ./run results/sweeps/thresholds.csv

    python stages/sweep_row.py --spec results/specs/sweep_row/thresholds.*.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin \\
        --val-bytes results/corpus/val_bytes.npy \\
        --scores results/models/ebls/seed1337/scores/rank?.npz \\
        --model-audit results/models/ebls/seed1337/audit.npz \\
        --counts results/counts/exact15/rank?.npz --threads 2 --table /tmp/thresholds.csv \\
        --note /tmp/thresholds.md --picture /tmp/thresholds.svg --image /tmp/thresholds.png

Reads the scores of the row's first seed and the counts of every cache that the spec names, rank
after rank, and trains, scores and counts nothing itself. Writes a line for every setting, a note
about the best, which is fitted on the validation text, and the picture. Of hashed caches it asks
the tables for Z, at the audit's targets. Not part of the default run.
"""

from fairway.start import run

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairway.audit.evidence import ModelEvidence, audit_targets
from fairway.corpus.manifest import Manifest
from fairway.corpus.shards import BOS
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import distributions_at
from fairway.counting.memories import memory_tokens
from fairway.counting.settings import CacheSettings
from fairway.files.spec import read_spec
from fairway.gates.match_grid import masses
from fairway.progress import Progress
from fairway.provenance import Recording
from fairway.rows.gate import load_counts, row_gate
from fairway.rows.grid import Axis, Point, changed, points
from fairway.rows.mixing import RankShard, in_order, row_mixer
from fairway.rows.profiling import Profiler
from fairway.rows.sweeping import halves, sums_by_part
from fairway.scoring.scores import Scores
from fairway.stage import StageError, atomic_output, stage_parser
from fairway.tables.report.style import file_png, file_svg, styled
from fairway.tables.settings import SweptRow, require_sweep
from fairway.tables.statistics import Difference, bootstrap_documents
from fairway.tables.sweep import Swept, hashed_columns, note, noted, scores
from fairway.tables.sweep_figure import sweep_figure


def arguments() -> argparse.Namespace:
    parser = stage_parser(
        __doc__, "spec", "manifest", "val", "val-bytes", "table", "note", "picture", "image"
    )
    for flag in ("scores", "model-audit", "memory"):
        parser.add_argument(f"--{flag}", type=Path, nargs="*", default=[])
    parser.add_argument("--counts", type=Path, nargs="+", required=True, help="cache by cache")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


@dataclass(frozen=True)
class Inputs:
    """What all settings share. text: its tokens (targets + 1,); counts: their files, by cache."""

    settings: SweptRow
    manifest: Manifest
    text: np.ndarray
    scores: list[Scores]
    counts: dict[str, list[Path]]
    memory: np.ndarray
    threads: int

    @property
    def axes(self) -> list[Axis]:
        return [Axis(**axis) for axis in self.settings["axes"]]

    @property
    def own_cache(self) -> dict[str, Any]:
        """Settings of the row's cache."""
        named = {cache["name"]: cache["settings"] for cache in self.settings["caches"]}
        return named[self.settings["cache"]]

    @property
    def own_point(self) -> Point:
        """The row's own values."""
        own = {"gate": self.settings["gate"], "cache": self.own_cache}
        return tuple(own[axis.part][axis.key] for axis in self.axes)

    @property
    def plan(self) -> WindowPlan:
        return WindowPlan(self.manifest.val.targets, **self.settings["windows"])

    def shards(self, cache: dict[str, Any]) -> list[RankShard]:
        """Scores and counts of every rank with one cache of the spec."""
        counted = CacheSettings.from_settings(cache["settings"])
        files = self.counts[cache["name"]]
        found = (
            RankShard(str(path), of_rank, load_counts(path, counted))
            for path, of_rank in zip(files, self.scores, strict=True)
        )
        return list(in_order(found, self.manifest.val.targets))


def load_inputs(options: argparse.Namespace, settings: SweptRow) -> Inputs:
    """The inputs, checked to be as many as the spec's caches and ranks need."""
    manifest, ranks = Manifest.load(options.manifest), settings["ranks"]
    names = [cache["name"] for cache in settings["caches"]]
    trained = int(settings["model"] is not None)
    for flag, given, wanted in (
        ("--scores", len(options.scores), ranks * trained),
        ("--model-audit", len(options.model_audit), trained),
        ("--counts", len(options.counts), ranks * len(names)),
    ):
        if given != wanted:
            raise StageError(f"{flag}: {given} files; sweep {settings['sweep']} takes {wanted}")
    if options.threads < 1:
        raise StageError(f"--threads: {options.threads}; expected at least 1")
    plan = WindowPlan(manifest.val.targets, **settings["windows"])
    uniform = (
        Scores.uniform(*plan.rank_targets(rank, ranks), manifest.vocabulary)
        for rank in range(ranks)
    )
    identity = manifest.tokenizer.sha256, manifest.vocabulary
    return Inputs(
        settings,
        manifest,
        manifest.read_val(options.val),
        [Scores.load(path) for path in options.scores] if trained else list(uniform),
        {n: options.counts[i * ranks : (i + 1) * ranks] for i, n in enumerate(names)},
        memory_tokens(options.memory, settings["cache_settings"], *identity),
        options.threads,
    )


def score(
    inputs: Inputs,
    cache: dict[str, Any],
    gates: list[dict[str, Any]],
    starts: list[int],
    progress: Callable[[int], None],
) -> tuple[np.ndarray, list[RankShard]]:
    """Nats of settings of the gate with one cache (settings, parts), and that cache's shards.

    starts: the first target of each part of the text.
    """
    shards = inputs.shards(cache)
    found = [row_gate(gate, cache["settings"], inputs.memory) for gate in gates]
    return sums_by_part(found, shards, inputs.text, starts, inputs.threads, progress), shards


def worth(
    inputs: Inputs,
    cache: dict[str, Any],
    gates: list[dict[str, Any]],
    shards: list[RankShard],
    bpb: np.ndarray,
    model: ModelEvidence,
) -> dict[str, Any]:
    """Columns that settings with a hashed cache have beside their scores, bpb."""
    size = inputs.manifest.val.bytes
    exact = next(each for each in inputs.settings["caches"] if each["name"] == cache["exact"])
    nats, without = score(inputs, exact, gates, [1], lambda count: None)
    targets = model.targets
    found = distributions_at(
        *(inputs.text, inputs.plan, targets, CacheSettings.from_settings(cache["settings"])),
        *(inputs.manifest.vocabulary, inputs.settings["ranks"]),
        memory=inputs.memory,
    )
    entropy = np.concatenate([shard.scores.entropy for shard in shards])[targets - 1]
    rules = [row_gate(gate, cache["settings"]).gate for gate in gates]
    counts = found.orders, found.hits, found.totals
    mass = masses(rules, model.distributions, entropy, *counts, inputs.threads)
    order, true = (np.concatenate([s.counts.order for s in of]) for of in (shards, without))
    return hashed_columns(bpb, mass, scores(nats, [size])["bpb"], order, true, size)


def sweep(
    inputs: Inputs, grid: list[Point], starts: list[int], sizes: list[int], model: ModelEvidence
) -> pd.DataFrame:
    """What was found of every point of the grid, in its order. sizes: bytes of each part."""
    settings, axes, base = inputs.settings, inputs.axes, inputs.own_cache
    progress, found = Progress(len(grid), "settings"), []
    for cache in settings["caches"]:
        places = [
            place
            for place, point in enumerate(grid)
            if changed(base, "cache", axes, point) == cache["settings"]
        ]
        if not places:
            continue
        gates = [changed(settings["gate"], "gate", axes, grid[place]) for place in places]
        nats, shards = score(inputs, cache, gates, starts, progress.update)
        columns = scores(nats, sizes)
        if cache["exact"] is not None:
            columns |= worth(inputs, cache, gates, shards, columns["bpb"], model)
        found.append(pd.DataFrame(columns, index=places))
    progress.close()
    return pd.concat(found).sort_index()


def by_document(inputs: Inputs, point: Point, target_bytes: np.ndarray) -> Profiler:
    """The row mixed once more with a point's values; its profile has nats by document."""
    base, axes = inputs.settings, inputs.axes
    settings = changed(inputs.own_cache, "cache", axes, point)
    cache = next(each for each in base["caches"] if each["settings"] == settings)
    gate = row_gate(changed(base["gate"], "gate", axes, point), settings, inputs.memory)
    counted = CacheSettings.from_settings(settings)
    profiler = Profiler(gate, inputs.text, target_bytes, BOS, counted)
    mixer = row_mixer(profiler, inputs.text)
    for shard in inputs.shards(cache):
        for _ in mixer(shard.scores, shard.counts):
            pass
    return profiler


def gain_of(
    inputs: Inputs, best: Point, start: int, target_bytes: np.ndarray
) -> Difference | None:
    """The best point less the row's own, over documents that begin at `start` or behind it."""
    if best == inputs.own_point:
        return None
    found = [by_document(inputs, point, target_bytes) for point in (best, inputs.own_point)]
    rest = found[0].begins >= (start if start > 1 else 0)  # the first begins before all targets
    (nats, sizes), (own, _) = (profiler.sums["document"] for profiler in found)
    pairs = [(nats[rest], own[rest])]
    return bootstrap_documents(pairs, sizes[rest], np.random.default_rng(0))[0]


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, SweptRow)
    settings = spec.settings
    require_sweep(settings)
    read = (
        *(options.manifest, options.val, options.val_bytes, *options.scores),
        *(*options.model_audit, *options.memory, *options.counts),
    )
    recording = Recording(options.provenance, spec, read)
    inputs = load_inputs(options, settings)
    manifest = inputs.manifest
    target_bytes = manifest.read_val_bytes(options.val_bytes)
    wanted = audit_targets(settings["audit"], manifest.val.targets)
    model = ModelEvidence.uniform(wanted, manifest.vocabulary)
    for path in options.model_audit:
        model = ModelEvidence.load(path, wanted, manifest.vocabulary)
    starts = halves(inputs.text, BOS) if settings["split"] == "half" else [1]
    grid = list(points(inputs.axes, inputs.own_point))
    sizes = np.add.reduceat(target_bytes, np.array(starts) - 1, dtype=np.int64).tolist()
    table = noted(inputs.axes, grid, inputs.own_point, sweep(inputs, grid, starts, sizes, model))
    alone = math.fsum(float(part.nll.sum(dtype=np.float64)) for part in inputs.scores)
    best = grid[int(table["note"].str.contains("best, fitted", regex=False).idxmax())]
    has_model = bool(options.model_audit)
    swept = Swept(
        *(settings["sweep"], settings["row"], settings["seed"] if has_model else None),
        *(inputs.axes, table, alone / math.log(2) / sum(sizes) if has_model else None),
        gain_of(inputs, best, starts[-1], target_bytes),
    )
    with styled():
        figure = sweep_figure(swept)
    for path, content in (
        (options.table, table.to_csv(index=False).encode()),
        (options.note, note(swept).encode()),
        (options.picture, file_svg(figure)),
        (options.image, file_png(figure)),
    ):
        with atomic_output(path) as temporary:
            temporary.write_bytes(content)
    recording.finish(options.table, options.note, options.picture, options.image)


if __name__ == "__main__":
    run(main)
