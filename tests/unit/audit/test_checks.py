"""Every check of the audit holds for sound code and fails for the code it is meant to catch."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fairway.audit import checks as audit
from fairway.audit import verdict
from fairway.audit.evidence import (
    AuditTargets,
    CacheEvidence,
    ModelEvidence,
    RowEvidence,
    audit_targets,
    sample_targets,
)
from fairway.audit.witness import CALIBRATION_BINS, STATE_CHECKS, Witness, binned
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets, distributions_at, tables_stay
from fairway.counting.counts import MatchCounts
from fairway.counting.hashed_grams import GramTable
from fairway.rows.gate import BayesRow, MatchRow, RowGate, row_gate
from fairway.rows.mixing import row_mixer
from fairway.rows.sums import RankSum, Sums
from fairway.scoring.scores import Scores
from fairway.stage import StageError
from support.tiny_mixing import CACHE, VOCABULARY, text

TARGETS, RANKS = 240, 3
PLAN = WindowPlan(TARGETS, 16, 8)
TOKENS = text(TARGETS)
WANTED = AuditTargets(
    sample_targets(TARGETS, 60, np.random.default_rng(0)), np.array([5, 16, 17, 100, 163, TARGETS])
)
ADAPTIVE = {"kind": "order_adaptive", "threshold_low_order": 1.5, "threshold_high_order": 0.5}
HASHED = {"kind": "hashed", "max_order": 4, "min_order": 2, "buckets": 8, "output": "match"}
MATCH = {"kind": "exact", "max_order": 4, "min_order": 2, "output": "match"}
ROWS = {
    "neural": (None, None),
    "match": (ADAPTIVE, MATCH),
    "token": (ADAPTIVE, MATCH | {"update": "token", "min_count": 1}),
    "bayes": ({"kind": "empirical_bayes"}, CACHE),
    "kin": ({"kind": "empirical_bayes", "kin": True}, CACHE),
}


@dataclass(frozen=True)
class RowCode:
    """The parts of a row, so that a broken one can be put in the place of a sound one."""

    gate: RowGate
    cache: CacheSettings | None
    count: Callable | None


def code_of(gate: dict | None, cache: dict | None) -> RowCode:
    if cache is None:
        return RowCode(row_gate(gate, cache), None, None)
    settings = CacheSettings.from_settings(cache)

    def count(tokens, first, last):
        plan = replace(PLAN, targets=len(tokens) - 1)
        return count_targets(tokens, plan, first, last, settings)

    return RowCode(row_gate(gate, cache), settings, count)


def score(tokens, windows):
    """A causal made-up model: its scores are a function of the last two tokens."""
    first, last = PLAN.window(windows[0]).first_target, PLAN.window(windows[-1]).stop
    probabilities = distributions(tokens, np.arange(first, last + 1))
    own = probabilities[np.arange(len(probabilities)), tokens[first : last + 1]]
    entropy = -(probabilities * np.log(probabilities)).sum(axis=1)
    return -np.log(own).astype(np.float32), entropy.astype(np.float32)


def distributions(tokens, targets):
    table = np.random.default_rng(3).dirichlet(np.ones(VOCABULARY), VOCABULARY**2)
    before = np.concatenate(([0], tokens)).astype(int)
    return table[before[targets] * VOCABULARY + before[targets - 1]]


def model_evidence(score=score) -> ModelEvidence:
    generator, stays = np.random.default_rng(4), []
    for target in WANTED.changed.tolist():
        changed = audit.changed_tail(TOKENS, target, VOCABULARY, generator)
        stays.append(audit.scores_stay(PLAN, score, TOKENS, changed, target))
    known = distributions(TOKENS, WANTED.sampled)
    return ModelEvidence(*WANTED, np.array(stays), "model", known, "artifact")


def cache_evidence(code: RowCode) -> CacheEvidence | None:
    if code.cache is None:
        return None
    generator, stays = np.random.default_rng(4), []
    for target in WANTED.changed.tolist():
        changed = audit.changed_tail(TOKENS, target, VOCABULARY, generator)
        first, last = PLAN.rank_targets(PLAN.rank_of(target, RANKS), RANKS)
        counts = code.count(TOKENS, first, last), code.count(changed, first, last)
        stays.append(audit.counts_stay(*counts, target))
    found = distributions_at(TOKENS, PLAN, WANTED.sampled, code.cache, VOCABULARY, RANKS)
    kept = tables_stay(TOKENS, PLAN, WANTED.changed, code.cache, VOCABULARY, RANKS)
    return CacheEvidence.of(found, WANTED, stays, kept, "cache")


def scores_of(nll: np.ndarray, entropy: np.ndarray) -> list[Scores]:
    parts = [PLAN.rank_targets(rank, RANKS) for rank in range(RANKS)]
    return [
        Scores(first, nll[first - 1 : last], entropy[first - 1 : last], "artifact", "spec")
        for first, last in parts
    ]


def row_evidence(code: RowCode, nll: np.ndarray | None = None) -> RowEvidence:
    """Mix the row, watched; nll: in place of the model's."""
    model, entropy = score(TOKENS, range(len(PLAN)))
    scores = scores_of(model if nll is None else nll, entropy)
    witness = Witness(code.gate, model_evidence(), cache_evidence(code), np.random.default_rng(6))
    mixer = row_mixer(witness, TOKENS)
    for part in scores:
        last = part.first_target + len(part.nll) - 1
        counts = code.count(TOKENS, part.first_target, last) if code.count else None
        for _ in mixer(part, counts):
            pass
    return witness.evidence("artifact", "spec")


def score_before_update(code: RowCode, nll: np.ndarray | None = None) -> dict:
    return verdict.score_before_update([row_evidence(code, nll)], cache_evidence(code))


def broken_parts(code: RowCode, score=score) -> list[str]:
    found = [row_evidence(code)], [model_evidence(score)], cache_evidence(code)
    return verdict.causal(*found)["broken"]


def null_check(code: RowCode) -> dict:
    tokens = np.random.default_rng(8).integers(0, VOCABULARY, 3001).astype(np.uint16)

    def count():
        return code.count(tokens, 1, 3000) if code.count else None

    nats = audit.null_stream_nats(code.gate, count, tokens, VOCABULARY)
    return verdict.null_stream(nats, VOCABULARY)


@pytest.mark.parametrize("row", ROWS)
def test_sound_rows_pass(row):
    code = code_of(*ROWS[row])
    found = row_evidence(code)
    assert verdict.normalised([found])["ok"]
    before_update = score_before_update(code)
    assert before_update["ok"] and before_update["states_checked"] == STATE_CHECKS
    assert broken_parts(code) == []
    assert null_check(code)["ok"]


@pytest.mark.parametrize("row", ROWS)
def test_a_watched_gate_gives_the_same_nats(row):
    code = code_of(*ROWS[row])
    whole = Scores(1, *score(TOKENS, range(len(PLAN))), "artifact", "spec")
    counts = code.count(TOKENS, 1, TARGETS) if code.count else None
    witness = Witness(code.gate, model_evidence(), cache_evidence(code), np.random.default_rng(6))
    watched, plain = (
        np.concatenate(list(row_mixer(gate, TOKENS)(whole, counts)))
        for gate in (witness, code.gate)
    )
    assert np.array_equal(watched, plain)


def test_hashed_counts_have_mass_to_spare_and_seem_to_compress_noise():
    code = code_of(ADAPTIVE, HASHED)
    found = verdict.normalised([row_evidence(code)])
    assert not found["ok"]
    assert found["mean_z"] > 1.1
    null = null_check(code)
    assert not null["ok"]
    assert null["bits_per_token"] < null["floor_bits"] - 0.1
    assert broken_parts(code) == []


class PeekingGate(MatchRow):
    """Trusts the cache more where it was right."""

    def nats(self, state, tokens, piece):
        order, hits, total = piece.counts
        surer = np.where(hits > 0, order, 0).astype(np.uint8)
        return super().nats(state, tokens, piece._replace(counts=(surer, hits, total)))


class WholeTextGate(MatchRow):
    """Scales the entropy by its mean over all targets of the rank, later ones too."""

    def nats(self, state, tokens, piece):
        scaled = (piece.entropy / piece.entropy.mean()).astype(np.float32)
        return super().nats(state, tokens, piece._replace(entropy=scaled))


class EagerGate(BayesRow):
    """Learns from a piece before it scores it."""

    def nats(self, state, tokens, piece):
        super().nats(state, tokens, piece)
        return super().nats(state, tokens, piece)


class TouchedGate(BayesRow):
    """Changes its state when it is only asked for a distribution."""

    def distribution(self, state, model, entropy, counts):
        found = super().distribution(state, model, entropy, counts)
        state.learned.recent[0] += 1.0
        return found


def test_a_gate_that_peeks_is_caught():
    code = code_of(*ROWS["match"])
    code = replace(code, gate=PeekingGate(code.gate.gate))
    assert not score_before_update(code)["ok"]


def test_a_gate_that_sees_the_future_is_caught():
    code = code_of(*ROWS["match"])
    code = replace(code, gate=WholeTextGate(code.gate.gate))
    assert broken_parts(code) == ["mixing"]


def test_a_gate_that_learns_before_scoring_is_caught():
    code = code_of(*ROWS["bayes"])
    code = replace(code, gate=EagerGate(code.gate.gate))
    assert not score_before_update(code)["ok"]
    assert "mixing" in broken_parts(code)


def test_a_gate_that_changes_when_looked_at_is_caught():
    code = code_of(*ROWS["bayes"])
    code = replace(code, gate=TouchedGate(code.gate.gate))
    found = score_before_update(code)
    assert not found["ok"]
    assert not found["states_kept"]


def test_a_cache_that_counts_before_it_is_asked_is_caught():
    sound = code_of(*ROWS["token"])

    def count(tokens, first, last):
        """Every target's own occurrence is in its counts."""
        found = sound.count(tokens, first, last)
        return replace(found, hits=found.hits + np.uint32(1), total=found.total + np.uint32(1))

    code = replace(sound, count=count)
    assert not score_before_update(code)["ok"]


def test_tables_that_change_when_they_are_looked_at_are_caught(monkeypatch):
    code = code_of(ADAPTIVE, HASHED)
    found = score_before_update(code)
    walks = HASHED["max_order"]  # one table per gram length
    assert found["states_kept"] and found["states_checked"] == STATE_CHECKS + 6 * walks
    ask = GramTable.ask

    def asks_and_counts(table, target, found):
        ask(table, target, found)
        table.counters.small[3] += 1

    monkeypatch.setattr(GramTable, "ask", asks_and_counts)
    assert not score_before_update(code)["states_kept"]


def test_a_cache_that_sees_the_future_is_caught():
    sound = code_of(*ROWS["token"])

    def count(tokens, first, last):
        """Contexts count wherever they stand in the text."""
        whole = sound.count(np.concatenate((tokens, tokens[1:])), 1, 2 * (len(tokens) - 1))
        shift = len(tokens) - 1
        part = slice(shift + first - 1, shift + last)
        return MatchCounts(first, whole.order[part], whole.hits[part], whole.total[part])

    assert "counting" in broken_parts(replace(sound, count=count))


def test_a_model_that_sees_the_future_is_caught():
    def seer(tokens, windows):
        nll, entropy = score(tokens, windows)
        return nll, np.append(entropy[1:], entropy[0])

    assert broken_parts(code_of(None, None), seer) == ["scoring"]


def test_scores_of_another_model_are_caught():
    nll, _ = score(TOKENS, range(len(PLAN)))
    found = score_before_update(code_of(None, None), nll[::-1].copy())
    assert not found["ok"]
    assert found["mean_model_difference_nats"] > verdict.MODEL_DIFFERENCE


def test_evidence_of_another_artifact_is_refused():
    witness = Witness(code_of(None, None).gate, model_evidence(), None, np.random.default_rng(6))
    with pytest.raises(StageError, match="of artifact artifact…; the scores are of other"):
        witness.evidence("other", "spec")


@pytest.mark.parametrize(
    "evidence", [model_evidence(), cache_evidence(code_of(*ROWS["bayes"]))], ids=["model", "cache"]
)
def test_evidence_comes_back_from_its_file_and_only_for_its_targets(evidence, tmp_path):
    evidence.save(tmp_path / "audit.npz")
    cache = (code_of(*ROWS["bayes"]).cache,) if isinstance(evidence, CacheEvidence) else ()
    found = type(evidence).load(tmp_path / "audit.npz", WANTED, *cache, VOCABULARY)
    for name, value in vars(evidence).items():
        assert np.array_equal(getattr(found, name), value), name
    other = WANTED._replace(changed=WANTED.changed + 1)
    with pytest.raises(StageError, match=r"audit\.npz: changed are not those of this audit"):
        type(evidence).load(tmp_path / "audit.npz", other, *cache, VOCABULARY)
    with pytest.raises(StageError, match=r"audit\.npz: (hits|distributions) is .*; expected"):
        type(evidence).load(tmp_path / "audit.npz", WANTED, *cache, VOCABULARY + 1)


def test_a_rows_evidence_comes_back_whole_and_its_calibration_alone(tmp_path):
    evidence = row_evidence(code_of(*ROWS["bayes"]))
    evidence.save(tmp_path / "seed1.npz")
    found = RowEvidence.load(tmp_path / "seed1.npz", WANTED)
    for name, value in vars(evidence).items():
        assert np.array_equal(getattr(found, name), value), name
    alone = RowEvidence.load_calibration(tmp_path / "seed1.npz")
    assert alone.any() and np.array_equal(alone, evidence.calibration)


@pytest.mark.parametrize(
    "spans",
    [
        [(1, 80), (82, 159)],
        [(1, 80), (80, 161)],
        [(1, 80), (81, 159)],
        [(2, 79), (81, 160)],
        [(81, 160), (1, 80)],
        [(1, 80), (81, 161)],
    ],
    ids=["gap", "overlap", "end missing", "start missing", "order", "too long"],
)
def test_targets_missing_or_twice_are_caught(spans):
    sound = sums_of([(1, 100), (101, 140)])
    assert verdict.once_each([sound, sound], TARGETS, 2 * TARGETS)["ok"]
    assert not verdict.once_each([sound, sums_of(spans)], TARGETS, 2 * TARGETS)["ok"]
    assert not verdict.once_each([sound], TARGETS, 2 * TARGETS + 1)["ok"]


def sums_of(spans: list[tuple[int, int]]) -> Sums:
    parts = [
        RankSum("row", 1, rank, first, count, 1.5 * count, 2 * count, 0.0)
        for rank, (first, count) in enumerate(spans)
    ]
    return Sums("spec", "scores", None, "artifact", 0.0, tuple(parts))


def test_the_normalised_score_charges_log2_z_for_every_target():
    mass = np.array([2.0, 8.0, 2.0, 8.0])
    found = verdict.seed_figures(sums_of([(1, TARGETS)]), mass)
    assert found["bpb"] == pytest.approx(0.75 / np.log(2))
    assert found["mean_log2_z"] == pytest.approx(2.0)
    assert found["bpb_normalized"] == pytest.approx(found["bpb"] + 2.0 * 0.5)
    assert found["standard_error"] == pytest.approx(np.sqrt(4 / 3) / 2 * 0.5)


def test_one_target_of_many_tells_no_standard_error_and_all_have_none():
    mass = np.array([2.0, 8.0])
    assert verdict.mean_log2(mass[:1], 3) == (1.0, None)
    assert verdict.mean_log2(mass[:1], 1) == (1.0, 0.0) and verdict.mean_log2(mass, 2)[1] == 0.0
    assert verdict.seed_figures(sums_of([(1, TARGETS)]), mass[:1])["standard_error"] is None


def test_a_claim_that_fails_names_the_check_and_its_figure():
    checks = {"normalised": {"ok": True}, "causal": {"ok": False, "broken": ["mixing"]}}
    verdict.require_claim("row", None, checks)
    with pytest.raises(StageError, match=r"row a: claims code_length but fails `causal`: broken"):
        verdict.require_claim("a", "code_length", checks)
    assert not verdict.holds(checks)


def test_few_targets_are_all_sampled():
    generator = np.random.default_rng(0)
    assert sample_targets(5, 9, generator).tolist() == [1, 2, 3, 4, 5]
    found = sample_targets(1000, 50, generator)
    assert len(set(found.tolist())) == 50
    assert found.min() >= 1
    assert found.max() <= 1000
    assert (np.diff(found) > 0).all()


def test_every_stage_looks_at_the_same_targets():
    settings = {"mass_targets": 50, "causality_targets": 3, "seed": 2}
    one, other = audit_targets(settings, 1000), audit_targets(settings, 1000)
    for name in AuditTargets._fields:
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert (len(one.sampled), len(one.changed)) == (50, 3)


def test_a_distribution_by_powers_of_two():
    found = binned(np.array([0.5, 0.26, 0.24, 0.0, 2.0]), 2)
    assert found[0].tolist() == [2, 2.5, 0], "[1/2, 1], and what exceeds it"
    assert found[1].tolist() == [1, 0.26, 0] and found[2].tolist() == [1, 0.24, 1]
    assert found[CALIBRATION_BINS - 1].tolist() == [1, 0, 0]
    assert found.sum(axis=0).tolist() == [5, 3.0, 1]


def test_evidence_says_how_calibrated_the_mixture_is():
    evidence = row_evidence(code_of(*ROWS["bayes"]))
    found = evidence.calibration
    assert found[:, 2].sum() == len(evidence.targets), "one token came at each target"
    assert found[:, 1].sum() == pytest.approx(evidence.mass.sum())
