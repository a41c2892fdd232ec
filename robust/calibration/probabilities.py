"""Logits to confidences, in float64, so that a confidence of 1 - 1e-12 is not 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from robust.errors import NonFiniteError


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax over the last axis: ``[n, classes] -> [n, classes]``.

    Raises:
        NonFiniteError: a logit is NaN or infinite.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise NonFiniteError(
            "the model answers with NaN or infinite logits",
            wanted="finite logits on every sample",
            got=f"{int((~np.isfinite(scores)).any(axis=-1).sum())} of {len(scores)} samples without",
            hint="look for divisions by zero, logarithms of zero or overflow inside the model",
        )
    return np.asarray(special.softmax(scores, axis=-1), dtype=np.float64)


def confidences(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest probability of each row: ``[n, classes] -> [n]``."""
    return np.asarray(probabilities.max(axis=-1), dtype=np.float64)
