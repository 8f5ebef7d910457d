"""Cache settings, and what is particular to hashed counts."""

import numpy as np
import pytest

from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets, distributions_at
from fairway.stage import StageError

HASHED = {"kind": "hashed", "max_order": 7, "buckets": 1024}
EXACT = {"kind": "exact", "max_order": 7}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (HASHED | {"buckets": 1000}, "cache.buckets: 1000; expected a power of two"),
        (HASHED | {"buckets": 0}, "cache.buckets: 0; expected a whole number from 1"),
        ({"kind": "hashed", "max_order": 7}, "cache.buckets: None; expected a whole number"),
        (HASHED | {"max_order": 0}, "cache.max_order: 0; expected a whole number from 1"),
        (HASHED | {"min_order": 8}, "cache.min_order: 8; expected a whole number from 1 to 7"),
        (HASHED | {"min_order": 0}, "cache.min_order: 0; expected a whole number from 1"),
        (HASHED | {"max_order": 2.5}, "cache.max_order: 2.5; expected a whole number"),
        (HASHED | {"max_order": True}, "cache.max_order: True; expected a whole number"),
        (HASHED | {"min_count": 0}, "cache.min_count: 0; expected a whole number from 1"),
        (HASHED | {"update": "token"}, "cache.update: token; expected segment"),
        (HASHED | {"output": "orders"}, "cache.output: orders; expected match"),
        (HASHED | {"kind": "suffix"}, "cache.kind: suffix; expected hashed or exact"),
        (HASHED | {"prefill": 1}, "cache.prefill: 1; expected True or False"),
        (EXACT | {"buckets": 1024}, "cache.buckets: 1024; expected None"),
        (EXACT | {"update": "never"}, "cache.update: never; expected segment or token"),
        (EXACT | {"bucket": 5}, "cache.bucket: unknown key"),
        ({"kind": "exact"}, "cache.max_order: missing"),
    ],
)
def test_bad_settings_are_one_clear_line(settings, message):
    with pytest.raises(StageError) as error:
        CacheSettings.from_settings(settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_settings_of_a_spec_are_taken_whole():
    memory = {"budget": "all", "size": None, "compressor": "lzma"}
    settings = CacheSettings.from_settings(HASHED | {"memory_settings": memory})
    assert (settings.orders, settings.min_count, settings.prefill) == (6, 2, True)


@pytest.mark.parametrize("kind", [HASHED, EXACT])
def test_targets_outside_the_text_are_refused(kind):
    tokens, plan = np.zeros(101, dtype=np.uint16), WindowPlan(100, 10, 5)
    settings = CacheSettings(**kind)
    for first, last in ((0, 5), (5, 101), (7, 6)):
        with pytest.raises(StageError, match="expected a range in 1 to 100"):
            count_targets(tokens, plan, first, last, settings)
    with pytest.raises(StageError, match="tokens: 90; expected 101"):
        count_targets(tokens[:90], plan, 1, 89, settings)
    with pytest.raises(StageError, match="rising"):
        distributions_at(tokens, plan, [5, 5], settings, 8)


def test_the_text_may_be_a_read_only_memory_map(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 5, 500).astype("<u2")
    tokens.tofile(tmp_path / "tokens")
    mapped = np.memmap(tmp_path / "tokens", dtype="<u2", mode="r")
    plan, settings = WindowPlan(499, 50, 10), CacheSettings(**HASHED)
    found = count_targets(mapped, plan, 1, 499, settings)
    expected = count_targets(tokens, plan, 1, 499, settings)
    np.testing.assert_array_equal(found.total, expected.total)
    assert tokens.flags.writeable


def test_one_bucket_counts_everything_as_everything():
    tokens, plan = np.arange(1000, 1300, dtype=np.uint16), WindowPlan(299, 10, 10)
    settings = CacheSettings(kind="hashed", max_order=3, buckets=1)
    counts = count_targets(tokens, plan, 1, 299, settings)
    # order 3 starts with target 2; ten targets are counted at a time
    expected = np.maximum((np.arange(1, 300) - 1) // 10 * 10 - 1, 0)
    np.testing.assert_array_equal(counts.total, expected)
    np.testing.assert_array_equal(counts.hits, expected)
    distribution = distributions_at(tokens, plan, [299], settings, 5)
    assert distribution.hits[0].sum() == 5 * distribution.totals[0], "not a distribution"


def test_no_token_has_hits_where_no_order_matched():
    tokens, plan = np.array([5, 6, 5, 6, 7], dtype=np.uint16), WindowPlan(4, 1, 1)
    settings = CacheSettings(kind="hashed", max_order=3, buckets=1 << 12, min_count=2)
    for target in (2, 3):  # the context of target 3 was seen once, and 6 followed
        found = distributions_at(tokens, plan, [target], settings, 8)
        assert (found.orders[0], found.totals[0], found.hits[0].sum()) == (0, 0, 0)


def test_more_than_one_block_and_any_number_of_threads():
    tokens = np.random.default_rng(1).integers(0, 50, 600_000).astype(np.uint16)
    plan = WindowPlan(len(tokens) - 1, 2048, 64)
    settings = CacheSettings(kind="hashed", max_order=5, buckets=1 << 12)
    one = count_targets(tokens, plan, 1, plan.targets, settings, threads=1)
    for threads in (2, 7):
        several = count_targets(tokens, plan, 1, plan.targets, settings, threads)
        for name in ("order", "hits", "total"):
            np.testing.assert_array_equal(getattr(several, name), getattr(one, name))
    first, last = 400_000, 500_000
    part = count_targets(tokens, plan, first, last, settings)
    np.testing.assert_array_equal(part.total, one.total[first - 1 : last])


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("first", [25, 40, 101, 140])
def test_a_range_is_counted_alone_wherever_it_begins_in_a_threads_part(first, threads):
    tokens = np.random.default_rng(0).integers(0, 2, 150).astype(np.uint16)
    plan = WindowPlan(149, 20, 10)
    settings = CacheSettings(kind="hashed", max_order=5, buckets=64)
    counts = count_targets(tokens, plan, first, 149, settings, threads)
    whole = count_targets(tokens, plan, 1, 149, settings)
    for name in ("order", "hits", "total"):
        np.testing.assert_array_equal(getattr(counts, name), getattr(whole, name)[first - 1 :])
