"""The Brier score (Brier 1950): mean squared distance of the probabilities from the truth, over all classes.

From 0 (right and certain) to 2 (wrong and certain); uniform probabilities over K classes score ``1 - 1/K``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def brier_scores(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """``sum_k (p_k - [k = label])^2`` of each sample.

    Args:
        probabilities: ``[n, classes]``, rows sum to 1.
        labels: ``[n]``, class indices.

    Returns:
        ``[n]``; the Brier score is their mean.
    """
    of_label = probabilities[np.arange(len(labels)), labels]
    return np.asarray((probabilities**2).sum(axis=1) - 2 * of_label + 1, dtype=np.float64)
