"""Eight lanes at once against numpy: elementary functions, tables, and what runs along levels."""

import numpy as np
from numba import njit

from fairway.kernels.lane_chains import mix_lanes, multiply_back, store_shares
from fairway.kernels.lane_memory import gather, load, scatter, store
from fairway.kernels.lanes import (
    exponential,
    inverse_root,
    larger,
    largest_lane,
    same,
    sum_of_lanes,
    where_positive,
    whole_log2,
)

GENERATOR = np.random.default_rng(7)


@njit
def apply(values, powers, roots, logarithms):
    for at in range(0, values.size, 8):
        value = load(values, at)
        store(powers, at, exponential(value))
        store(roots, at, inverse_root(value * value))
        store(logarithms, at, whole_log2(value * value))


def test_elementary_functions_are_as_near_as_promised():
    values = GENERATOR.uniform(-80, 80, 8000).astype(np.float32)
    values[0] = 0.5
    powers, roots, logarithms = np.empty((3, 8000), dtype=np.float32)
    apply(values, powers, roots, logarithms)
    wide = values.astype(np.float64)
    near_zero = np.abs(wide) < 15  # beyond, the rounding of x·log2(e) counts
    np.testing.assert_allclose(powers[near_zero], np.exp(wide[near_zero]), rtol=3e-6)
    np.testing.assert_allclose(powers, np.exp(wide), rtol=1e-5)
    np.testing.assert_allclose(roots, 1 / np.abs(wide), rtol=6e-6)
    large = np.abs(wide) >= 1
    expected = np.floor(np.log2(np.square(values[large])))
    np.testing.assert_array_equal(logarithms[large], expected)


@njit
def double_cells(table, columns, at):
    scatter(table, columns, at, same(2.0) * gather(table, columns, at))


def test_scattering_puts_lanes_back_where_they_were_gathered():
    table = GENERATOR.random((5, 16), dtype=np.float32)
    columns = GENERATOR.integers(0, 5, 16).astype(np.int32)
    expected = table.copy()
    expected[columns[8:], np.arange(8, 16)] *= 2
    double_cells(table, columns, 8)
    np.testing.assert_array_equal(table, expected)


@njit
def along(trust, share, start, before, slopes):
    lanes, probability = mix_lanes(load(trust, 0), share, 0, start)
    store(before, 0, lanes)
    lanes, slope = multiply_back(same(1.0) - load(trust, 0), 2.0)
    store(slopes, 0, lanes)
    return probability, slope


def test_chains_equal_steps_one_by_one():
    trust, share = GENERATOR.random(8, dtype=np.float32), GENERATOR.random(8)
    before, slopes = np.empty((2, 8), dtype=np.float32)
    probability, slope = along(trust, share, 0.3, before, slopes)
    p, x = 0.3, 2.0
    for k in range(8):
        np.testing.assert_allclose(before[k], p, rtol=1e-6)
        p = float(trust[k]) * share[k] + (1 - float(trust[k])) * p
    np.testing.assert_allclose(probability, p, rtol=1e-14)
    for k in reversed(range(8)):
        np.testing.assert_allclose(slopes[k], x, rtol=1e-6)
        x *= 1 - float(trust[k])
    np.testing.assert_allclose(slope, x, rtol=1e-6)


@njit
def summarize(total, hits, share):
    store_shares(share, hits, total, 0)
    seen = load(total, 0)
    kept = where_positive(seen, seen, same(-1.0))
    return sum_of_lanes(kept), largest_lane(larger(kept, same(2.0)))


def test_shares_and_summaries_of_lanes():
    total = np.array([0, 1, 2, 3, 0, 5, 6, 4_000_000_000], dtype=np.uint32)
    hits, share = total // 2, np.empty(8)
    found = summarize(total, hits, share)
    np.testing.assert_array_equal(share, hits / np.maximum(total, 1))
    np.testing.assert_allclose(found, (4e9 + 15, 4e9), rtol=1e-7)
