"""A folder with all that mixing a row takes, made in milliseconds, and stages run in it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints, is_typeddict

import numpy as np

import audit_cache
import audit_model
import audit_row
import mix_scores
import sweep_row
from fairway.corpus.manifest import Manifest, TokenizerFile, TrainText, ValText
from fairway.corpus.shards import write_shard
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_ranks
from fairway.counting.memories import pack_memory
from fairway.counting.segments import NO_MEMORY
from fairway.rows.sums import Sums
from fairway.scoring.forward import score_windows
from fairway.scoring.scores import Scores
from fairway.stage import read_json, sha256_of
from support.corpus_samples import VOCABULARY
from support.tiny_rows import codec_model, repetitive_tokens, write_artifact

TARGETS = 400
WINDOWS = {"length": 24, "stride": 8}
PLAN = WindowPlan(TARGETS, **WINDOWS)
DEFAULTS = {"min_order": 2, "min_count": 2, "prefill": True, "cross_documents": True}
DEFAULTS |= {"update": "segment", "memory": None}
CACHES = {
    "hashed": {"kind": "hashed", "max_order": 5, "buckets": 64, "output": "match"},
    "exact": {"kind": "exact", "max_order": 5, "output": "match", "update": "segment"},
    "orders": {"kind": "exact", "max_order": 5, "output": "orders", "update": "token"},
}
CACHES |= {f"{name}_memory": CACHES[name] | {"memory": "some"} for name in list(CACHES)}
ROWS = {
    "neural": (None, None),
    "hashed": ("hashed", {"kind": "entropy", "threshold": 4.0}),
    "exact": ("exact", {"kind": "fixed", "alpha": 0.4}),
    "bayes": ("orders", {"kind": "empirical_bayes"}),
    "uniform": (None, None),
    "counts_only": ("orders", {"kind": "empirical_bayes"}),
    "memory_only": ("orders_memory", {"kind": "empirical_bayes"}),
    "hashed_memory": ("hashed_memory", {"kind": "entropy", "threshold": 4.0}),
    "exact_memory": ("exact_memory", {"kind": "fixed", "alpha": 0.4}),
    "bayes_memory": ("orders_memory", {"kind": "empirical_bayes"}),
}
WITHOUT_MODEL = ("uniform", "counts_only", "memory_only")
SCORING = {"device": "cpu", "threads": 1, "batch_windows": 16, "precision": "float32"}
SCORING |= {"compile": False}
KINDS = {
    audit_cache: audit_cache.AuditedCache,
    audit_model: audit_model.AuditedModel,
    audit_row: audit_row.AuditedRow,
    mix_scores: mix_scores.MixedRow,
    sweep_row: sweep_row.SweptRow,
}
AUDIT = {"mass_targets": 20, "causality_targets": 2, "null_tokens": 2000, "seed": 1}


def fitting(kind: type, values: dict) -> dict:
    """The values that a kind of settings has."""
    hints = get_type_hints(kind)
    found = {key: values[key] for key in hints if key in values}
    parts = {key: fitting(hints[key], found[key]) for key in found if is_typeddict(hints[key])}
    return found | parts


class Workplace:
    """A folder with a corpus, one seed's scores and artifact, and counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tokens = repetitive_tokens(TARGETS + 1)
        size = np.full(TARGETS, 2, dtype=np.uint16)
        np.save(folder / "val_bytes.npy", size)
        write_shard(folder / "val.bin", tokens)
        total = int(size.sum())
        val = ValText(
            1, TARGETS + 1, TARGETS, total, total, "original", "val.bin",
            sha256_of(folder / "val.bin"), sha256_of(folder / "val_bytes.npy"), "",
        )  # fmt: skip
        Manifest(
            "0" * 64, "text", VOCABULARY, TokenizerFile("tokenizer.model", "1" * 64),
            TrainText(0, 0, ()), val, folder,
        ).save(folder / "manifest.json")  # fmt: skip
        self.artifact = write_artifact(folder / "artifact.bin", "1" * 64)
        self.tokens, self.memory = tokens, repetitive_tokens(900)[500:]
        packed = pack_memory(self.memory, VOCABULARY, "1" * 64, "lzma")
        (folder / "memory.bin").write_bytes(packed)
        self.scores = score_windows(codec_model(), tokens, PLAN, range(len(PLAN)), 16)

    def shards(self, cache: str | None, ranks: int) -> tuple[list[str], list[str]]:
        """Write score and count shards; their paths."""
        artifact = sha256_of(self.artifact)
        scores, counts = [], []
        for rank in range(ranks):
            first, last = PLAN.rank_targets(rank, ranks)
            part = slice(first - 1, last)
            nll, entropy = (array[part] for array in self.scores)
            scores.append(self.folder / f"scores{ranks}_{rank}.npz")
            Scores(first, nll, entropy, artifact, "scores").save(scores[-1])
        if cache:
            settings = CacheSettings.from_settings(DEFAULTS | CACHES[cache])
            memory = self.memory if settings.memory else NO_MEMORY
            found_of_all = count_ranks(self.tokens, PLAN, ranks, settings, memory=memory)
            for rank, found in enumerate(found_of_all):
                counts.append(self.folder / f"{cache}{ranks}_{rank}.npz")
                replace(found, spec="counts").save(counts[-1])
        return list(map(str, scores)), list(map(str, counts))

    def run(self, stage, row: str, ranks: int, flags: list[str], **settings) -> None:
        """Run a stage's main in this process."""
        cache, gate = ROWS[row]
        cache_settings = DEFAULTS | CACHES[cache] if cache else None
        model = None if row in WITHOUT_MODEL else "tiny"
        values = {"row": row, "gate": gate, "cache_settings": cache_settings, "ranks": ranks}
        values |= {"model": model, "vocabulary": VOCABULARY, "cache": cache or "none"}
        values |= {"claim": None, "seeds": [7]}
        spec = self.folder / f"{stage.__name__}.spec.json"
        settings = {**values, "windows": WINDOWS, "audit": AUDIT, **settings}
        settings = fitting(KINDS[stage], settings)
        spec.write_text(json.dumps({"code": "test", "settings": settings}))
        common = ["--spec", str(spec), "--manifest", str(self.folder / "manifest.json")]
        if stage is not audit_row:
            common += ["--val", str(self.folder / "val.bin")]
        if cache and cache.endswith("memory") and stage is not audit_model:
            common += ["--memory", str(self.folder / "memory.bin")]
        sys.argv = [stage.__name__, *common, *flags]
        stage.main()

    def audited(self, row: str, ranks: int, counts: list[str]) -> tuple[str, list[str]]:
        """Audit the row's model and cache; their evidence, a list without one if it has none."""
        model, cache = str(self.folder / "model.npz"), str(self.folder / "cache.npz")
        flags = ["--artifact", str(self.artifact), "--evidence", model]
        self.run(audit_model, row, ranks, flags, **SCORING)
        if not counts:
            return model, []
        self.run(audit_cache, row, ranks, ["--counts", *counts, "--evidence", cache])
        return model, [cache]

    def mixing_flags(self, row: str, ranks: int) -> list[str]:
        """The flags that name what a row is mixed from and to."""
        scores, counts = self.shards(ROWS[row][0], ranks)
        model, cache = self.audited(row, ranks, counts)
        models = [model]
        if row in WITHOUT_MODEL:
            scores, models = [], []
        flags = ["--scores", *scores, "--counts", *counts, "--seed", "7"]
        flags += ["--val-bytes", str(self.folder / "val_bytes.npy")]
        flags += ["--model-audit", *models, "--cache-audit", *cache]
        flags += ["--evidence", str(self.folder / "row.npz")]
        flags += ["--profile", str(self.folder / "profile.npz")]
        return [*flags, "--sums", str(self.folder / "sums.json")]

    def mix(self, row: str, ranks: int) -> Sums:
        """Mix a row; its sums."""
        self.run(mix_scores, row, ranks, self.mixing_flags(row, ranks))
        return Sums.load(self.folder / "sums.json")

    def audit(self, row: str, claim: str | None = None, mixed: bool = False) -> dict:
        """Mix (unless that was done) and audit a row with three ranks."""
        if not mixed:
            self.mix(row, 3)
        output = self.folder / "audit.json"
        cache = [str(self.folder / "cache.npz")] if ROWS[row][0] else []
        models = [] if row in WITHOUT_MODEL else [str(self.folder / "model.npz")]
        flags = ["--models", *models, "--cache", *cache]
        flags += ["--sums", str(self.folder / "sums.json")]
        flags += ["--evidence", str(self.folder / "row.npz"), "--audit", str(output)]
        self.run(audit_row, row, 3, flags, claim=claim)
        return read_json(output)
