"""The empirical-Bayes gate is a distribution before every target, and that is what it scores."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.counting.caches import CacheSettings, distributions_at
from fairway.gates.bayes import BayesGate, TargetCounts
from support.tiny_mixing import CACHE, model_scores, order_counts, plan_of, rows

VOCABULARY = 5


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, VOCABULARY - 1), min_size=10, max_size=60),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from([{}, {"update": "segment"}, {"cross_documents": False}, {"min_order": 1}]),
    st.integers(0, 1000),
)
def test_it_sums_to_one_and_holds_the_score(tokens, document_orders, continuation, cache, seed):
    tokens = np.array(tokens, dtype=np.uint16)
    cache = CACHE | cache
    model, nll, entropy = model_scores(tokens, seed, VOCABULARY)
    counts = order_counts(tokens, cache)
    targets = np.arange(1, len(tokens))
    found = distributions_at(
        tokens, plan_of(tokens), targets, CacheSettings.from_settings(cache), VOCABULARY
    )
    every = TargetCounts(found.totals, found.hits, found.distinct)
    gate = BayesGate(cache["min_order"], cache["max_order"], 0.25, document_orders, continuation)
    state = gate.start()
    for j in range(len(targets)):
        before = state.digest()
        distribution = gate.full_distribution(state, model[j], entropy[j], rows(every, j))
        assert state.digest() == before
        assert abs(distribution.sum() - 1) <= 1e-9
        part = slice(j, j + 1)
        scored = tokens[1:][part], nll[part], entropy[part], rows(counts, part)
        nats = gate.nats(state, *scored)
        np.testing.assert_allclose(np.exp(-nats[0]), distribution[tokens[j + 1]], rtol=1e-12)
