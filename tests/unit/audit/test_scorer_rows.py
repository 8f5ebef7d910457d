"""Fairway's own rows through check_scorer's door: what their audit says, by the same functions."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from fairway.audit import verdict
from fairway.audit.case import FAILED, OK, Case, CheckSettings
from fairway.audit.checks import changed_tail, counts_stay, scores_stay
from fairway.audit.evidence import AuditTargets, CacheEvidence, ModelEvidence, RowEvidence
from fairway.audit.scorer_checks import CHECKS
from fairway.audit.scorers import Traits
from fairway.audit.texts import ScoredText
from fairway.audit.witness import Witness
from fairway.audit.zoo import FOLDER
from fairway.corpus.windows import WindowPlan
from fairway.counting import caches
from fairway.counting.segments import NO_MEMORY
from fairway.rows.gate import row_gate
from fairway.rows.mixing import row_mixer
from fairway.scoring import forward
from fairway.scoring.scores import Scores
from support.corpus_samples import VOCABULARY
from support.tiny_rows import (
    ADAPTIVE,
    EXACT,
    ROWS,
    WINDOWS,
    codec_model,
    memory_of,
    repetitive_tokens,
    row,
)

sys.path.append(str(FOLDER))
from fairway_row import Row  # the example

HASHED = row("hashed", ADAPTIVE, EXACT | {"kind": "hashed", "buckets": 16})
ALL = ROWS | {"hashed": HASHED}
TOKENS = repetitive_tokens(151)
PLAN = WindowPlan(len(TOKENS) - 1, **WINDOWS)


def memory_tokens(settings: dict) -> np.ndarray:
    memory = memory_of(settings)
    return NO_MEMORY if memory is None else memory.tokens


class LocalRow:
    """The example in this process, asked as a scorer in one of its own would be."""

    traits, jobs = Traits("scorer", tells_distribution=True), 1

    def __init__(self, settings: dict) -> None:
        model = None if settings["model"] is None else codec_model()
        self.row = Row(VOCABULARY, settings, model, memory_tokens(settings))

    def nats(self, texts, together=False) -> Iterator[np.ndarray]:
        return (self.row(text) for text in texts)

    def one(self, do: str, prefix: np.ndarray) -> tuple[dict, list[np.ndarray]]:
        assert do == "after"
        return {}, [self.row.distribution(prefix)]


def case_of(settings: dict) -> Case:
    text = ScoredText("repetitive", TOKENS.astype(np.int64), VOCABULARY)
    return Case(LocalRow(settings), text, CheckSettings(4, 3, null_tokens=600))


def audited_model(settings: dict, wanted: AuditTargets, changed: dict) -> tuple:
    """What audit_model and score_targets make of the row's model, or what stands for none."""
    if settings["model"] is None:
        of_none = ModelEvidence.uniform(wanted, VOCABULARY)
        return of_none, Scores.uniform(1, PLAN.targets, VOCABULARY)
    model = codec_model()

    def score(text, windows):
        return forward.score_windows(model, text, PLAN, windows, 8)

    stays = [scores_stay(PLAN, score, TOKENS, other, j) for j, other in changed.items()]
    known = forward.distributions_at(model, TOKENS, PLAN, wanted.sampled.tolist(), 8)
    of_model = ModelEvidence(*wanted, np.array(stays), "model", known, "artifact")
    return of_model, Scores(1, *score(TOKENS, range(len(PLAN))), "artifact", "spec")


def audited(settings: dict, wanted: AuditTargets) -> tuple[RowEvidence, list]:
    """What audit_model, audit_cache and mix_scores see of the row at these targets."""
    memory, generator = memory_tokens(settings), np.random.default_rng(3)
    changed = {j: changed_tail(TOKENS, j, VOCABULARY, generator) for j in wanted.changed.tolist()}
    of_model, scores = audited_model(settings, wanted, changed)
    of_cache = counts = None
    if settings["cache_settings"]:
        cache = caches.CacheSettings.from_settings(settings["cache_settings"])

        def count(text):
            return caches.count_targets(text, PLAN, 1, PLAN.targets, cache, memory=memory)

        counts = count(TOKENS)
        stays = [counts_stay(count(TOKENS), count(other), j) for j, other in changed.items()]
        found = caches.distributions_at(
            TOKENS, PLAN, wanted.sampled, cache, VOCABULARY, memory=memory
        )
        of_cache = CacheEvidence.of(found, wanted, stays, [], "cache")
    gate = row_gate(settings["gate"], settings["cache_settings"], memory)
    witness = Witness(gate, of_model, of_cache, generator)
    nats = np.concatenate(list(row_mixer(witness, TOKENS)(scores, counts)))
    evidence = witness.evidence(scores.artifact_sha256, "spec")
    parts = verdict.causal([evidence], [of_model], of_cache)["broken"]
    return evidence, [nats, parts]


@pytest.mark.parametrize("name", ALL)
def test_a_row_gets_what_its_audit_says(name):
    case = case_of(ALL[name])
    targets = case.mass_sample.random
    evidence, (nats, broken) = audited(ALL[name], AuditTargets(targets, np.array([20, 77])))
    np.testing.assert_array_equal(case.nats, nats)
    told = [case.subject.row.distribution(case.text.tokens[:j]).sum() for j in targets]
    np.testing.assert_allclose(told, evidence.mass, rtol=1e-12)

    found = {check: CHECKS[check].run(case) for check in ("normalised", "causal", "null")}
    expected = verdict.normalised([evidence])
    assert (found["normalised"].outcome == OK) == expected["ok"] == (name != "hashed")
    assert found["normalised"].figures["mean_z"] == pytest.approx(expected["mean_z"], rel=1e-12)
    assert (found["causal"].outcome == OK) == (broken == [])
    if name == "hashed":
        assert expected["mean_z"] > 1.1
        assert found["null"].outcome == FAILED
