"""Hashed counts equal the rule written out in plain Python, for any text, windows and ranks."""

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets, distributions_at
from support.counting_cases import cases, texts
from support.counting_reference import match_all


def assert_counts(counts, expected):
    order, hits, total = expected
    np.testing.assert_array_equal(counts.order, order)
    np.testing.assert_array_equal(counts.total, total)
    np.testing.assert_array_equal(counts.hits, hits)


@hypothesis_settings(max_examples=30, deadline=None)
@given(cases("hashed"), st.data())
def test_distributions_hold_what_counting_another_token_would_have_given(case, data):
    tokens, plan, settings, ranks, _, memory = case
    target = data.draw(st.integers(1, plan.targets))
    token = data.draw(st.integers(0, 70))
    found = distributions_at(tokens, plan, [target], settings, 71, ranks, memory=memory)
    changed = tokens.copy()
    changed[target] = token
    starts = [plan.rank_targets(rank, ranks)[0] for rank in range(ranks)]
    start = max(start for start in starts if start <= target)
    counts = match_all(changed, plan, settings, start, target, memory)
    order, hits, total = (part[-1] for part in counts)
    assert (found.orders[0], found.totals[0], found.hits[0, token]) == (order, total, hits)


@hypothesis_settings(max_examples=20, deadline=None)
@given(texts(longest=300), st.integers(1, 32))
def test_all_orders_up_to_32(tokens, max_order):
    plan = WindowPlan(len(tokens) - 1, 2, 2)
    settings = CacheSettings(kind="hashed", max_order=max_order, min_order=1, buckets=256)
    counts = count_targets(tokens, plan, 1, plan.targets, settings)
    assert_counts(counts, match_all(tokens, plan, settings, 1, plan.targets))
