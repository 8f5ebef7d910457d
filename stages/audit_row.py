"""Audit a row: is its score a code length?

    ./run results/rows/exact15_adaptive/audit.json

    python stages/audit_row.py --spec results/specs/audit_row/exact15_adaptive.*.json \\
        --manifest results/corpus/manifest.json \\
        --sums results/rows/exact15_adaptive/seed{1337,2024,2025}.json \\
        --evidence results/rows/exact15_adaptive/seed{1337,2024,2025}.npz \\
        --models results/models/ebls/seed{1337,2024,2025}/audit.npz \\
        --cache results/counts/exact15/audit.npz --audit /tmp/audit.json

Reads the sums of every seed and the evidence of its model, its cache and its mixing, runs the
row's rule on noise (behind its cache's --memory, if there is one), and writes the verdict. A row
that claims `code_length` and fails a check ends the stage with an error.
"""

from fairway.start import run

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np

from fairway.audit import verdict
from fairway.audit.checks import null_stream_nats
from fairway.audit.evidence import (
    CacheEvidence,
    ModelEvidence,
    RowEvidence,
    Sampling,
    audit_targets,
)
from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import count_targets
from fairway.counting.memories import memory_tokens
from fairway.counting.settings import CacheSettings
from fairway.files.records import Within
from fairway.files.spec import Count, Seed, read_spec
from fairway.provenance import Recording
from fairway.rows.gate import Counts, row_gate
from fairway.rows.settings import RowSettings, require_files
from fairway.rows.sums import Sums
from fairway.stage import StageError, sha256_of, stage_parser, write_json


class RowAudit(Sampling):
    """The `audit` section."""

    null_tokens: Count


class AuditedRow(RowSettings):
    """What this stage depends on."""

    claim: Literal["code_length"] | None
    seeds: Annotated[list[Seed], Within(1)]
    audit: RowAudit


def null_stream(
    settings: AuditedRow, plan: WindowPlan, vocabulary: int, memory: np.ndarray
) -> verdict.Check:
    """The row's cache and gate on uniformly drawn tokens, hashed tables at the same load."""
    generator = np.random.default_rng(settings["audit"]["seed"])
    targets = settings["audit"]["null_tokens"]
    tokens = generator.integers(0, vocabulary, targets + 1).astype(np.uint16)
    length = min(plan.length, targets)
    windows = WindowPlan(targets, length, min(plan.stride, length))

    def count() -> Counts:
        if settings["cache_settings"] is None:
            return None
        cache = CacheSettings.from_settings(settings["cache_settings"])
        if cache.buckets:
            equal = targets * cache.buckets / plan.targets
            cache = replace(cache, buckets=1 << max(0, int(np.log2(equal))))
        return count_targets(tokens, windows, 1, targets, cache, memory=memory)

    gate = row_gate(settings["gate"], settings["cache_settings"], memory)
    return verdict.null_stream(null_stream_nats(gate, count, tokens, vocabulary), vocabulary)


class Found(NamedTuple):
    """What the jobs of a row left, seed by seed; cache: None for a row without one."""

    sums: list[Sums]
    rows: list[RowEvidence]
    models: list[ModelEvidence]
    cache: CacheEvidence | None


def load_found(options: argparse.Namespace, settings: AuditedRow, manifest: Manifest) -> Found:
    """Sums and evidence; StageError unless they are as many as the row takes, of each other."""
    cached, seeds = settings["cache_settings"], len(options.sums)
    wanted = {
        "evidence": (options.evidence, seeds),
        "models": (options.models, 0 if settings["model"] is None else seeds),
        "cache": (options.cache, 1 if cached else 0),
    }
    require_files(settings["row"], wanted)
    targets = audit_targets(settings["audit"], manifest.val.targets)
    vocabulary = manifest.vocabulary
    models = [ModelEvidence.load(path, targets, vocabulary) for path in options.models]
    cache = None
    for path in options.cache:  # one or none
        counted = CacheSettings.from_settings(cached)
        cache = CacheEvidence.load(path, targets, counted, vocabulary)
    found = Found(
        [Sums.load(path) for path in options.sums],
        [RowEvidence.load(path, targets) for path in options.evidence],
        models or [ModelEvidence.uniform(targets, vocabulary)] * seeds,
        cache,
    )
    require_same(found)
    return found


def require_same(found: Found) -> None:
    """Raise StageError unless sums and evidence of every seed were made from each other."""
    cache = found.cache.spec if found.cache else ""
    for of_seed, row, model in zip(found.sums, found.rows, found.models, strict=True):
        for what, has, wanted in (
            ("mixing", row.spec, of_seed.spec),
            ("artifact", row.artifact_sha256, of_seed.artifact_sha256),
            ("audit of the model", row.model, model.spec),
            ("audit of the cache", row.cache, cache),
        ):
            if has != wanted:
                raise StageError(
                    f"evidence of seed {of_seed.seed}: {what} {has[:12]}…; expected {wanted[:12]}…"
                )


def arguments() -> argparse.Namespace:
    parser = stage_parser(__doc__, "spec", "manifest", "audit")
    for flag in ("sums", "evidence"):
        parser.add_argument(f"--{flag}", type=Path, nargs="+", required=True, help="one per seed")
    for flag in ("models", "cache", "memory"):
        parser.add_argument(f"--{flag}", type=Path, nargs="*", default=[], help="if there is one")
    return parser.parse_args()


def main() -> None:
    options, start = arguments(), time.monotonic()
    spec = read_spec(options.spec, AuditedRow)
    settings = spec.settings
    of_seeds = *options.sums, *options.evidence, *options.models
    read = options.manifest, *of_seeds, *options.cache, *options.memory
    recording = Recording(options.provenance, spec, read)
    manifest = Manifest.load(options.manifest)
    val, identity = manifest.val, (manifest.tokenizer.sha256, manifest.vocabulary)
    found = load_found(options, settings, manifest)
    plan = WindowPlan(val.targets, **settings["windows"])
    memory = memory_tokens(options.memory, settings["cache_settings"], *identity)
    checks = {
        "normalised": verdict.normalised(found.rows),
        "causal": verdict.causal(found.rows, found.models, found.cache),
        "score_before_update": verdict.score_before_update(found.rows, found.cache),
        "once_each": verdict.once_each(found.sums, val.targets, val.bytes),
        "same_text": verdict.same_text(val),
        "null_stream": null_stream(settings, plan, manifest.vocabulary, memory),
    }
    judged = {
        str(sums.seed): {"artifact_sha256": sums.artifact_sha256, "sums_sha256": sha256_of(path)}
        | verdict.seed_figures(sums, row.mass)
        for path, sums, row in zip(options.sums, found.sums, found.rows, strict=True)
    }
    verdict.require_claim(settings["row"], settings["claim"], checks)
    audit = {
        "spec": spec.sha256,
        "model_spec": found.models[0].spec or None,
        "cache_spec": found.cache.spec if found.cache else None,
        "row": settings["row"],
        "is_code_length": verdict.holds(checks),
        "checks": checks,
        "seeds": judged,
        "seconds": round(time.monotonic() - start, 3),
    }
    write_json(options.audit, audit)
    recording.finish(options.audit)


if __name__ == "__main__":
    run(main)
