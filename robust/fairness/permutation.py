"""A permutation test of "no group differs": group names are shuffled among the samples that the rate speaks of.

Under a shuffle with fixed group sizes and a fixed number of hits, the hits per group follow the multivariate
hypergeometric distribution exactly (Fisher 1935), so shuffles are drawn as counts and cost nothing per sample.

The statistic is the largest pairwise difference in units of its own spread,
``max_ij |p_i - p_j| / sqrt(p (1 - p) (1/n_i + 1/n_j))`` with the pooled rate ``p``: a small group, whose rate jumps
about, does not drown a real gap between large ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robust.fairness.group_frame import GroupCounts, GroupFrame, Rate
from robust.statistics import holm, permutation_p_value


def pooled_statistic(hits: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The largest standardised difference: hits ``[..., groups]`` and sizes ``[..., groups]`` to ``[...]``.

    0 where all or no samples are hits: there is nothing to tell groups apart by.
    """
    hits, sizes = np.broadcast_arrays(hits, sizes)
    rates = hits / sizes
    pooled = hits.sum(axis=-1) / sizes.sum(axis=-1)
    spread = np.sqrt(1 / sizes[..., :, None] + 1 / sizes[..., None, :])
    apart = (np.abs(rates[..., :, None] - rates[..., None, :]) / spread).max(axis=(-2, -1))
    scale = np.sqrt(pooled * (1 - pooled))
    return np.asarray(np.divide(apart, scale, out=np.zeros_like(apart), where=scale > 0), dtype=np.float64)


def permutation_null(counts: GroupCounts, rng: np.random.Generator, resamples: int = 9999) -> NDArray[np.float64]:
    """``pooled_statistic`` of ``resamples`` shuffles of the groups of ``counts``: ``[resamples]``."""
    total = int(counts.hits.sum())
    hits = rng.multivariate_hypergeometric(counts.sizes, total, size=resamples, method="marginals")
    return pooled_statistic(hits, counts.sizes)


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

    The whole procedure again, from samples to corrected p-values, on columns whose groups were shuffled among all
    samples: any dependence on the real group is gone, so the share of alarms should not exceed ``alpha``. Null
    draws are those of the real sizes: a shuffle changes the sizes of conditional rates a little, the standardised
    statistic hardly.

    Args:
        frames: one per column.
        rates: the rates of each column.
        nulls: null draws of each column's rates; None where a rate was not tested.
        rng: owns the randomness.
        minimum_size: as in the audit.
        alpha: as in the audit.
        shuffles: how many.
    """
    alarms = 0
    for _ in range(shuffles):
        values: list[float] = []
        for frame, of_column, drawn in zip(frames, rates, nulls, strict=True):
            shuffled = GroupFrame(frame.column, frame.names, rng.permutation(frame.codes))
            for rate, null in zip(of_column, drawn, strict=True):
                counts = shuffled.count(rate).at_least(minimum_size)
                if null is not None and len(counts.names) > 1:
                    values.append(float(permutation_p_value(pooled_statistic(counts.hits, counts.sizes), null)))
        alarms += bool(values) and float(np.nanmin(holm(values))) <= alpha
    return alarms
