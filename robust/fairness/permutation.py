"""A permutation test of "no group differs": group names are shuffled among the samples that the rate speaks of.

Under a shuffle with fixed group sizes and a fixed number of hits, the hits per group follow the multivariate
hypergeometric distribution exactly (Fisher 1935), so shuffles are drawn as counts and cost nothing per sample.

The statistic is the largest pairwise difference in units of its own spread,
``max_ij |p_i - p_j| / sqrt(p (1 - p) (1/n_i + 1/n_j))`` with the pooled rate ``p``: a small group, whose rate jumps
about, does not drown a real gap between large ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robust.fairness.group_frame import GroupCounts, GroupFrame, Rate
from robust.statistics import chunks, holm, permutation_p_value


def pooled_statistic(hits: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The largest standardised difference: hits ``[..., groups]`` and sizes ``[..., groups]`` to ``[...]``.

    0 where all or no samples are hits: there is nothing to tell groups apart by.
    """
    rates, inverse = hits / sizes, 1 / np.asarray(sizes)
    pooled = np.sum(hits, axis=-1) / np.sum(sizes, axis=-1)
    apart = np.zeros(rates.shape[:-1])
    for first in range(rates.shape[-1] - 1):
        difference = np.abs(rates[..., first + 1 :] - rates[..., first : first + 1])
        spread = np.sqrt(inverse[..., first + 1 :] + inverse[..., first : first + 1])
        apart = np.maximum(apart, (difference / spread).max(axis=-1))
    scale = np.sqrt(pooled * (1 - pooled))
    return np.asarray(np.divide(apart, scale, out=np.zeros_like(apart), where=scale > 0), dtype=np.float64)


def permutation_null(counts: GroupCounts, rng: np.random.Generator, resamples: int = 9999) -> NDArray[np.float64]:
    """``pooled_statistic`` of ``resamples`` shuffles of the groups of ``counts``: ``[resamples]``."""
    total = int(counts.hits.sum())
    parts = []
    for rows in chunks(resamples, 8 * len(counts.sizes)):
        hits = rng.multivariate_hypergeometric(counts.sizes, total, size=rows, method="marginals")
        parts.append(pooled_statistic(hits, counts.sizes))
    return np.concatenate(parts)


def false_alarms(
    frames: Sequence[GroupFrame],
    rates: Sequence[Sequence[Rate]],
    nulls: Sequence[Sequence[NDArray[np.float64] | None]],
    rng: np.random.Generator,
    *,
    minimum_size: int,
    alpha: float,
    shuffles: int,
) -> int:
    """In how many of ``shuffles`` shuffled data sets is any gap called significant, after Holm's correction?

    The whole procedure again, from samples to corrected p-values. Groups are shuffled among the samples that a rate
    speaks of (the same shuffle for rates that speak of the same samples), so that each rate keeps its group sizes and
    its null draws stay exact: with few hits the statistic has few values, and other sizes would have others. Any
    dependence on the real group is gone, so the share of alarms should not exceed ``alpha``.

    Args:
        frames: one per column.
        rates: the rates of each column.
        nulls: null draws of each column's rates; None where a rate was not tested.
        rng: owns the randomness.
        minimum_size: as in the audit.
        alpha: as in the audit.
        shuffles: how many.
    """
    p_values = []
    for frame, of_column, drawn in zip(frames, rates, nulls, strict=True):
        shuffled: dict[bytes, list[GroupFrame]] = {}
        for rate, null in zip(of_column, drawn, strict=True):
            if null is None:
                continue
            key = rate.among.tobytes()
            if key not in shuffled:
                shuffled[key] = [_shuffle(frame, rate, rng) for _ in range(shuffles)]
            found = [_statistic(other.count(rate).at_least(minimum_size)) for other in shuffled[key]]
            p_values.append(np.where(np.isnan(found), np.nan, permutation_p_value(found, null)))
    if not p_values:
        return 0
    adjusted = np.stack([holm(column) for column in np.stack(p_values).T])
    return int((adjusted <= alpha).any(axis=1).sum())


def _shuffle(frame: GroupFrame, rate: Rate, rng: np.random.Generator) -> GroupFrame:
    codes = frame.codes.copy()
    codes[rate.among] = rng.permutation(codes[rate.among])
    return replace(frame, codes=codes)


def _statistic(counts: GroupCounts) -> float:
    """NaN where fewer than two groups are left."""
    return float(pooled_statistic(counts.hits, counts.sizes)) if len(counts.names) > 1 else float("nan")
