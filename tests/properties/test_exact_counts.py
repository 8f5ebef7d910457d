"""Exact counts equal dictionaries of n-grams, for any text, windows, ranks and update rule."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fairway.counting.caches import count_ranks, distributions_at
from fairway.counting.memory_index import index_memory
from fairway.counting.online import OnlineCounts
from support.counting_cases import cases
from support.counting_reference import count_all


def unpack(counts):
    """Totals, hits and distinct successors of all targets, as whole arrays."""
    rows = [[array.copy() for array in chunk[1:]] for chunk in counts.chunks()]
    return [np.concatenate(arrays) for arrays in zip(*rows, strict=True)]


def of_all_ranks(tokens, plan, settings, ranks, memory):
    """Totals, hits and distinct successors of targets 1 … N, by dictionaries."""
    shares = [plan.rank_targets(rank, ranks) for rank in range(ranks)]
    parts = [count_all(tokens, plan, settings, *share, memory) for share in shares]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


@hypothesis_settings(max_examples=60, deadline=None)
@given(cases("exact", output="orders"))
def test_every_ranks_counts_of_all_orders_are_those_of_dictionaries(case):
    tokens, plan, settings, ranks, threads, memory = case
    shards = list(count_ranks(tokens, plan, ranks, settings, threads, memory=memory))
    parts = [unpack(counts) for counts in shards]
    totals, hits, distinct = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    expected = of_all_ranks(tokens, plan, settings, ranks, memory)
    np.testing.assert_array_equal(totals, expected[0])
    np.testing.assert_array_equal(hits, expected[1])
    np.testing.assert_array_equal(distinct, expected[2])


@hypothesis_settings(max_examples=30, deadline=None)
@given(cases("exact", output="orders"), st.data())
def test_distributions_sum_to_the_totals_and_hold_the_targets_hits(case, data):
    tokens, plan, settings, ranks, _, memory = case
    memory = np.minimum(memory, 70)
    targets = sorted(data.draw(st.sets(st.integers(1, plan.targets), min_size=1, max_size=4)))
    tokens = np.minimum(tokens, 70)
    totals, hits, distinct = of_all_ranks(tokens, plan, settings, ranks, memory)
    found = distributions_at(tokens, plan, targets, settings, 71, ranks, memory=memory)
    rows = np.array(targets) - 1
    np.testing.assert_array_equal(found.totals, totals[rows])
    np.testing.assert_array_equal(found.distinct, distinct[rows])
    np.testing.assert_array_equal(found.hits.sum(axis=2), totals[rows])
    np.testing.assert_array_equal((found.hits > 0).sum(axis=2), distinct[rows])
    tokens_there = found.hits[np.arange(len(rows)), :, tokens[targets]]
    np.testing.assert_array_equal(tokens_there, hits[rows])

    matched = distributions_at(
        tokens, plan, targets, replace(settings, output="match"), 71, ranks, memory=memory
    )
    for row, order in enumerate(matched.orders):
        known = np.flatnonzero(totals[rows[row]] >= settings.min_count)
        assert order == (settings.min_order + known[-1] if known.size else 0)
        if order:
            column = order - settings.min_order
            assert matched.totals[row] == found.totals[row, column]
            np.testing.assert_array_equal(matched.hits[row], found.hits[row, column])


@hypothesis_settings(max_examples=40, deadline=None)
@given(cases("exact", output="orders"))
def test_counts_pushed_token_by_token_are_the_same(case):
    tokens, plan, settings, _, _, memory = case
    memory = np.minimum(memory, 70)
    tokens = np.minimum(tokens, 70)
    totals, hits, distinct = of_all_ranks(tokens, plan, settings, 1, memory)
    index = index_memory(memory, settings.max_order)
    online = OnlineCounts(settings, plan, 71, index if len(memory) else None)
    online.push(int(tokens[0]))
    for target in range(1, plan.targets + 1):
        found_totals, found_hits, found_distinct = online.read()
        np.testing.assert_array_equal(found_totals, totals[target - 1])
        np.testing.assert_array_equal(found_distinct, distinct[target - 1])
        np.testing.assert_array_equal(found_hits[:, tokens[target]], hits[target - 1])
        np.testing.assert_array_equal(found_hits.sum(axis=1), found_totals)
        online.push(int(tokens[target]))
