"""The largest gap of a rate between two groups, with an interval whose low end is honest.

The plain bootstrap of a largest gap is biased upward: with no difference at all its low end is above 0 almost always,
because a maximum of noise is never 0. Here every pair of groups gets its Newcombe interval (1998, method 10) at a
Bonferroni level, so that all hold at once with the level asked for. If they do, the true largest gap lies between the
largest low end of a pair (at least 0) and the largest high end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.fairness.group_frame import GroupCounts
from robust.record import Interval
from robust.statistics import LEVEL, newcombe_pairs, simultaneous_level, wilson_limits

METHOD = "newcombe on all pairs, bonferroni"


@dataclass(frozen=True)
class Gap:
    """The largest gap of a rate.

    Attributes:
        value: highest minus lowest rate.
        interval: holds the true largest gap at its level.
        highest: the group with the highest rate.
        lowest: the group with the lowest rate.
    """

    value: float
    interval: Interval
    highest: str
    lowest: str


def gap_limits(
    hits: NDArray[np.int64], sizes: NDArray[np.int64], level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the interval of the largest gap of groups ``[..., groups]``; both ``[...]``.

    ``level`` is for the gap; the pairs are corrected inside.
    """
    groups = np.shape(hits)[-1]
    low, high = newcombe_pairs(hits, sizes, simultaneous_level(groups * (groups - 1) // 2, level))
    apart = ~np.eye(groups, dtype=bool)
    lower = np.where(apart, low, 0.0).max(axis=(-2, -1))
    upper = np.where(apart, high, 0.0).max(axis=(-2, -1))
    return np.maximum(lower, 0.0), np.minimum(upper, 1.0)


def largest_gap(counts: GroupCounts, *, statements: int = 1, level: float = LEVEL) -> Gap:
    """The largest gap between any two groups of ``counts``.

    Args:
        counts: at least two groups, each with a sample.
        statements: how many gaps are looked at together, if the interval must hold for the largest of them.
        level: coverage.

    Raises:
        ValueError: fewer than two groups, or one without a sample.
    """
    if len(counts.names) < 2 or (counts.sizes < 1).any():
        raise ValueError(f"a gap needs two groups with a sample each, got sizes {counts.sizes.tolist()}")
    rates = counts.hits / counts.sizes
    low, high = gap_limits(counts.hits, counts.sizes, simultaneous_level(statements, level))
    best, worst = int(rates.argmax()), int(rates.argmin())
    return Gap(
        value=float(rates[best] - rates[worst]),
        interval=Interval(low=float(low), high=float(high), level=level, method=METHOD),
        highest=counts.names[best],
        lowest=counts.names[worst],
    )


def worst_group(counts: GroupCounts, *, level: float = LEVEL) -> tuple[str, float, Interval]:
    """The group with the lowest rate, its rate, and an interval of the lowest true rate.

    The Wilson limits of all groups hold at once (Bonferroni); the lowest true rate is then between the smallest low end
    and the smallest high end. An interval of the group that happens to look worst would be too low on average.

    Raises:
        ValueError: no group, or one without a sample.
    """
    if not counts.names or (counts.sizes < 1).any():
        raise ValueError(f"a worst group needs groups with a sample each, got sizes {counts.sizes.tolist()}")
    rates = counts.hits / counts.sizes
    low, high = wilson_limits(rates, counts.sizes, simultaneous_level(len(counts.names), level))
    place = int(rates.argmin())
    interval = Interval(
        low=float(low.min()), high=float(high.min()), level=level, method="wilson in all groups, bonferroni"
    )
    return counts.names[place], float(rates[place]), interval
