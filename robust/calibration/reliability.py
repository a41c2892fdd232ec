"""The reliability curve (DeGroot and Fienberg 1983): in each bin of confidence, how often was the answer right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.record import Interval
from robust.statistics import wilson

BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin ``(low, high]`` of confidence with at least one sample.

    Attributes:
        low: its lower edge; the first bin contains it.
        high: its upper edge.
        count: samples in it.
        confidence: their mean confidence.
        accuracy: share of right answers.
        interval: Wilson interval of ``accuracy``.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    interval: Interval


def bin_indices(confidence: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Which of ``bins`` equal bins ``(i/bins, (i+1)/bins]`` of [0, 1] each confidence falls into: ``[n] -> [n]``."""
    inner = np.arange(1, bins) / bins
    return np.searchsorted(inner, confidence, side="left").astype(np.int64)


def reliability_curve(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS
) -> list[ReliabilityBin]:
    """The bins that hold a sample, from low to high confidence.

    Args:
        confidence: ``[n]`` in [0, 1].
        right: ``[n]``, whether the answer was right.
        bins: how many equal bins.
    """
    place = bin_indices(confidence, bins)
    curve = []
    for index in np.unique(place):
        here = place == index
        count, successes = int(here.sum()), int(right[here].sum())
        curve.append(
            ReliabilityBin(
                low=float(index / bins),
                high=float((index + 1) / bins),
                count=count,
                confidence=float(confidence[here].mean()),
                accuracy=successes / count,
                interval=wilson(successes, count),
            )
        )
    return curve
