"""The data-copying statistic C_T (Meehan, Chaudhuri and Dasgupta 2020, section 3).

In each cell of the space the distances to the nearest training sample are compared, generated against held-out real,
by the z-score of Mann and Whitney's U; C_T is the mean z over cells, weighted by their held-out samples. Far below 0:
generated samples lie nearer to training samples than real ones do (copying). Far above 0: they lie farther (a poor
fit). Cells are classes here: over all classes at once, a generator that prefers the dense classes looks like a copier.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from robust.errors import DataShapeError

FEWEST = 5
"""A cell with fewer samples on either side is left out."""


def mann_whitney_z(generated: NDArray[np.float64], held_out: NDArray[np.float64]) -> float:
    """z-score of ``P(generated > held_out)``, ties half, variance corrected for ties; 0 when all values are equal.

    Raises:
        DataShapeError: one of them is empty.
    """
    n, m = len(generated), len(held_out)
    if not n or not m:
        raise DataShapeError("a rank test needs two samples", wanted="at least 1 in each", got=f"{n} and {m}")
    values = np.concatenate([generated, held_out])
    ranks = stats.rankdata(values)
    u = float(ranks[:n].sum()) - n * (n + 1) / 2
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    total = n + m
    spread = n * m / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    return (u - n * m / 2) / math.sqrt(spread) if spread > 0 else 0.0


def copying_scores(
    distances: NDArray[np.float64],
    cells: NDArray[np.int64],
    held_out: NDArray[np.float64],
    held_out_cells: NDArray[np.int64],
) -> dict[int, tuple[float, int]]:
    """z-score and number of held-out samples per cell that has at least ``FEWEST`` samples on both sides."""
    found = {}
    for cell in np.intersect1d(cells, held_out_cells).tolist():
        mine, theirs = distances[cells == cell], held_out[held_out_cells == cell]
        if min(len(mine), len(theirs)) >= FEWEST:
            found[int(cell)] = (mann_whitney_z(mine, theirs), len(theirs))
    return found


def copying_statistic(scores: dict[int, tuple[float, int]]) -> float | None:
    """C_T: the mean z-score weighted by held-out samples; None without a cell."""
    weight = sum(count for _, count in scores.values())
    return sum(z * count for z, count in scores.values()) / weight if weight else None
