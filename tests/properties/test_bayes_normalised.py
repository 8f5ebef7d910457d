"""The empirical-Bayes gate is a distribution before every target, and that is what it scores."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.corpus.shards import BOS
from fairway.counting.segments import NO_MEMORY
from fairway.gates.bayes import BayesGate
from support.gate_backends import decoded
from support.tiny_mixing import CACHE, model_scores

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
    """Target by target, the distribution before it and its score (`decoded` asserts both)."""
    cache = CACHE | cache
    model, _, entropy = model_scores(tokens, seed, VOCABULARY)
    orders = cache["min_order"], cache["max_order"]
    gate = BayesGate(*orders, 0.25, document_orders, continuation, kin)
    decoded(gate, cache, tokens, model, entropy, NO_MEMORY)
