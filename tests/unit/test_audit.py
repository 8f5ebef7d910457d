"""Every check of the audit holds for sound code and fails for the code it is meant to catch."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from fairway import audit, caches, verdict
from fairway.audit import RowCode, Shards
from fairway.caches import CacheSettings
from fairway.counts import MatchCounts
from fairway.row_gate import BayesRow, MatchRow, row_gate
from fairway.scores import Scores
from fairway.stage import StageError
from fairway.sums import RankSum, Sums
from fairway.windows import WindowPlan
from tiny_mixing import CACHE, VOCABULARY, text

TARGETS, RANKS = 240, 3
PLAN = WindowPlan(TARGETS, 16, 8)
TOKENS = text(TARGETS)
ADAPTIVE = {"kind": "order_adaptive", "threshold_low_order": 1.5, "threshold_high_order": 0.5}
HASHED = {"kind": "hashed", "max_order": 4, "min_order": 2, "buckets": 8, "output": "match"}
MATCH = {"kind": "exact", "max_order": 4, "min_order": 2, "output": "match"}
ROWS = {
    "neural": (None, None),
    "match": (ADAPTIVE, MATCH),
    "token": (ADAPTIVE, MATCH | {"update": "token", "min_count": 1}),
    "bayes": ({"kind": "empirical_bayes"}, CACHE),
}


def code_of(gate: dict | None, cache: dict | None) -> RowCode:
    if cache is None:
        return RowCode(PLAN, VOCABULARY, row_gate(gate, cache), None, None)
    settings = CacheSettings.from_settings(cache)

    def count(tokens, first, last):
        plan = replace(PLAN, targets=len(tokens) - 1)
        return caches.count_targets(tokens, plan, first, last, settings)

    def count_all(tokens, targets):
        return caches.distributions_at(tokens, PLAN, targets, settings, VOCABULARY, RANKS)

    return RowCode(PLAN, VOCABULARY, row_gate(gate, cache), count, count_all)


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


def shards_of(code: RowCode, score=score) -> Shards:
    scores, counts = [], []
    nll, entropy = score(TOKENS, range(len(PLAN)))
    for rank in range(RANKS):
        first, last = PLAN.rank_targets(rank, RANKS)
        part = slice(first - 1, last)
        scores.append(Scores(first, nll[part], entropy[part], "artifact", "spec"))
        counts.append(code.count(TOKENS, first, last) if code.count else None)
    return Shards(scores, counts)


def samples(code: RowCode, shards: Shards | None = None) -> audit.Samples:
    targets = audit.sample_targets(TARGETS, 60, np.random.default_rng(0))
    found = code.count_all(TOKENS, targets) if code.count_all else None
    model = distributions(TOKENS, targets)
    return audit.sample_row(code, TOKENS, shards or shards_of(code), targets, model, found)


def broken_parts(code: RowCode, score=score) -> set[str]:
    generator, shards = np.random.default_rng(4), shards_of(code, score)
    found = set()
    for target in (5, 16, 17, 100, 163, TARGETS):
        found.update(audit.causes_before(code, score, TOKENS, shards, target, generator))
    return found


def null_check(code: RowCode) -> dict:
    tokens = np.random.default_rng(8).integers(0, VOCABULARY, 3001).astype(np.uint16)
    return verdict.null_stream(audit.null_stream_nats(code, code.count, tokens), VOCABULARY)


@pytest.mark.parametrize("row", ROWS)
def test_sound_rows_pass(row):
    code = code_of(*ROWS[row])
    found = [samples(code)]
    assert verdict.normalised(found)["ok"]
    assert verdict.score_before_update(found)["ok"]
    assert broken_parts(code) == set()
    assert null_check(code)["ok"]


def test_hashed_counts_have_mass_to_spare_and_seem_to_compress_noise():
    code = code_of(ADAPTIVE, HASHED)
    found = verdict.normalised([samples(code)])
    assert not found["ok"]
    assert found["mean_z"] > 1.1
    null = null_check(code)
    assert not null["ok"]
    assert null["bits_per_token"] < null["floor_bits"] - 0.1
    assert broken_parts(code) == set()


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
    assert not verdict.score_before_update([samples(code)])["ok"]


def test_a_gate_that_sees_the_future_is_caught():
    code = code_of(*ROWS["match"])
    code = replace(code, gate=WholeTextGate(code.gate.gate))
    assert broken_parts(code) == {"mixing"}


def test_a_gate_that_learns_before_scoring_is_caught():
    code = code_of(*ROWS["bayes"])
    code = replace(code, gate=EagerGate(code.gate.gate))
    assert not verdict.score_before_update([samples(code)])["ok"]
    assert "mixing" in broken_parts(code)


def test_a_gate_that_changes_when_looked_at_is_caught():
    code = code_of(*ROWS["bayes"])
    code = replace(code, gate=TouchedGate(code.gate.gate))
    found = verdict.score_before_update([samples(code)])
    assert not found["ok"]
    assert not found["states_kept"]


def test_a_cache_that_counts_before_it_is_asked_is_caught():
    sound = code_of(*ROWS["token"])

    def count(tokens, first, last):
        """Every target's own occurrence is in its counts."""
        found = sound.count(tokens, first, last)
        return replace(found, hits=found.hits + np.uint32(1), total=found.total + np.uint32(1))

    code = replace(sound, count=count)
    assert not verdict.score_before_update([samples(code)])["ok"]


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

    assert broken_parts(code_of(None, None), seer) == {"scoring"}


def test_scores_of_another_model_are_caught():
    code = code_of(None, None)
    stored = shards_of(code)
    other = [replace(part, nll=part.nll[::-1].copy()) for part in stored.scores]
    found = verdict.score_before_update([samples(code, Shards(other, stored.counts))])
    assert not found["ok"]
    assert found["mean_model_difference_nats"] > verdict.MODEL_DIFFERENCE


@dataclass(frozen=True)
class Span:
    first_target: int
    targets: int


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
    shards = shards_of(code_of(*ROWS["match"]))
    assert verdict.covers(sums_of([(1, 100), (101, 140)]), shards, TARGETS, 2 * TARGETS)
    assert not verdict.covers(sums_of(spans), shards, TARGETS, 2 * TARGETS)
    counts = replace(shards, counts=[Span(*span) for span in spans])
    assert not verdict.covers(sums_of([(1, TARGETS)]), counts, TARGETS, 2 * TARGETS)
    assert not verdict.covers(sums_of([(1, TARGETS)]), shards, TARGETS, 2 * TARGETS + 1)


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


def test_a_claim_that_fails_names_the_check_and_its_figure():
    checks = {"normalised": {"ok": True}, "causal": {"ok": False, "broken": ["mixing"]}}
    verdict.require_claim("row", None, checks)
    with pytest.raises(StageError, match=r"row a: claims code_length but fails `causal`: broken"):
        verdict.require_claim("a", "code_length", checks)
    assert not verdict.holds(checks)


def test_few_targets_are_all_sampled():
    generator = np.random.default_rng(0)
    assert audit.sample_targets(5, 9, generator).tolist() == [1, 2, 3, 4, 5]
    found = audit.sample_targets(1000, 50, generator)
    assert len(set(found.tolist())) == 50
    assert found.min() >= 1
    assert found.max() <= 1000
    assert (np.diff(found) > 0).all()
