"""Intervals and tests. Every rate in the suite gets its interval here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from robust.record.finding import Interval

LEVEL = 0.95


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Wilson score interval of a rate (Wilson 1927). The right default for proportions, also near 0 and 1.

    Raises:
        ValueError: no trials, or successes outside ``0..trials``.
    """
    _check_counts(successes, trials)
    z = float(stats.norm.ppf(0.5 + level / 2))
    rate = successes / trials
    denominator = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / denominator
    half = z / denominator * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(low=low, high=high, level=level, method="wilson")


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Exact (conservative) binomial interval (Clopper and Pearson 1934)."""
    _check_counts(successes, trials)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(stats.beta.ppf(1 - tail, successes + 1, trials - successes))
    return Interval(low=low, high=high, level=level, method="clopper-pearson")


def newcombe_difference(
    successes: int, trials: int, other_successes: int, other_trials: int, level: float = LEVEL
) -> Interval:
    """Interval of ``p1 - p2`` of two independent rates from their Wilson limits (Newcombe 1998, method 10)."""
    first, second = wilson(successes, trials, level), wilson(other_successes, other_trials, level)
    p1, p2 = successes / trials, other_successes / other_trials
    low = p1 - p2 - math.hypot(p1 - first.low, second.high - p2)
    high = p1 - p2 + math.hypot(first.high - p1, p2 - second.low)
    return Interval(low=max(-1.0, low), high=min(1.0, high), level=level, method="newcombe")


def median_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Distribution-free interval of a median from order statistics (Conover 1999, section 3.2).

    The interval runs from the k-th smallest to the k-th largest value, k the largest rank whose coverage is at least
    ``level``. With fewer than six values none reaches 95 %: then it is the whole range, and ``level`` what that covers.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("a median needs at least one value, all finite")
    rank = max(1, int(stats.binom.ppf((1 - level) / 2, len(x), 0.5)))
    while rank > 1 and 1 - 2 * float(stats.binom.cdf(rank - 1, len(x), 0.5)) < level:
        rank -= 1
    coverage = 1 - 2 * float(stats.binom.cdf(rank - 1, len(x), 0.5))
    return Interval(
        low=float(x[rank - 1]),
        high=float(x[len(x) - rank]),
        level=level if coverage >= level else max(0.0, coverage),
        method="order statistics",
    )


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    strata: Sequence[int],
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = LEVEL,
) -> Interval:
    """Percentile bootstrap (Efron 1979) of a statistic of sample indices.

    Args:
        statistic: from indices (into all samples, strata one after the other) to a number; NaN resamples are dropped.
        strata: sizes of the strata that are resampled each for itself; ``[n]`` for one sample.
        rng: owns the randomness.
        resamples: how many.
        level: coverage.

    Raises:
        ValueError: every resample was NaN.
    """
    starts = np.concatenate([[0], np.cumsum(strata)])
    values = []
    for _ in range(resamples):
        parts = [rng.integers(starts[i], starts[i + 1], size=size) for i, size in enumerate(strata)]
        values.append(statistic(np.concatenate(parts)))
    finite = np.asarray(values)[np.isfinite(values)]
    if not len(finite):
        raise ValueError("no bootstrap resample gave a number")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level, method=f"bootstrap ({resamples})")


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given; NaN stays NaN and does not count."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    finite = np.flatnonzero(np.isfinite(p))
    order = finite[np.argsort(p[finite], kind="stable")]
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p[index]))
        adjusted[index] = running
    return adjusted


def auroc(negative: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half (Mann-Whitney)."""
    scores = np.concatenate([np.asarray(negative, float), np.asarray(positive, float)])
    ranks = stats.rankdata(scores)
    n, m = len(np.asarray(negative)), len(np.asarray(positive))
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def _check_counts(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"a rate needs 0 <= successes <= trials and a trial, got {successes} of {trials}")
