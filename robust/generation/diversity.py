"""Intra-class diversity: how different are two samples of the same class?

Mean pairwise distance of generated samples of a class over that of real ones. 1: as varied as reality. 0: one image
per class, which class agreement rewards and this must not (the collapse that Hou et al. 2022, ADC-GAN, find in AC-GAN).
The mean pairwise distance is a U-statistic of degree two; its variance is the leave-one-out jackknife's in closed form
(Arvesen 1969), and the ratio's interval is built on logarithms by the delta method, with Student's t
for the smaller of the two sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from robust.errors import DataShapeError
from robust.generation.neighbours import squared_distance_blocks
from robust.record import Interval

FEWEST = 5
"""A class with fewer samples on either side is left out: its ratio would say nothing."""


@dataclass(frozen=True)
class ClassDiversity:
    """One class: the ratio, its interval simultaneous with those of all other classes, and both sample sizes."""

    label: int
    ratio: float
    interval: Interval
    generated: int
    real: int


def mean_pairwise_distance(features: Tensor) -> tuple[float, float]:
    """Mean distance of two different rows of ``[n, d]``, and its standard error (infinite below 3 rows).

    Raises:
        DataShapeError: fewer than 2 rows.
    """
    count = len(features)
    if count < 2:
        raise DataShapeError("a pairwise distance needs a pair", wanted="at least 2 samples", got=count)
    rows = torch.empty(count, dtype=torch.float64, device=features.device)
    for start, squares in squared_distance_blocks(features, features):
        here = torch.arange(len(squares), device=squares.device)
        squares[here, here + start] = 0.0
        rows[start : start + len(squares)] = squares.sqrt().sum(1)
    total = float(rows.sum())
    mean = total / (count * (count - 1))
    if count < 3:
        return mean, math.inf
    left_out = (total - 2.0 * rows) / ((count - 1) * (count - 2))
    return mean, math.sqrt((count - 1) * float(left_out.var(correction=0)))


def class_diversity(
    generated: Tensor, labels: NDArray[np.int64], real: Tensor, real_labels: NDArray[np.int64], *, level: float = 0.95
) -> list[ClassDiversity]:
    """Diversity ratio of every class that has at least ``FEWEST`` samples on both sides.

    Args:
        generated: features ``[n, d]``.
        labels: class asked for (or judged) per generated sample ``[n]``.
        real: features ``[m, d]``.
        real_labels: ``[m]``.
        level: of all intervals together (Bonferroni over the classes).

    Returns:
        One entry per class, in order. Classes whose real samples are all alike are left out.
    """
    measured = []
    for label in np.intersect1d(labels, real_labels).tolist():
        mine, theirs = _rows(generated, labels, label), _rows(real, real_labels, label)
        if min(len(mine), len(theirs)) >= FEWEST:
            mean, error = mean_pairwise_distance(mine)
            real_mean, real_error = mean_pairwise_distance(theirs)
            if real_mean > 0:
                measured.append((label, mean / real_mean, error, mean, real_error / real_mean, len(mine), len(theirs)))
    if not measured:
        return []
    tail = (1 - level) / 2 / len(measured)
    method = f"jackknife of both sets, Bonferroni over {len(measured)} classes"
    found = []
    for label, ratio, error, mean, real_relative, count, real_count in measured:
        quantile = float(stats.t.isf(tail, min(count, real_count) - 1))
        spread = math.exp(quantile * math.hypot(error / mean, real_relative)) if mean > 1e-9 else 1.0
        interval = Interval(low=ratio / spread, high=ratio * spread, level=level, method=method)
        found.append(ClassDiversity(label, ratio, interval, count, real_count))
    return found


def smallest(classes: list[ClassDiversity]) -> tuple[float, Interval]:
    """The smallest ratio over classes, and an interval for the smallest true ratio.

    All class intervals hold together at their level, so the smallest true ratio lies between the smallest low end and
    the smallest high end.

    Raises:
        DataShapeError: no class.
    """
    if not classes:
        raise DataShapeError("no class has enough samples for a diversity", wanted=f"{FEWEST} on each side", got=0)
    first = classes[0].interval
    low, high = min(item.interval.low for item in classes), min(item.interval.high for item in classes)
    return min(item.ratio for item in classes), Interval(low=low, high=high, level=first.level, method=first.method)


def _rows(features: Tensor, labels: NDArray[np.int64], label: int) -> Tensor:
    return features[torch.from_numpy(np.flatnonzero(labels == label)).to(features.device)]
