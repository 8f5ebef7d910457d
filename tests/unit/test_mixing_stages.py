"""mix_scores and audit_row from files to files: ranks, claims and one-line errors."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import audit_row
import mix_scores
from corpus_samples import VOCABULARY
from fairway.caches import CacheSettings, count_ranks
from fairway.corpus import Manifest, TokenizerFile, TrainText, ValText
from fairway.scores import Scores
from fairway.scoring import score_windows
from fairway.shards import write_shard
from fairway.stage import StageError, read_json, sha256_of
from fairway.sums import Sums
from fairway.windows import WindowPlan
from tiny_rows import codec_model, repetitive_tokens, write_artifact

TARGETS = 400
WINDOWS = {"length": 24, "stride": 8}
PLAN = WindowPlan(TARGETS, **WINDOWS)
DEFAULTS = {"min_order": 2, "min_count": 2, "prefill": True, "cross_documents": True}
CACHES = {
    "hashed": {"kind": "hashed", "max_order": 5, "buckets": 64, "output": "match"},
    "exact": {"kind": "exact", "max_order": 5, "output": "match", "update": "segment"},
    "orders": {"kind": "exact", "max_order": 5, "output": "orders", "update": "token"},
}
ROWS = {
    "neural": (None, None),
    "hashed": ("hashed", {"kind": "entropy", "threshold": 4.0}),
    "exact": ("exact", {"kind": "fixed", "alpha": 0.4}),
    "bayes": ("orders", {"kind": "empirical_bayes"}),
}
AUDIT = {"mass_targets": 20, "causality_targets": 2, "null_tokens": 2000, "seed": 1}


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
            1, TARGETS + 1, TARGETS, total, total, total, "original", "val.bin",
            sha256_of(folder / "val.bin"),
        )  # fmt: skip
        Manifest(
            "0" * 64, "text", VOCABULARY, TokenizerFile("tokenizer.model", "1" * 64),
            TrainText(0, 0, ()), val, folder,
        ).save(folder / "manifest.json")  # fmt: skip
        self.artifact = write_artifact(folder / "artifact.bin", "1" * 64)
        self.tokens = tokens
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
            for rank, found in enumerate(count_ranks(self.tokens, PLAN, ranks, settings)):
                counts.append(self.folder / f"{cache}{ranks}_{rank}.npz")
                replace(found, spec="counts").save(counts[-1])
        return list(map(str, scores)), list(map(str, counts))

    def run(self, stage, row: str, ranks: int, flags: list[str], **settings) -> None:
        """Run a stage's main in this process."""
        cache, gate = ROWS[row]
        cache_settings = DEFAULTS | CACHES[cache] if cache else None
        values = {"row": row, "gate": gate, "cache_settings": cache_settings, "ranks": ranks}
        spec = self.folder / "spec.json"
        content = {"code": "test", "settings": {**values, "windows": WINDOWS, **settings}}
        spec.write_text(json.dumps(content))
        common = ["--spec", str(spec)]
        for flag, name in (
            ("--manifest", "manifest.json"),
            ("--val", "val.bin"),
            ("--val-bytes", "val_bytes.npy"),
        ):
            common += [flag, str(self.folder / name)]
        sys.argv = [stage.__name__, *common, *flags]
        stage.main()

    def mix(self, row: str, ranks: int) -> tuple[Sums, list[str]]:
        """Mix a row; its sums and the flags that name its shards."""
        scores, counts = self.shards(ROWS[row][0], ranks)
        flags = ["--scores", *scores, "--counts", *counts]
        output = self.folder / f"{row}{ranks}.json"
        self.run(mix_scores, row, ranks, [*flags, "--seed", "7", "--sums", str(output)])
        return Sums.load(output), flags

    def audit(self, row: str, claim: str | None = None) -> dict:
        """Mix and audit a row with three ranks."""
        _, flags = self.mix(row, 3)
        output = self.folder / f"{row}.audit.json"
        flags += ["--sums", str(self.folder / f"{row}3.json"), "--artifacts", str(self.artifact)]
        flags += ["--audit", str(output)]
        self.run(audit_row, row, 3, flags, audit=AUDIT, claim=claim)
        return read_json(output)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Workplace:
    monkeypatch.setattr(sys, "argv", sys.argv)  # put back afterwards
    return Workplace(tmp_path)


@pytest.mark.parametrize("row", ROWS)
def test_the_score_does_not_depend_on_the_number_of_ranks(workplace, row):
    one, three = (workplace.mix(row, ranks)[0] for ranks in (1, 3))
    assert three.nats == pytest.approx(one.nats, rel=1e-14)
    assert [part.rank for part in three.sums] == [0, 1, 2]
    assert (three.targets, three.bytes, three.seed) == (TARGETS, 2 * TARGETS, 7)
    assert three.counts_spec == (None if row == "neural" else "counts")


@pytest.mark.parametrize("row", ["neural", "exact", "bayes"])
def test_rows_over_exact_counts_are_code_lengths(workplace, row):
    found = workplace.audit(row, claim="code_length")
    assert found["is_code_length"]
    assert found["seeds"]["7"]["bpb"] == pytest.approx(workplace.mix(row, 3)[0].bits_per_byte)
    assert found["checks"]["normalised"]["targets_sampled"] == AUDIT["mass_targets"]


def test_a_hashed_row_is_reported_but_must_not_claim(workplace):
    found = workplace.audit("hashed")
    assert not found["is_code_length"]
    assert found["checks"]["normalised"]["mean_z"] > 1.5
    assert not found["checks"]["null_stream"]["ok"]
    with pytest.raises(StageError, match="row hashed: claims code_length but fails `normalised`"):
        workplace.audit("hashed", claim="code_length")


def test_shards_that_do_not_fit_are_refused(workplace):
    scores, counts = workplace.shards("exact", 3)
    output = workplace.folder / "sums.json"
    rest = ["--seed", "7", "--sums", str(output)]
    for flags, message in (
        (["--scores", *scores[:2], "--counts", *counts], "--scores: 2 files; row exact takes 3"),
        (["--scores", *scores], "--counts: 0 files; row exact takes 3"),
        (["--scores", *scores[::-1], "--counts", *counts], "expected to go on from target 1"),
        (["--scores", *scores, "--counts", *counts[::-1]], "expected the same targets"),
    ):
        with pytest.raises(StageError, match=message):
            workplace.run(mix_scores, "exact", 3, [*flags, *rest])
    assert not output.exists()


def test_an_artifact_of_another_model_is_refused(workplace):
    workplace.mix("neural", 3)
    write_artifact(workplace.artifact, "1" * 64, seed=5)
    scores = [str(workplace.folder / f"scores3_{rank}.npz") for rank in range(3)]
    flags = ["--sums", str(workplace.folder / "neural3.json"), "--scores", *scores]
    flags += ["--artifacts", str(workplace.artifact), "--audit", str(workplace.folder / "a.json")]
    with pytest.raises(StageError, match=r"artifact\.bin: artifact .*the sums of seed 7 are of"):
        workplace.run(audit_row, "neural", 3, flags, audit=AUDIT, claim=None)
