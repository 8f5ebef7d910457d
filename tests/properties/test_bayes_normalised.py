"""The empirical-Bayes gate is a distribution before every target, and that is what it scores."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.corpus.shards import BOS
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
    st.booleans(),
    st.integers(0, 1000),
)
def test_it_sums_to_one_and_holds_the_score(
    tokens, document_orders, continuation, cache, kin, seed
):
    check(np.array(tokens, np.uint16), document_orders, continuation, cache, kin, seed)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(2, VOCABULARY - 1), min_size=12, max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, VOCABULARY - 1)), max_size=4),
    st.integers(0, 1000),
)
def test_so_it_does_where_documents_meet(document, changes, seed):
    tokens = np.array(3 * [BOS, *document], np.uint16)
    for place, token in changes:
        tokens[len(document) + place % len(document)] = token
    check(tokens, 2, 2, {}, True, seed)


def check(tokens, document_orders, continuation, cache, kin, seed):
    """Target by target, the distribution before it and its score."""
    cache = CACHE | cache
    model, nll, entropy = model_scores(tokens, seed, VOCABULARY)
    counts = order_counts(tokens, cache)
    targets = np.arange(1, len(tokens))
    found = distributions_at(
        tokens, plan_of(tokens), targets, CacheSettings.from_settings(cache), VOCABULARY
    )
    every = TargetCounts(found.totals, found.hits, found.distinct)
    orders = cache["min_order"], cache["max_order"]
    gate = BayesGate(*orders, 0.25, document_orders, continuation, kin)
    state = gate.start()
    for j in range(len(targets)):
        before = state.digest()
        distribution = gate.full_distribution(state, model[j], entropy[j], rows(every, j))
        assert state.digest() == before
        assert abs(distribution.sum() - 1) <= 1e-12
        part = slice(j, j + 1)
        scored = tokens[1:][part], nll[part], entropy[part], rows(counts, part)
        nats = gate.nats(state, *scored)
        np.testing.assert_allclose(np.exp(-nats[0]), distribution[tokens[j + 1]], rtol=1e-12)
