"""Match gates: settings, thresholds, floor, and the two entry points of one formula."""

import numpy as np
import pytest

from fairway.gates.match import HASHED_FLOOR, match_gate
from fairway.stage import StageError

ADAPTIVE = {"kind": "order_adaptive", "threshold_low_order": 4.5, "threshold_high_order": 2.5}


def one(gate, nll, entropy, order, hits, total):
    """Nats of a single target."""
    return gate.nats(
        np.array([nll], np.float32),
        np.array([entropy], np.float32),
        np.array([order], np.uint8),
        np.array([hits], np.uint32),
        np.array([total], np.uint32),
    )[0]


def test_thresholds_run_linearly_from_order_2_to_the_caches_maximum():
    thresholds = match_gate(ADAPTIVE, 15, hashed=False).thresholds
    for order in range(2, 16):
        assert thresholds[order] == pytest.approx(4.5 - (order - 2) / 13 * 2.0, abs=1e-12)
    assert match_gate(ADAPTIVE, 7, hashed=False).thresholds[7] == 2.5


def test_a_threshold_at_the_entropy_gives_half_of_the_span():
    gate = match_gate({"kind": "entropy", "threshold": 3.0}, 7, hashed=False)
    expected = -np.log(0.675 * np.exp(-2.0) + 0.325 * 0.5)
    assert one(gate, 2.0, 3.0, 5, 1, 2) == pytest.approx(expected, abs=1e-12)


def test_no_match_leaves_the_models_nats_bit_for_bit():
    gate = match_gate({"kind": "fixed", "alpha": 0.9}, 7, hashed=True)
    assert one(gate, 1.2345678, 3.0, 0, 0, 0) == np.float64(np.float32(1.2345678))


def test_colliding_hits_above_the_total_count_as_the_total():
    gate = match_gate({"kind": "fixed", "alpha": 0.5}, 7, hashed=True)
    assert one(gate, 3.0, 3.0, 2, 9, 4) == one(gate, 3.0, 3.0, 2, 4, 4)


def test_only_hashed_rows_have_the_floor():
    settings = {"kind": "fixed", "alpha": 0.5}
    hashed, exact = (match_gate(settings, 7, hashed=hashed) for hashed in (True, False))
    assert one(hashed, 60.0, 3.0, 2, 0, 4) == pytest.approx(-np.log(HASHED_FLOOR))
    assert one(exact, 60.0, 3.0, 2, 0, 4) == pytest.approx(60 + np.log(2))


@pytest.mark.parametrize("order", [0, 2, 9])
def test_the_distribution_at_the_target_is_what_was_scored(order):
    gate = match_gate(ADAPTIVE, 9, hashed=False)
    model = np.random.default_rng(1).dirichlet(np.ones(12))
    hits = np.arange(12, dtype=np.uint32)
    distribution = gate.full_distribution(model, np.float32(2.5), order, hits, int(hits.sum()))
    for v in range(12):
        nll = np.array([-np.log(model[v])])
        arrays = (np.array([x]) for x in (np.float32(2.5), order, hits[v], hits.sum()))
        assert -np.log(distribution[v]) == pytest.approx(gate.nats(nll, *arrays)[0], rel=1e-14)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "entropi"}, "'entropi'; a cache with matches takes fixed"),
        ({"kind": "entropy"}, "gate entropy.threshold: None; expected a number"),
        ({"kind": "fixed", "alpha": "0.5"}, "gate fixed.alpha: '0.5'; expected a number"),
        ({"kind": "fixed", "alpha": True}, "expected a number"),
        ({"kind": "fixed", "alpha": 1.0}, "expected within"),
        ({"kind": "entropy", "threshold": 4.0, "alpha_low": -0.1}, "expected within"),
        ({"kind": "entropy", "threshold": 4.0, "alpha_span": 0.95}, "expected within"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(StageError, match=message):
        match_gate(settings, 15, hashed=False)
