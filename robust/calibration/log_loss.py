"""Negative log-likelihood in nats: how surprised the model is by the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special


def log_losses(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """``-log softmax(logits)[label]`` of each sample, from logits so that it stays finite.

    Args:
        logits: ``[n, classes]``, finite.
        labels: ``[n]``, class indices.

    Returns:
        ``[n]`` in nats; uniform probabilities over K classes give ``log K``.
    """
    scores = np.asarray(logits, dtype=np.float64)
    return np.asarray(special.logsumexp(scores, axis=1) - scores[np.arange(len(labels)), labels], dtype=np.float64)
