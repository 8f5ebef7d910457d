"""Mixing and the audits from files to files: ranks, claims and one-line errors."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import audit_model
import mix_scores
from fairway.corpus.manifest import Manifest
from fairway.counting.memories import pack_memory
from fairway.rows.profile import Profile
from fairway.stage import StageError
from support.corpus_samples import VOCABULARY
from support.mixing_workplace import AUDIT, ROWS, SCORING, TARGETS, Workplace
from support.tiny_rows import write_artifact


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Workplace:
    monkeypatch.setattr(sys, "argv", sys.argv)  # put back afterwards
    return Workplace(tmp_path)


@pytest.mark.parametrize("row", ROWS)
def test_the_score_does_not_depend_on_the_number_of_ranks(workplace, row):
    one, two, eight = (workplace.mix(row, ranks) for ranks in (1, 2, 8))
    assert [two.nats, eight.nats] == pytest.approx([one.nats] * 2, rel=1e-14)
    assert [part.rank for part in eight.sums] == list(range(8))
    assert (eight.targets, eight.bytes, eight.seed) == (TARGETS, 2 * TARGETS, 7)
    assert eight.counts_spec == ("counts" if ROWS[row][0] else None)


def test_a_memory_is_of_use_and_has_to_be_there(workplace):
    plain, behind = (workplace.mix(row, 2).nats for row in ("bayes", "bayes_memory"))
    assert behind < 0.8 * plain
    flags = workplace.mixing_flags("bayes_memory", 2)
    for row, given, message in (
        ("bayes_memory", [], "--memory: 0 files; the cache takes 1"),
        ("bayes", [str(workplace.folder / "memory.bin")], "--memory: 1 files; the cache takes 0"),
    ):
        with pytest.raises(StageError, match=message):
            workplace.run(mix_scores, row, 2, [*flags, "--memory", *given])
    other = pack_memory(workplace.memory, VOCABULARY, "2" * 64, "lzma")
    (workplace.folder / "memory.bin").write_bytes(other)
    with pytest.raises(StageError, match=r"memory\.bin: tokenizer SHA-256 2222"):
        workplace.run(mix_scores, "bayes_memory", 2, flags)


def test_the_uniform_row_costs_the_same_at_every_target(workplace):
    assert workplace.mix("uniform", 3).nats == pytest.approx(TARGETS * np.log(VOCABULARY))


@pytest.mark.parametrize("row", ["neural", "exact", "bayes"])
def test_the_profile_adds_up_to_the_sums(workplace, row):
    sums = workplace.mix(row, 3)
    profile = Profile.load(workplace.folder / "profile.npz")
    for nats, sizes in (
        (profile.document_nats, profile.document_bytes),
        (profile.stretch_nats, profile.stretch_bytes),
    ):
        assert nats.sum() == pytest.approx(sums.nats, rel=1e-12) and sizes.sum() == sums.bytes
    assert profile.spec == sums.spec
    if row != "neural":
        assert profile.order_targets.sum() == TARGETS
        assert profile.order_nats.sum() == pytest.approx(sums.nats, rel=1e-12)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.startswith("hashed")])
def test_rows_over_exact_counts_are_code_lengths(workplace, row):
    found = workplace.audit(row, claim="code_length")
    assert found["is_code_length"]
    assert found["seeds"]["7"]["bpb"] == pytest.approx(workplace.mix(row, 3).bits_per_byte)
    assert found["checks"]["normalised"]["targets_sampled"] == AUDIT["mass_targets"]


def test_a_hashed_row_is_reported_but_must_not_claim(workplace):
    found = workplace.audit("hashed")
    assert not found["is_code_length"]
    assert found["checks"]["normalised"]["mean_z"] > 1.5
    assert not found["checks"]["null_stream"]["ok"]
    with pytest.raises(StageError, match="row hashed: claims code_length but fails `normalised`"):
        workplace.audit("hashed", claim="code_length")


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({"text": "decoded", "original_bytes": 2 * TARGETS}, False),
        ({"text": "decoded", "original_bytes": None}, True),
    ],
)
def test_no_row_is_a_code_length_of_a_text_that_is_lost(workplace, changes, holds):
    manifest = Manifest.load(workplace.folder / "manifest.json")
    replace(manifest, val=replace(manifest.val, **changes)).save(
        workplace.folder / "manifest.json"
    )
    found = workplace.audit("neural", claim=None if not holds else "code_length")
    assert found["is_code_length"] is holds
    assert found["checks"]["same_text"] == {"ok": holds, "bytes": 2 * TARGETS} | changes
    if not holds:
        with pytest.raises(StageError, match="neural: claims code_length but fails `same_text`"):
            workplace.audit("neural", claim="code_length")


def test_shards_that_do_not_fit_are_refused(workplace):
    flags = workplace.mixing_flags("exact", 3)
    scores, counts = workplace.shards("exact", 3)
    rest = flags[flags.index("--seed") :]
    for given, message in (
        (["--scores", *scores[:2], "--counts", *counts], "--scores: 2 files; row exact takes 3"),
        (["--scores", *scores], "--counts: 0 files; row exact takes 3"),
        (["--scores", *scores[::-1], "--counts", *counts], "expected to go on from target 1"),
        (["--scores", *scores, "--counts", *counts[::-1]], "expected the same targets"),
    ):
        with pytest.raises(StageError, match=message):
            workplace.run(mix_scores, "exact", 3, [*given, *rest])
    assert not (workplace.folder / "sums.json").exists()


def test_evidence_of_another_model_is_refused(workplace):
    flags = workplace.mixing_flags("neural", 3)
    write_artifact(workplace.artifact, "1" * 64, seed=5)
    workplace.audited("neural", 3, [])
    with pytest.raises(StageError, match=r"model's evidence: of artifact .*the scores are of"):
        workplace.run(mix_scores, "neural", 3, flags)
    assert not (workplace.folder / "sums.json").exists()


def test_evidence_that_was_made_anew_since_the_mixing_is_refused(workplace):
    workplace.mix("exact", 3)
    workplace.run(audit_model, "exact", 3, [
        "--artifact", str(workplace.artifact), "--evidence", str(workplace.folder / "model.npz"),
    ], **SCORING | {"batch_windows": 8})  # fmt: skip
    with pytest.raises(StageError, match="evidence of seed 7: audit of the model"):
        workplace.audit("exact", mixed=True)


def test_scores_that_are_not_the_models_fail_the_audit(workplace):
    nll, entropy = workplace.scores
    workplace.scores = nll * np.float32(0.5), entropy
    with pytest.raises(StageError, match="row neural: claims code_length but fails `score_before"):
        workplace.audit("neural", claim="code_length")
