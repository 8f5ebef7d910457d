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
from typing import Annotated, Literal

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
from fairway.counting.caches import CacheSettings, count_targets
from fairway.counting.memories import memory_tokens
from fairway.files.records import Within
from fairway.files.spec import Count, Seed, read_spec
from fairway.provenance import Recording
from fairway.rows.gate import Counts, row_gate
from fairway.rows.settings import RowSettings
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


def require_same(
    sums: list[Sums],
    rows: list[RowEvidence],
    models: list[ModelEvidence],
    cache: CacheEvidence | None,
) -> None:
    """Raise StageError unless sums and evidence of every seed were made from each other."""
    for of_seed, row, model in zip(sums, rows, models, strict=True):
        for what, found, wanted in (
            ("mixing", row.spec, of_seed.spec),
            ("artifact", row.artifact_sha256, of_seed.artifact_sha256),
            ("audit of the model", row.model, model.spec),
            ("audit of the cache", row.cache, cache.spec if cache else ""),
        ):
            if found != wanted:
                raise StageError(
                    f"evidence of seed {of_seed.seed}: {what} {found[:12]}…; "
                    f"expected {wanted[:12]}…"
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
    settings, manifest = spec.settings, Manifest.load(options.manifest)
    val, vocabulary, cached = manifest.val, manifest.vocabulary, settings["cache_settings"]
    models = 0 if settings["model"] is None else len(options.sums)
    for flag, given, wanted in (
        ("--evidence", options.evidence, len(options.sums)),
        ("--models", options.models, models),
        ("--cache", options.cache, 1 if cached else 0),
    ):
        if len(given) != wanted:
            raise StageError(f"{flag}: {len(given)} files; row {settings['row']} takes {wanted}")
    of_seeds = *options.sums, *options.evidence, *options.models
    read = options.manifest, *of_seeds, *options.cache, *options.memory
    recording = Recording(options.provenance, spec, read)
    wanted = audit_targets(settings["audit"], val.targets)
    sums = [Sums.load(path) for path in options.sums]
    rows = [RowEvidence.load(path, wanted) for path in options.evidence]
    models = [ModelEvidence.load(path, wanted, vocabulary) for path in options.models]
    models = models or [ModelEvidence.uniform(wanted, vocabulary)] * len(sums)
    cache = None
    for path in options.cache:  # one or none
        counted = CacheSettings.from_settings(cached)
        cache = CacheEvidence.load(path, wanted, counted, vocabulary)
    require_same(sums, rows, models, cache)
    plan = WindowPlan(val.targets, **settings["windows"])
    memory = memory_tokens(options.memory, cached, manifest.tokenizer.sha256, vocabulary)
    checks = {
        "normalised": verdict.normalised(rows),
        "causal": verdict.causal(rows, models, cache),
        "score_before_update": verdict.score_before_update(rows, cache),
        "once_each": verdict.once_each(sums, val.targets, val.bytes),
        "same_text": verdict.same_text(val),
        "null_stream": null_stream(settings, plan, vocabulary, memory),
    }
    judged = [
        {"artifact_sha256": each.artifact_sha256, "sums_sha256": sha256_of(path)}
        | verdict.seed_figures(each, row.mass)
        for path, each, row in zip(options.sums, sums, rows, strict=True)
    ]
    verdict.require_claim(settings["row"], settings["claim"], checks)
    audit = {
        "spec": spec.sha256,
        "model_spec": models[0].spec or None,
        "cache_spec": cache.spec if cache else None,
        "row": settings["row"],
        "is_code_length": verdict.holds(checks),
        "checks": checks,
        "seeds": {str(each.seed): found for each, found in zip(sums, judged, strict=True)},
        "seconds": round(time.monotonic() - start, 3),
    }
    write_json(options.audit, audit)
    recording.finish(options.audit)


if __name__ == "__main__":
    run(main)
