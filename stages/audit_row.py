"""Audit a row: is its score a code length?

    ./run results/rows/exact15_adaptive/audit.json

    python stages/audit_row.py --spec results/specs/audit_row/exact15_adaptive.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin \\
        --val-bytes results/corpus/val_bytes.npy --sums results/rows/exact15_adaptive/seed*.json \\
        --scores results/models/ebls/seed{1337,2024,2025}/scores/rank?.npz \\
        --counts results/counts/exact15/rank?.npz \\
        --artifacts results/models/ebls/seed{1337,2024,2025}/artifact.bin --audit /tmp/audit.json

Reads the sums, score shards and artifact of every seed and the row's count shards; runs the
checks of fairway.audit, the model on the CPU; writes the verdict. A row that claims `code_length`
and fails a check ends the stage with an error.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fairway import caches, scoring, verdict
from fairway.artifact import load_model
from fairway.audit import (
    Distributions,
    RowCode,
    Shards,
    causes_before,
    null_stream_nats,
    sample_row,
    sample_targets,
)
from fairway.caches import CacheSettings
from fairway.corpus import Manifest
from fairway.model import Model
from fairway.row_gate import Counts, row_gate
from fairway.scores import Scores
from fairway.stage import StageError, read_spec, run, sha256_of, write_json
from fairway.sums import Sums
from fairway.windows import WindowPlan
from mix_scores import load_counts

BATCH_WINDOWS = 16


def row_code(settings: dict[str, Any], plan: WindowPlan, vocabulary: int) -> RowCode:
    """The row's own counting and gate."""
    ranks, cache = settings["ranks"], settings["cache_settings"]
    gate = row_gate(settings["gate"], cache)
    if cache is None:
        return RowCode(plan, vocabulary, gate, None, None)
    checked = CacheSettings.from_settings(cache)

    def count(tokens: np.ndarray, first: int, last: int) -> Counts:
        return caches.count_targets(tokens, plan, first, last, checked)

    def count_all(tokens: np.ndarray, targets: np.ndarray) -> Distributions:
        return caches.distributions_at(tokens, plan, targets, checked, vocabulary, ranks)

    return RowCode(plan, vocabulary, gate, count, count_all)


def null_stream(
    settings: dict[str, Any], code: RowCode, generator: np.random.Generator
) -> verdict.Check:
    """The row's cache and gate on uniformly drawn tokens, hashed tables at the same load."""
    targets = settings["audit"]["null_tokens"]
    tokens = generator.integers(0, code.vocabulary, targets + 1).astype(np.uint16)
    count = None
    if settings["cache_settings"] is not None:
        cache = CacheSettings.from_settings(settings["cache_settings"])
        if cache.buckets:
            equal = targets * cache.buckets / code.plan.targets
            cache = replace(cache, buckets=1 << max(0, int(np.log2(equal))))
        length = min(code.plan.length, targets)
        plan = WindowPlan(targets, length, min(code.plan.stride, length))

        def count(tokens: np.ndarray, first: int, last: int):
            return caches.count_targets(tokens, plan, first, last, cache)

    nats = null_stream_nats(code, count, tokens)
    return verdict.null_stream(nats, code.vocabulary)


def check_number(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Raise StageError unless the files fit each other in number."""
    seeds, ranks = len(options.sums), settings["ranks"]
    for flag, given, wanted in (
        ("--scores", options.scores, ranks * seeds),
        ("--counts", options.counts, ranks if settings["cache_settings"] else 0),
        ("--artifacts", options.artifacts, seeds),
    ):
        if len(given) != wanted:
            raise StageError(f"{flag}: {len(given)} files; row {settings['row']} takes {wanted}")


def load_seed(sums: Sums, artifact: Path, scores: list[Path]) -> tuple[Model, list[Scores]]:
    """A seed's model and scores; StageError unless both belong to its sums."""
    found = [Scores.load(path) for path in scores]
    hashes = [sha256_of(artifact), *(each.artifact_sha256 for each in found)]
    for path, sha256 in zip([artifact, *scores], hashes, strict=True):
        if sha256 != sums.artifact_sha256:
            raise StageError(
                f"{path}: artifact {sha256[:12]}…; the sums of seed {sums.seed} are of "
                f"{sums.artifact_sha256[:12]}…"
            )
    return load_model(artifact), found


class Audit:
    """The audit of one row, seed by seed; every file is read when it is needed."""

    def __init__(self, options: argparse.Namespace, settings: dict[str, Any]) -> None:
        check_number(options, settings)
        self.options, self.settings = options, settings
        self.manifest = Manifest.load(options.manifest)
        self.tokens = np.array(self.manifest.read_val(options.val))
        self.manifest.read_val_bytes(options.val_bytes)
        targets, numbers = self.manifest.val.targets, settings["audit"]
        self.code = row_code(
            settings, WindowPlan(targets, **settings["windows"]), self.manifest.vocabulary
        )
        self.sums = [Sums.load(path) for path in options.sums]
        counts = list(load_counts(options.counts, settings["cache_settings"]))
        self.counts = counts or [None] * settings["ranks"]
        self.generator = np.random.default_rng(numbers["seed"])
        self.targets = sample_targets(targets, numbers["mass_targets"], self.generator)
        self.changed = sample_targets(targets, numbers["causality_targets"], self.generator)

    def run(self) -> dict[str, Any]:
        """Checks and figures of the row."""
        settings, code, val = self.settings, self.code, self.manifest.val
        found = code.count_all(self.tokens, self.targets) if code.count_all else None
        samples, broken, covered = [], [], True
        for i in range(len(self.sums)):
            model, shards = self._seed(i)
            at_targets = scoring.distributions_at(
                model, self.tokens, code.plan, self.targets.tolist(), BATCH_WINDOWS
            )
            samples.append(sample_row(code, self.tokens, shards, self.targets, at_targets, found))
            covered &= verdict.covers(self.sums[i], shards, val.targets, val.bytes)
            if i == 0:
                broken = self._causes(model, shards)
        checks = {
            "normalised": verdict.normalised(samples),
            "causal": verdict.causal(self.changed, broken),
            "score_before_update": verdict.score_before_update(samples),
            "once_each": {"ok": covered, "targets": val.targets, "bytes": val.bytes},
            "null_stream": null_stream(settings, code, self.generator),
        }
        figures = {
            str(each.seed): verdict.seed_figures(each, of_seed.mass)
            for each, of_seed in zip(self.sums, samples, strict=True)
        }
        return {
            "row": settings["row"],
            "is_code_length": verdict.holds(checks),
            "checks": checks,
            "seeds": figures,
        }

    def _seed(self, i: int) -> tuple[Model, Shards]:
        ranks = self.settings["ranks"]
        scores = self.options.scores[i * ranks : (i + 1) * ranks]
        model, loaded = load_seed(self.sums[i], self.options.artifacts[i], scores)
        return model, Shards(loaded, self.counts)

    def _causes(self, model: Model, shards: Shards) -> list[list[str]]:
        """For every changed target, the parts that let the change reach the past."""

        def score(tokens: np.ndarray, windows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
            return scoring.score_windows(model, tokens, self.code.plan, windows, BATCH_WINDOWS)

        return [
            causes_before(self.code, score, self.tokens, shards, int(target), self.generator)
            for target in self.changed
        ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for flag in ("spec", "manifest", "val", "val-bytes", "audit"):
        parser.add_argument(f"--{flag}", type=Path, required=True)
    parser.add_argument("--sums", type=Path, nargs="+", required=True, help="one per seed")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="seed by seed")
    parser.add_argument("--artifacts", type=Path, nargs="+", required=True, help="one per seed")
    parser.add_argument("--counts", type=Path, nargs="*", default=[], help="rank 0, 1, …")
    return parser.parse_args()


def main() -> None:
    options, start = arguments(), time.monotonic()
    torch.set_num_threads(1)
    spec = read_spec(options.spec)
    found = Audit(options, spec.settings).run()
    verdict.require_claim(found["row"], spec.settings["claim"], found["checks"])
    seconds = round(time.monotonic() - start, 3)
    write_json(options.audit, {"spec": spec.sha256, **found, "seconds": seconds})


if __name__ == "__main__":
    run(main)
