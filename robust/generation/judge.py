"""A judge that is independent of the audited classifier: a support vector machine (Cortes and Vapnik 1995) on inputs.

Fitted here on reference data, with fixed settings and inputs scaled to the box, so that it needs no tuning.
What it says is worth as much as its accuracy on held-out real samples, which goes beside every number it gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from robust.errors import LabelError


@dataclass(frozen=True, eq=False)
class Judge:
    """A fitted judge. ``name`` belongs into the protocol of every number that it gave."""

    name: str
    model: Any
    trained_on: int

    def __call__(self, inputs: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels int64 ``[n]`` of flat inputs ``[n, d]`` scaled like the training inputs."""
        return np.asarray(self.model.predict(inputs), dtype=np.int64)


def fit_judge(
    inputs: NDArray[np.float64], labels: NDArray[np.int64], rng: np.random.Generator, *, limit: int = 3000
) -> Judge:
    """Fit the judge on flat inputs ``[n, d]``, each number about [0, 1], with labels ``[n]``.

    Args:
        inputs: reference samples.
        labels: their labels.
        rng: chooses ``limit`` of them where there are more.
        limit: fitting time grows with its square.

    Raises:
        LabelError: fewer than two different labels.
    """
    if len(inputs) > limit:
        picked = np.sort(rng.choice(len(inputs), size=limit, replace=False))
        inputs, labels = inputs[picked], labels[picked]
    if len(np.unique(labels)) < 2:
        raise LabelError("a judge needs two classes to tell apart", wanted="2 different labels", got=np.unique(labels))
    model = SVC(C=10.0, kernel="rbf", gamma="scale").fit(inputs, labels)
    return Judge("support vector machine (RBF, C=10) on inputs", model, len(inputs))
