"""Counters of a byte and more are exact however high they count."""

import re
from pathlib import Path

import numpy as np
import pytest

from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets
from fairway.counting.counters import DENSE, Counters, add, empty_counters, read


def counts_of(counters, keys):
    counts = np.empty(len(keys), dtype=np.uint32)
    read(*counters, np.array(keys, dtype=np.uint32), 0, len(keys), counts)
    return counts.tolist()


@pytest.mark.parametrize("count", [0, 1, 126, 127, 128, 129, 255, 256, 257, 383, 384, 65_536])
def test_a_counter_holds_every_count_and_leaves_the_others_alone(count):
    counters = empty_counters(4)
    keys = np.full(count, 2, dtype=np.uint32)
    add(*counters, keys, 0, count)
    assert counts_of(counters, [0, 1, 2, 3]) == [0, 0, count, 0]


def test_additions_at_random_places_equal_numpys():
    random = np.random.default_rng(3)
    # a few counters get far beyond two bytes, many stay within one
    keys = np.minimum(random.geometric(0.2, 600_000) - 1, 49).astype(np.uint32)
    counters, expected = empty_counters(50), np.bincount(keys, minlength=50)
    assert expected.max() > 65_536 and np.count_nonzero(expected < 128) > 5
    add(*counters, keys, 0, 400_000)
    add(*counters, keys, 400_000, len(keys))
    assert counts_of(counters, range(50)) == expected.tolist()


def test_emptying_the_bytes_is_enough():
    counters = Counters(np.zeros(2, dtype=np.uint8), np.full(2, 12345, dtype=np.uint32))
    add(*counters, np.zeros(1000, dtype=np.uint32), 0, 1000)
    assert counts_of(counters, [0, 1]) == [1000, 0]
    counters.small[:] = 0
    add(*counters, np.array([0, 1, 1], dtype=np.uint32), 0, 3)
    assert counts_of(counters, [0, 1]) == [1, 2]
    add(*counters, np.zeros(199, dtype=np.uint32), 0, 199)
    assert counts_of(counters, [0, 1]) == [200, 2]


def test_many_counters_take_memory_only_where_they_count_high():
    def megabytes():
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    before, count = megabytes(), 4 * DENSE
    counters = empty_counters(count)
    keys = np.repeat(np.arange(0, count, count // 64, dtype=np.uint32), 1000)
    add(*counters, keys, 0, len(keys))
    assert counts_of(counters, keys[::1000]) == [1000] * 64
    assert megabytes() - before < 200, "128 MB of bytes and 64 pages of 4 kB"


def test_the_highest_count_is_read_whole():
    last_bits, others = 2**32 - 1 & 127, (2**32 - 1) >> 7
    small, large = np.array([128 + last_bits - 1]), np.array([others])
    counters = Counters(small.astype(np.uint8), large.astype(np.uint32))
    add(*counters, np.zeros(1, dtype=np.uint32), 0, 1)
    assert counts_of(counters, [0]) == [2**32 - 1]


@pytest.mark.parametrize("min_count", [2, 200, 70_000, 2**32 - 1])
def test_targets_get_counts_of_more_than_two_bytes(min_count):
    tokens = np.full(80_001, 5, dtype=np.uint16)
    plan = WindowPlan(80_000, 64, 64)
    settings = CacheSettings(kind="hashed", max_order=2, buckets=1 << 10, min_count=min_count)
    counts = count_targets(tokens, plan, 1, plan.targets, settings)
    seen = (np.arange(80_000) // 64) * 64  # before the target's segment
    expected = np.where(seen >= min_count, seen, 0)
    np.testing.assert_array_equal(counts.total, expected)
    np.testing.assert_array_equal(counts.hits, expected)
