"""The confusion matrix and what follows from it: recall and precision per class, balanced accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.record import Interval
from robust.statistics import LEVEL, wilson_limits


@dataclass(frozen=True)
class ClassCounts:
    """One class against the rest.

    Attributes:
        right: samples of the class that were called so.
        actual: samples of the class.
        predicted: samples that were called so.
    """

    right: int
    actual: int
    predicted: int

    @property
    def recall(self) -> float | None:
        """Share of its samples that were recognised; None without a sample."""
        return self.right / self.actual if self.actual else None

    @property
    def precision(self) -> float | None:
        """Share of right answers among those that named it; None if it was never named."""
        return self.right / self.predicted if self.predicted else None


def confusion_matrix(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How often class i (row) was called class j (column).

    Args:
        labels: ``[n]``, class indices.
        predictions: ``[n]``, class indices.
        classes: how many there are.

    Returns:
        ``[classes, classes]``, summing to n.
    """
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def class_counts(matrix: NDArray[np.int64]) -> list[ClassCounts]:
    """One entry per class of a confusion matrix."""
    return [
        ClassCounts(int(matrix[k, k]), int(actual), int(predicted))
        for k, (actual, predicted) in enumerate(zip(matrix.sum(axis=1), matrix.sum(axis=0), strict=True))
    ]


def balanced_accuracy(matrix: NDArray[np.int64]) -> float:
    """Mean recall over the classes that have a sample (Brodersen et al. 2010)."""
    actual = matrix.sum(axis=1)
    present = actual > 0
    return float((np.diag(matrix)[present] / actual[present]).mean())


def balanced_accuracy_interval(matrix: NDArray[np.int64], level: float = LEVEL) -> Interval:
    """Interval of a mean of independent recalls from their Wilson limits (MOVER; Zou and Donner 2008).

    The distances of each recall from its limits are added in quadrature, as in Newcombe's interval of a difference, so
    that classes without an error keep their width.
    """
    actual = matrix.sum(axis=1)
    present = actual > 0
    recall = np.diag(matrix)[present] / actual[present]
    low, high = wilson_limits(recall, actual[present], level)
    mean, classes = float(recall.mean()), int(present.sum())
    return Interval(
        low=max(0.0, mean - float(np.linalg.norm(recall - low)) / classes),
        high=min(1.0, mean + float(np.linalg.norm(high - recall)) / classes),
        level=level,
        method="wilson limits of each recall in quadrature",
    )
