"""The rates of group fairness, each a ``Rate`` of answers and truths.

Their gaps carry names of their own: of the selection rate, demographic parity difference (Dwork et al. 2012); of the
true positive rate, equal opportunity difference; of the worse of true and false positive rate, equalized odds
difference (Hardt et al. 2016).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robust.fairness.group_frame import Rate

Classes = NDArray[np.int64]


def accuracy(predictions: Classes, labels: Classes) -> Rate:
    """Right, among all: ``[n]`` class indices each."""
    return Rate("accuracy", np.ones(len(labels), dtype=bool), predictions == labels)


def selection_rate(predictions: Classes, labels: Classes, positive: int) -> Rate:
    """Called ``positive``, among all."""
    return Rate("selection_rate", np.ones(len(labels), dtype=bool), predictions == positive)


def true_positive_rate(predictions: Classes, labels: Classes, positive: int) -> Rate:
    """Called ``positive``, among those that are."""
    return Rate("true_positive_rate", labels == positive, predictions == positive)


def false_positive_rate(predictions: Classes, labels: Classes, positive: int) -> Rate:
    """Called ``positive``, among those that are not."""
    return Rate("false_positive_rate", labels != positive, predictions == positive)
