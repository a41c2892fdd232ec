"""Intervals and tests. Every rate in the suite gets its interval here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from robust.record.finding import Interval

LEVEL = 0.95


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Wilson score interval of a rate (Wilson 1927). The right default for proportions, also near 0 and 1.

    Raises:
        ValueError: no trials, or successes outside ``0..trials``.
    """
    _check_counts(successes, trials)
    low, high = wilson_limits(successes / trials, trials, level)
    return Interval(low=float(low), high=float(high), level=level, method="wilson")


def wilson_limits(
    rates: ArrayLike, trials: ArrayLike, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both Wilson limits of many rates at once, in the shape of ``rates``; the rates need not be whole counts."""
    rate, n = np.asarray(rates, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    z = float(stats.norm.ppf(0.5 + level / 2))
    denominator = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / denominator
    half = z / denominator * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = np.where(rate <= 0, 0.0, np.maximum(0.0, centre - half))
    high = np.where(rate >= 1, 1.0, np.minimum(1.0, centre + half))
    return low, high


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Exact (conservative) binomial interval (Clopper and Pearson 1934)."""
    _check_counts(successes, trials)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(stats.beta.ppf(1 - tail, successes + 1, trials - successes))
    return Interval(low=low, high=high, level=level, method="clopper-pearson")


def clopper_pearson_lower(successes: ArrayLike, trials: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """One-sided exact lower limits of many rates (Clopper and Pearson 1934): each is above its rate with probability
    at most ``alpha``.

    Args:
        successes: any shape.
        trials: likewise.
        alpha: probability of error of each.

    Raises:
        ValueError: no trials, successes outside ``0..trials``, or an alpha that is no probability.
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    if not (0 < alpha < 1 and bool(((n >= 1) & (k >= 0) & (k <= n)).all())):
        raise ValueError("limits of rates need 0 <= successes <= trials, a trial each, and 0 < alpha < 1")
    return np.asarray(np.where(k > 0, stats.beta.ppf(alpha, np.maximum(k, 1), n - k + 1), 0.0), dtype=np.float64)


def newcombe_difference(
    successes: int, trials: int, other_successes: int, other_trials: int, level: float = LEVEL
) -> Interval:
    """Interval of ``p1 - p2`` of two independent rates from their Wilson limits (Newcombe 1998, method 10)."""
    first, second = wilson(successes, trials, level), wilson(other_successes, other_trials, level)
    p1, p2 = successes / trials, other_successes / other_trials
    low = p1 - p2 - math.hypot(p1 - first.low, second.high - p2)
    high = p1 - p2 + math.hypot(first.high - p1, p2 - second.low)
    return Interval(low=max(-1.0, low), high=min(1.0, high), level=level, method="newcombe")


def newcombe_pairs(
    successes: ArrayLike, trials: ArrayLike, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``newcombe_difference`` of every ordered pair of groups.

    Args:
        successes: ``[..., groups]``.
        trials: ``[..., groups]``, at least 1 each.
        level: coverage of each pair for itself; for all of them at once pass ``simultaneous_level``.

    Returns:
        low and high of ``p_i - p_j``, both ``[..., groups, groups]``.
    """
    n = np.asarray(trials, dtype=np.float64)
    rate = np.asarray(successes, dtype=np.float64) / n
    low, high = wilson_limits(rate, n, level)
    below, above = rate - low, high - rate
    difference = rate[..., :, None] - rate[..., None, :]
    lower = difference - np.hypot(below[..., :, None], above[..., None, :])
    upper = difference + np.hypot(above[..., :, None], below[..., None, :])
    return np.maximum(lower, -1.0), np.minimum(upper, 1.0)


@dataclass(frozen=True)
class Paired:
    """Two verdicts on the same samples, compared.

    Attributes:
        only_first: samples that the first alone gets right.
        only_second: likewise.
        n: samples.
        difference: rate of the first minus rate of the second.
        interval: of that difference, paired.
        p_value: that both are equally good, two-sided and exact.
    """

    only_first: int
    only_second: int
    n: int
    difference: float
    interval: Interval
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike, level: float = LEVEL) -> Paired:
    """Exact test of McNemar (1947) and the adjusted Wald interval of Agresti and Min (2005, section 4).

    Args:
        first: bool ``[n]``, right or not.
        second: bool ``[n]``, on the same samples in the same order.
        level: coverage.

    Raises:
        ValueError: no samples, or of different numbers.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"a paired comparison needs the same samples twice, got {a.shape} and {b.shape}")
    n, only_a, only_b = len(a), int((a & ~b).sum()), int((b & ~a).sum())
    apart = only_a + only_b
    p = float(stats.binomtest(only_a, apart).pvalue) if apart else 1.0
    up, down, total = only_a + 0.5, only_b + 0.5, n + 2.0
    middle = (up - down) / total
    half = float(stats.norm.ppf(0.5 + level / 2)) * math.sqrt((up + down) - (up - down) ** 2 / total) / total
    difference = (only_a - only_b) / n
    interval = Interval(
        low=max(-1.0, min(middle - half, difference)),
        high=min(1.0, max(middle + half, difference)),
        level=level,
        method="agresti-min",
    )
    return Paired(only_a, only_b, n, difference, interval, p)


def samples_needed(half_width: float, rate: float = 0.5, level: float = LEVEL) -> int:
    """Samples so that a Wilson interval around ``rate`` is at most ``2 * half_width`` wide; 0.5 is the worst case.

    Raises:
        ValueError: a width or a rate that is none.
    """
    if not (0 < half_width < 0.5 and 0 <= rate <= 1):
        raise ValueError(f"a half width in (0, 0.5) and a rate in [0, 1] are wanted, got {half_width} and {rate}")
    low, high = 1, 1
    while _wilson_width(rate, high, level) > 2 * half_width:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _wilson_width(rate, middle, level) <= 2 * half_width else (middle + 1, high)
    return low


def _wilson_width(rate: float, n: int, level: float) -> float:
    low, high = wilson_limits(rate, n, level)
    return float(high - low)


def simultaneous_level(statements: int, level: float = LEVEL) -> float:
    """The level of each of many intervals so that all of them hold at once at ``level`` (Bonferroni)."""
    return 1 - (1 - level) / max(1, statements)


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


def bootstrap_batched(
    statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    count: int,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = LEVEL,
    cells: int = 1 << 21,
) -> Interval:
    """``bootstrap`` of one stratum for statistics that take many resamples at once.

    Args:
        statistic: from indices ``[r, count]`` to numbers ``[r]``; NaN resamples are dropped.
        count: sample size.
        rng: owns the randomness.
        resamples: how many.
        level: coverage.
        cells: largest number of indices in memory at once.

    Raises:
        ValueError: every resample was NaN.
    """
    values = [statistic(rng.integers(0, count, size=(rows, count))) for rows in chunks(resamples, count, cells)]
    return percentile_interval(np.concatenate(values), level)


def chunks(resamples: int, width: int, cells: int = 1 << 21) -> list[int]:
    """``resamples`` cut into runs of which each, times ``width``, stays near ``cells``."""
    rows = max(1, min(resamples, cells // max(1, width)))
    whole, rest = divmod(resamples, rows)
    return [rows] * whole + ([rest] if rest else [])


def percentile_interval(values: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """The central ``level`` of bootstrap values ``[resamples]`` (Efron 1979); NaN is dropped.

    Raises:
        ValueError: no number among them.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise ValueError("no bootstrap resample gave a number")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level, method=f"bootstrap ({len(values)})")


def hull(first: Interval, second: Interval) -> Interval:
    """The smallest interval that contains both; its level is theirs. For a bootstrap that degenerates at 0 or 1.

    Raises:
        ValueError: the levels differ.
    """
    if first.level != second.level:
        raise ValueError(f"intervals of different levels have no hull: {first.level} and {second.level}")
    return Interval(
        low=min(first.low, second.low),
        high=max(first.high, second.high),
        level=first.level,
        method=f"{first.method} widened to {second.method}",
    )


def permutation_p_value(observed: ArrayLike, null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper-tail p-value ``(1 + #{null >= observed}) / (1 + #null)``, never 0 (Phipson and Smyth 2010).

    Args:
        observed: any shape.
        null: ``[resamples]``, the statistic under permutation.

    Returns:
        in the shape of ``observed``. Values that differ by rounding alone count as ties.
    """
    ordered = np.sort(null)
    at_least = len(null) - np.searchsorted(ordered, np.asarray(observed, dtype=np.float64) - 1e-12, side="left")
    return np.asarray((1 + at_least) / (1 + len(null)), dtype=np.float64)


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


def mann_whitney_interval(area: float, negatives: int, positives: int, level: float = LEVEL) -> Interval:
    """Score interval of an area under the ROC curve (Newcombe 2006, Statistics in Medicine 25:559, method 5).

    The area's Wilson interval: ends ``A`` with ``|area - A| = z sqrt(V(A))``, ``V`` of Hanley and McNeil (1982). It
    keeps its width at an area of 0 or 1, where bootstrap and DeLong collapse to a point.

    Raises:
        ValueError: no samples on one side, or an area outside [0, 1].
    """
    if negatives < 1 or positives < 1 or not 0 <= area <= 1:
        raise ValueError(f"an area in [0, 1] of two samples is wanted, got {area} of {negatives} and {positives}")
    low = _area_limit(area, negatives, positives, level)
    high = 1 - _area_limit(1 - area, negatives, positives, level)
    return Interval(low=min(low, area), high=max(high, area), level=level, method="newcombe mann-whitney")


def _area_limit(area: float, n: int, m: int, level: float) -> float:
    """The lower end; the upper one follows by symmetry."""
    z = float(stats.norm.ppf(0.5 + level / 2))
    extra = (n + m) / 2 - 1

    def gap(a: float) -> float:
        variance = a * (1 - a) * (1 + extra * ((1 - a) / (2 - a) + a / (1 + a))) / (n * m)
        return area - a - z * math.sqrt(variance)

    top = min(area, 1 - 1e-12)
    if area <= 0 or gap(top) >= 0:
        return max(0.0, area)
    return float(optimize.brentq(gap, 0.0, top, xtol=1e-12))


def _check_counts(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"a rate needs 0 <= successes <= trials and a trial, got {successes} of {trials}")
