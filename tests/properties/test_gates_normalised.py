"""Match gates over exact counts are distributions; over colliding counts they are not."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.gates.match import match_gate

KINDS = [
    {"kind": "fixed", "alpha": 0.7},
    {"kind": "entropy", "threshold": 4.0},
    {"kind": "order_adaptive", "threshold_low_order": 4.5, "threshold_high_order": 2.5},
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.lists(st.integers(0, 2**31), min_size=2, max_size=40).filter(any),
    st.floats(0, 10),
    st.integers(0, 20),
    st.integers(0, 2**32 - 1),
)
def test_exact_counts_sum_to_one(kind, hits, entropy, order, seed):
    hits = np.array(hits, dtype=np.int64)
    model = np.random.default_rng(seed).dirichlet(np.full(len(hits), 0.1))
    gate = match_gate(kind, 15, hashed=False)
    mass = gate.full_distribution(model, entropy, order, hits, int(hits.sum())).sum()
    assert abs(mass - 1) <= 1e-9


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(KINDS), st.integers(2, 50), st.floats(0, 10))
def test_collisions_add_mass(kind, collisions, entropy):
    hits = np.full(64, collisions)
    gate = match_gate(kind, 15, hashed=True)
    mass = gate.full_distribution(np.full(64, 1 / 64), entropy, 5, hits, collisions).sum()
    assert mass > 1.001
