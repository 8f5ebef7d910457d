"""Exact counts where the property tests do not reach: long texts, many tokens, documents."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_ranks, count_targets, distributions_at
from fairway.counting.context_groups import FIRST, NEAR, cut_between_groups
from fairway.counting.online import OnlineCounts
from fairway.stage import StageError
from support.counting_reference import count_all, match_all

TEXTS = {
    "all different": np.arange(2, 20_002, dtype=np.uint16),
    "one token": np.full(9000, 7, dtype=np.uint16),
    "two tokens": np.random.default_rng(0).integers(0, 2, 20_000).astype(np.uint16),
    "full vocabulary": np.random.default_rng(1).integers(0, 65536, 9000).astype(np.uint16),
    "words": np.random.default_rng(2).zipf(1.3, 9000).clip(2, 400).astype(np.uint16),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("update", ["segment", "token"])
@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_more_groups_and_larger_ones_than_properties_draw(text, update, threads):
    tokens = TEXTS[text]
    plan = WindowPlan(len(tokens) - 1, 300, 64)
    settings = CacheSettings(kind="exact", max_order=5, update=update)
    counts = count_targets(tokens, plan, 1, plan.targets, settings, threads)
    order, hits, total = match_all(tokens, plan, settings, 1, plan.targets)
    np.testing.assert_array_equal(counts.order, order)
    np.testing.assert_array_equal(counts.total, total)
    np.testing.assert_array_equal(counts.hits, hits)
    if text == "all different":
        assert not counts.order.any()
    if text in ("one token", "two tokens"):
        assert len(tokens) / len(np.unique(tokens)) > 2 * NEAR, "groups are cut more than once"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 12))
def test_lists_are_cut_between_groups_only(sizes, most):
    entries = np.arange(sum(sizes), dtype=np.uint32)
    begins = np.cumsum([0, *sizes])
    entries[begins[:-1]] |= FIRST
    cuts = np.full(2 * (len(entries) // most) + 3, -1)
    pieces = cut_between_groups(entries, most, cuts)
    cuts = cuts[: pieces + 1]
    assert cuts[0] == 0 and cuts[-1] == len(entries) and np.isin(cuts, begins).all()
    for begin, end in itertools.pairwise(cuts.tolist()):
        groups = np.count_nonzero((begins >= begin) & (begins < end))
        assert end - begin <= most or groups == 1
    for begin, end in zip(cuts, cuts[2:], strict=False):
        assert end - begin > most, "two pieces that fit together"


def test_a_context_may_begin_at_a_bos_but_not_before_it():
    document = [1, 5, 6, 7]
    tokens = np.array(document * 3, dtype=np.uint16)
    plan = WindowPlan(len(tokens) - 1, 1, 1)
    settings = CacheSettings(
        kind="exact", max_order=6, min_count=1, cross_documents=False, update="token"
    )
    counts = count_targets(tokens, plan, 1, plan.targets, settings)
    # of the third document: BOS itself is predicted by the whole second one, then by what
    # follows BOS; order = 1 + number of context tokens
    assert counts.order[7:].tolist() == [5, 2, 3, 4]
    assert counts.total[7:].tolist() == [1, 2, 2, 2]
    crossing = CacheSettings(kind="exact", max_order=6, min_count=1, update="token")
    counts = count_targets(tokens, plan, 1, plan.targets, crossing)
    assert counts.order[7:].tolist() == [5, 6, 6, 6]


def test_a_rank_without_prefill_knows_nothing_of_earlier_targets():
    tokens = np.tile(np.arange(2, 12, dtype=np.uint16), 40)
    plan = WindowPlan(len(tokens) - 1, 64, 16)
    settings = CacheSettings(kind="exact", max_order=4, prefill=False)
    for counts in count_ranks(tokens, plan, 4, settings):
        assert not counts.order[:16].any(), "the first segment has nothing before it"
        assert counts.order[-1] == 4


def test_hits_over_the_vocabulary_add_up_to_the_total():
    tokens = np.random.default_rng(3).zipf(1.3, 5000).clip(2, 99).astype(np.uint16)
    plan = WindowPlan(len(tokens) - 1, 256, 64)
    settings = CacheSettings(kind="exact", max_order=6)
    targets = np.arange(3000, 3100)
    found = distributions_at(tokens, plan, targets, settings, 100)
    np.testing.assert_array_equal(found.hits.sum(axis=1), found.totals)
    counts = count_targets(tokens, plan, 3000, 3099, settings)
    np.testing.assert_array_equal(found.orders, counts.order)
    np.testing.assert_array_equal(found.totals, counts.total)
    np.testing.assert_array_equal(found.hits[np.arange(100), tokens[targets]], counts.hits)


@pytest.mark.parametrize("update", ["segment", "token"])
def test_pushed_counts_outgrow_their_first_memory(update):
    tokens = np.random.default_rng(4).zipf(1.3, 3000).clip(2, 99).astype(np.uint16)
    plan = WindowPlan(len(tokens) - 1, 256, 64)
    settings = CacheSettings(kind="exact", max_order=6, update=update, output="orders")
    totals, hits, distinct = count_all(tokens, plan, settings, 1, plan.targets)
    matched = match_all(tokens, plan, settings, 1, plan.targets)
    online = OnlineCounts(settings, plan, 100)
    for target, token in enumerate(tokens.tolist()):
        if target > 2500:
            found_totals, found_hits, found_distinct = online.read()
            np.testing.assert_array_equal(found_totals, totals[target - 1])
            np.testing.assert_array_equal(found_hits[:, token], hits[target - 1])
            np.testing.assert_array_equal(found_distinct, distinct[target - 1])
            order, total, hits_of_all = online.read_match()
            assert (order, hits_of_all[token], total) == tuple(
                array[target - 1] for array in matched
            )
        online.push(token)


def test_pushing_is_for_exact_caches_and_known_tokens():
    plan = WindowPlan(100, 10, 10)
    with pytest.raises(StageError, match=r"cache\.kind: hashed"):
        OnlineCounts(CacheSettings(kind="hashed", max_order=3, buckets=8), plan, 10)
    with pytest.raises(StageError, match="token 10: expected 0 to 9"):
        OnlineCounts(CacheSettings(kind="exact", max_order=3), plan, 10).push(10)
