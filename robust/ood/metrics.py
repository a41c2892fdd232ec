"""How well scores separate abnormal from normal: AUROC, AUPR both ways, and the false positive rate at 95 % acceptance.

Conventions, because every one of them is read both ways in the literature:

- ``auroc``: the chance that an abnormal input scores above a normal one, ties half.
- ``aupr_out``: average precision with the *abnormal* inputs as the positives; ``aupr_in``: with the normal ones. Both
  depend on how many there are of each: a coin reaches the share of the positives.
- ``fpr95``: the true positives are *normal* inputs that are accepted. The threshold is the lowest at which at least
  95 % of the normal inputs are accepted; the rate is the share of *abnormal* inputs that are then accepted too.

Bootstraps resample normal and abnormal inputs each for itself, in arrays. A percentile bootstrap collapses to a point
where the separation is perfect, so each interval is widened to a score interval: Newcombe's for the area (2006),
Wilson's for the share and for the average precision (as a share of the positives; Boyd, Eng and Page 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.record import Interval
from robust.statistics import LEVEL, chunks, hull, mann_whitney_interval, percentile_interval, wilson_limits

ACCEPTED = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DetectionMetrics:
    """Four numbers, or four arrays of them (one per resample)."""

    auroc: Floats
    aupr_out: Floats
    aupr_in: Floats
    fpr95: Floats


@dataclass(frozen=True)
class Measured:
    """One metric of one detector on one set.

    Attributes:
        value: the estimate.
        interval: at 95 %.
        simultaneous: at the level that lets all sets hold at once; for the worst of them.
    """

    value: float
    interval: Interval
    simultaneous: Interval


def detection_metrics(normal: NDArray[np.int64], abnormal: NDArray[np.int64]) -> DetectionMetrics:
    """All metrics from how often each distinct score occurs.

    Args:
        normal: ``[..., u]``, counts of normal inputs at each distinct score, scores ascending.
        abnormal: ``[..., u]``, the same of abnormal inputs.

    Returns:
        arrays ``[...]``.
    """
    n, m = normal.sum(axis=-1), abnormal.sum(axis=-1)
    below, caught = normal.cumsum(axis=-1), abnormal.cumsum(axis=-1)
    auroc = (abnormal * (below - normal / 2)).sum(axis=-1) / (n * m)
    normal_above = n[..., None] - below + normal
    abnormal_above = m[..., None] - caught + abnormal
    aupr_out = _average_precision(abnormal, abnormal_above, normal_above) / m
    aupr_in = _average_precision(normal, below, caught) / n
    enough = below >= np.ceil(ACCEPTED * n - 1e-9)[..., None]
    threshold = enough.argmax(axis=-1)
    accepted = np.take_along_axis(caught, threshold[..., None], axis=-1)[..., 0]
    return DetectionMetrics(auroc=auroc, aupr_out=aupr_out, aupr_in=aupr_in, fpr95=accepted / m)


def _average_precision(
    gained: NDArray[np.int64], right: NDArray[np.int64], wrong: NDArray[np.int64]
) -> NDArray[np.float64]:
    total = right + wrong
    precision = np.divide(right, total, out=np.zeros(total.shape), where=total > 0)
    return np.asarray((gained * precision).sum(axis=-1), dtype=np.float64)


def measure(
    normal: Floats,
    abnormal: Floats,
    rng: np.random.Generator,
    *,
    resamples: int = 1000,
    level: float = LEVEL,
    simultaneous: float = LEVEL,
) -> dict[str, Measured]:
    """All metrics of scores with stratified bootstrap intervals.

    Args:
        normal: scores of normal inputs, ``[n]``, finite.
        abnormal: scores of abnormal inputs, ``[m]``, finite; higher means more abnormal.
        rng: owns the randomness.
        resamples: bootstrap resamples.
        level: of ``Measured.interval``.
        simultaneous: of ``Measured.simultaneous``.

    Raises:
        ValueError: no scores on one side, or one that is not finite.
    """
    if not len(normal) or not len(abnormal) or not (np.isfinite(normal).all() and np.isfinite(abnormal).all()):
        raise ValueError(f"finite scores on both sides are wanted, got {len(normal)} normal and {len(abnormal)} others")
    values, place = np.unique(np.concatenate([normal, abnormal]), return_inverse=True)
    sides = place.reshape(-1)[: len(normal)], place.reshape(-1)[len(normal) :]
    point = detection_metrics(*(np.bincount(side, minlength=len(values)) for side in sides))
    draws = [
        detection_metrics(*(_resampled(side, len(values), rows, rng) for side in sides))
        for rows in chunks(resamples, len(place.reshape(-1)), 1 << 19)
    ]
    return {
        metric: _measured(
            metric,
            float(getattr(point, metric)),
            np.concatenate([getattr(draw, metric) for draw in draws]),
            (len(normal), len(abnormal)),
            (level, simultaneous),
        )
        for metric in ("auroc", "aupr_out", "aupr_in", "fpr95")
    }


def _resampled(side: NDArray[np.int64], categories: int, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``rows`` bootstrap samples of ``side`` as counts per category: ``[rows, categories]``."""
    drawn = side[rng.integers(0, len(side), size=(rows, len(side)))] + np.arange(rows)[:, None] * categories
    return np.bincount(drawn.ravel(), minlength=rows * categories).reshape(rows, categories)


def _measured(
    metric: str, value: float, draws: Floats, sizes: tuple[int, int], levels: tuple[float, float]
) -> Measured:
    ends = []
    for level in levels:
        if metric == "auroc":
            score = mann_whitney_interval(min(max(value, 0.0), 1.0), *sizes, level)
        else:
            trials = sizes[0] if metric == "aupr_in" else sizes[1]
            low, high = wilson_limits(value, trials, level)
            score = Interval(low=float(low), high=float(high), level=level, method="wilson")
        ends.append(hull(percentile_interval(draws, level), score))
    return Measured(value=value, interval=ends[0], simultaneous=ends[1])
