"""Statistics of few runs: is a difference between rows more than the noise of seeds and documents?

All functions are of values. Scores are in bits per byte unless said otherwise, one per seed; a
*difference* is new minus old, so negative is better. With one seed nothing can be said of seeds:
intervals and p-values are nan, and only the documents' bootstrap speaks.

Sources: Student (1908) for one sample and pairs; Welch (1947) for two samples of unequal variance;
Efron (1979) for the bootstrap, here over documents, since tokens of one document are not
independent; Agarwal et al. (2021) for intervals in place of bare means of few runs.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95  # of every interval
POWER = 0.8  # of the test that a number of seeds is asked for
MOST_SEEDS = 10_000
NAN = math.nan


class Interval(NamedTuple):
    """A mean, the interval that holds it at `CONFIDENCE`, and of how many values."""

    mean: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """A difference of means with its interval and two-sided p-value of there being none."""

    mean: float
    low: float
    high: float
    p: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's interval of the mean of `values` (n,); nan bounds for one value."""
    found = _finite(values)
    mean, n = float(found.mean()), len(found)
    if n == 1:
        return Interval(mean, NAN, NAN, n)
    half = _quantile(n - 1) * found.std(ddof=1) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def paired_difference(new: Sequence[float], old: Sequence[float]) -> Difference:
    """Student's test of `new` − `old`, both (n,) over the same seeds in the same order.

    Raises ValueError for other lengths. Differences that are all the same have no spread: the
    interval is that difference, and p is 0, or 1 where it is 0.
    """
    first, second = _finite(new), _finite(old)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} values; expected pairs")
    differences = first - second
    mean, low, high, n = mean_interval(differences)
    if n == 1:
        return Difference(mean, NAN, NAN, NAN)
    error = differences.std(ddof=1) / math.sqrt(n)
    return Difference(mean, low, high, _two_sided(mean, error, n - 1))


def welch_difference(new: Sequence[float], old: Sequence[float]) -> Difference:
    """Welch's test of the means of `new` (n,) and `old` (m,), of unequal variance, unpaired."""
    mean, error, freedom = _welch(new, old)
    if math.isnan(freedom):
        return Difference(mean, NAN, NAN, NAN)
    half = _quantile(freedom) * error if error else 0.0
    return Difference(mean, mean - half, mean + half, _two_sided(mean, error, freedom))


def better_p(new: Sequence[float], old: Sequence[float], margin: float = 0.0) -> float:
    """One-sided Welch: the p-value of `new` not being lower than `old` by more than `margin`.

    The contest asks for p < 0.01 at a margin of 0.005 nats per token, later for p < 0.25 at none.
    A list of one value has no spread of its own: its score is then taken as it stands, and the
    test is Student's of the other list against it. nan where both have one value.
    """
    mean, error, freedom = _welch(new, old)
    if math.isnan(freedom):
        return NAN
    if error == 0:
        return 0.0 if mean < -margin else 1.0
    return float(stats.t.cdf((mean + margin) / error, freedom))


def _welch(new: Sequence[float], old: Sequence[float]) -> tuple[float, float, float]:
    """Difference of means, its standard error, degrees of freedom; nan if all have one value."""
    first, second = _finite(new), _finite(old)
    mean = float(first.mean() - second.mean())
    spread = [found for found in (first, second) if len(found) > 1]
    parts = [(found.var(ddof=1) / len(found), len(found)) for found in spread]
    if not parts:
        return mean, NAN, NAN
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return mean, 0.0, float(sum(n - 1 for _, n in parts))
    freedom = variance**2 / sum(part**2 / (n - 1) for part, n in parts)
    return mean, math.sqrt(variance), float(freedom)


def seeds_needed(difference: float, std: float, level: float) -> int | None:
    """Seeds a side so that a one-sided Welch test at `level` finds a difference with `POWER`.

    difference: new − old; std: of one seed's score, the same for both sides. By Student's
    noncentral distribution, 2(n − 1) degrees of freedom. None if the difference is no
    improvement, or if no number up to 10,000 suffices.
    """
    gain = -difference
    if not gain > 0:
        return None
    if std == 0:
        return 2
    found = None
    low, high = 2, MOST_SEEDS
    while low <= high:
        n = (low + high) // 2
        if _power(gain / std, n, level) >= POWER:
            found, high = n, n - 1
        else:
            low = n + 1
    return found


def _power(effect: float, n: int, level: float) -> float:
    """Power of a one-sided test of two samples of n at `level`; effect: in standard deviations."""
    freedom = 2 * (n - 1)
    shift = effect * math.sqrt(n / 2)
    return float(stats.nct.sf(stats.t.ppf(1 - level, freedom), freedom, shift))


def bootstrap_documents(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    sizes: np.ndarray,
    generator: np.random.Generator,
    resamples: int = 2_000,
) -> list[Difference]:
    """Difference in bits per byte of each pair of rows on one model, over resampled documents.

    pairs: nats of every document, new and old, (documents,) each; sizes: the documents' bytes.
    Documents are drawn with replacement, the same ones for all rows, so that a pair's interval
    does not depend on which others there are; the interval is the percentiles', p twice the
    smaller share of resamples on either side of 0 (at least 1 / resamples). Fewer than two
    documents: nan.
    """
    if not len(sizes):
        return [Difference(NAN, NAN, NAN, NAN) for _ in pairs]
    scale = 1 / math.log(2)
    means = [float((new.sum() - old.sum()) / sizes.sum() * scale) for new, old in pairs]
    if len(sizes) < 2 or not pairs:
        return [Difference(mean, NAN, NAN, NAN) for mean in means]
    nats = np.array([new - old for new, old in pairs])
    found = np.empty((resamples, len(pairs)))
    for index in range(resamples):
        drawn = generator.integers(0, len(sizes), len(sizes))
        times = np.bincount(drawn, minlength=len(sizes))
        # not by @, whose sums depend on the machine's BLAS
        found[index] = np.einsum("pd,d->p", nats, times.astype(np.float64)) / (times @ sizes)
    return [
        _percentiles(mean, of_pair * scale) for mean, of_pair in zip(means, found.T, strict=True)
    ]


def _percentiles(mean: float, found: np.ndarray) -> Difference:
    """A difference and what resampling found of it, (resamples,)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    share = min((found <= 0).mean(), (found >= 0).mean())
    return Difference(mean, float(low), float(high), min(1.0, max(2 * share, 1 / len(found))))


def _finite(values: Sequence[float]) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise ValueError(f"{values}; expected at least one finite value")
    return found


def _quantile(freedom: float) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def _two_sided(mean: float, error: float, freedom: float) -> float:
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, freedom))
