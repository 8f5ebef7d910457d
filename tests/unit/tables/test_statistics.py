"""Statistics of few runs: against scipy, against figures worked out by hand, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from fairway.tables.statistics import (
    better_p,
    bootstrap_documents,
    mean_interval,
    paired_difference,
    seeds_needed,
    welch_difference,
)

OLD = [1.4168, 1.4139, 1.4145]
NEW = [1.4101, 1.4080, 1.4077]


def test_an_interval_by_hand():
    """Three values: t(0.975, 2) = 4.30265; std of 1, 2, 3 is 1, so half is 4.30265 / √3."""
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.mean == 2 and found.n == 3
    assert found.high - 2 == pytest.approx(4.302652730 / math.sqrt(3), rel=1e-9)
    assert 2 - found.low == pytest.approx(found.high - 2)


def test_differences_are_scipys():
    paired = stats.ttest_rel(NEW, OLD)
    found = paired_difference(NEW, OLD)
    assert found.p == pytest.approx(paired.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(paired.confidence_interval()))
    more = [*OLD, 1.4190]
    welch = stats.ttest_ind(NEW, more, equal_var=False)
    found = welch_difference(NEW, more)
    assert found.p == pytest.approx(welch.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval()))


def test_better_is_scipys_one_sided_welch():
    expected = stats.ttest_ind(NEW, OLD, equal_var=False, alternative="less").pvalue
    assert better_p(NEW, OLD) == pytest.approx(expected, rel=1e-9)
    moved = [value + 0.005 for value in NEW]
    expected = stats.ttest_ind(moved, OLD, equal_var=False, alternative="less").pvalue
    assert better_p(NEW, OLD, margin=0.005) == pytest.approx(expected, rel=1e-9)


def test_a_single_published_score_is_taken_as_it_stands():
    expected = stats.ttest_1samp(NEW, 1.4130, alternative="less").pvalue
    assert better_p(NEW, [1.4130]) == pytest.approx(expected, rel=1e-9)
    expected = stats.ttest_1samp(OLD, 1.4100, alternative="greater").pvalue
    assert better_p([1.4100], OLD) == pytest.approx(expected, rel=1e-9)


def test_one_seed_a_side_says_nothing_of_seeds():
    assert math.isnan(mean_interval([1.0]).low)
    for found in (paired_difference([1.0], [2.0]), welch_difference([1.0], [2.0])):
        assert found.mean == -1 and math.isnan(found.p) and math.isnan(found.low)
    assert math.isnan(better_p([1.0], [2.0]))


def test_two_seeds_have_wide_intervals():
    found = mean_interval([1.0, 1.1])
    assert found.high - found.low == pytest.approx(2 * 12.70620474 * 0.05, rel=1e-8)


def test_no_spread_at_all():
    assert paired_difference([1.0, 1.0], [2.0, 2.0]) == (-1, -1, -1, 0)
    assert paired_difference([1.0, 2.0], [1.0, 2.0]) == (0, 0, 0, 1)
    assert better_p([1.0, 1.0], [2.0, 2.0]) == 0 and better_p([2.0, 2.0], [1.0, 1.0]) == 1
    assert better_p([1.0, 1.0], [2.0, 2.0], margin=1.5) == 1


@pytest.mark.parametrize("wrong", [[], [math.nan], [1.0, math.inf]])
def test_what_is_no_list_of_scores_is_refused(wrong):
    with pytest.raises(ValueError, match="finite"):
        mean_interval(wrong)


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="expected pairs"):
        paired_difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_intervals_cover_as_often_as_they_say(n):
    """8,000 simulated tables of n seeds: 95 % within four standard errors of a share, 1 %."""
    generator = np.random.default_rng(n)
    found = [mean_interval(values) for values in generator.normal(1.4, 0.002, (8000, n))]
    covered = np.mean([interval.low <= 1.4 <= interval.high for interval in found])
    assert covered == pytest.approx(0.95, abs=0.01)


def test_under_no_difference_one_sided_p_is_at_most_its_level():
    generator = np.random.default_rng(1)
    pairs = generator.normal(1.4, 0.002, (4000, 2, 5))
    p = np.array([better_p(new, old) for new, old in pairs])
    assert (p < 0.25).mean() == pytest.approx(0.25, abs=0.03)
    assert (p < 0.01).mean() < 0.015


def test_seeds_needed_reach_the_power_and_one_fewer_does_not():
    needed = seeds_needed(-0.004, 0.003, level=0.01)
    generator = np.random.default_rng(2)
    found = {}
    for n in (needed, needed - 1):
        new, old = generator.normal(0, 0.003, (2, 6000, n))
        better = stats.ttest_ind(new - 0.004, old, axis=1, alternative="less").pvalue < 0.01
        found[n] = better.mean()
    assert found[needed] > 0.785 and found[needed - 1] < 0.8


def test_seeds_needed_of_what_cannot_be_found():
    assert seeds_needed(0.004, 0.003, 0.01) is None and seeds_needed(0.0, 0.003, 0.01) is None
    assert seeds_needed(-1e-9, 1.0, 0.01) is None, "ten thousand do not suffice"
    assert seeds_needed(-0.004, 0.0, 0.01) == 2


def documents(generator: np.random.Generator, number: int, gain: float):
    """Documents of uneven length; new's nats are old's less `gain` bits per byte, with noise."""
    sizes = generator.integers(100, 4000, number)
    old = sizes * generator.normal(1.2, 0.2, number)
    new = old - sizes * (gain + generator.normal(0, 0.02, number)) * math.log(2)
    return new, old, sizes


def test_the_bootstrap_finds_a_real_difference_and_not_one_of_noise():
    generator = np.random.default_rng(3)
    new, old, sizes = documents(generator, 300, 0.01)
    found, same = bootstrap_documents([(new, old), (old, old)], sizes, generator)
    assert found.mean == pytest.approx((new.sum() - old.sum()) / math.log(2) / sizes.sum())
    assert found.low < found.mean < found.high < 0 and found.p < 0.01
    assert same == (0, 0, 0, 1)


def test_the_bootstraps_interval_covers_the_difference_of_all_documents():
    """Of 300 simulated texts of 150 documents, the share whose interval holds the true −0.01."""
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(300):
        new, old, sizes = documents(generator, 150, 0.01)
        (found,) = bootstrap_documents([(new, old)], sizes, generator, resamples=300)
        covered += found.low <= -0.01 <= found.high
    assert covered / 300 == pytest.approx(0.95, abs=0.04)


def test_a_pairs_interval_is_of_plain_resamples_whatever_other_pairs_there_are():
    new, old, sizes = documents(np.random.default_rng(8), 50, 0.01)
    generator, plain = np.random.default_rng(9), []
    for _ in range(40):
        drawn = generator.integers(0, 50, 50)
        plain.append((new - old)[drawn].sum() / sizes[drawn].sum() / math.log(2))
    for others in ([], [(old, new)] * 3):
        pairs = [*others, (new, old)]
        found = bootstrap_documents(pairs, sizes, np.random.default_rng(9), resamples=40)[-1]
        assert found[1:3] == pytest.approx(np.quantile(plain, [0.025, 0.975]), rel=1e-12)
    assert bootstrap_documents([], sizes, generator) == []


def test_one_document_says_nothing():
    generator = np.random.default_rng(5)
    pairs = [(np.ones(1), np.full(1, 2.0))]
    (found,) = bootstrap_documents(pairs, np.full(1, 8), generator)
    assert found.mean < 0 and math.isnan(found.low) and math.isnan(found.p)


@pytest.mark.filterwarnings("error")
def test_no_document_has_no_mean():
    nothing = np.zeros(0)
    (found,) = bootstrap_documents([(nothing, nothing)], nothing, np.random.default_rng(6))
    assert all(map(math.isnan, found))
