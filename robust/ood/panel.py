"""The panel: all detectors by name, in order. No single one is good both near the data and far from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robust.ood.detector import Activations, Detector
from robust.ood.energy import Energy
from robust.ood.knn import NearestNeighbours
from robust.ood.mahalanobis import Mahalanobis
from robust.ood.maximum_softmax import MaximumSoftmax
from robust.ood.relative_mahalanobis import RelativeMahalanobis

DETECTORS: Mapping[str, Callable[[], Detector]] = {
    "maximum_softmax": MaximumSoftmax,
    "energy": Energy,
    "mahalanobis": Mahalanobis,
    "relative_mahalanobis": RelativeMahalanobis,
    "knn": NearestNeighbours,
}

WORDS: Mapping[str, str] = {
    "maximum_softmax": "Maximum softmax",
    "energy": "Energy",
    "mahalanobis": "Mahalanobis",
    "relative_mahalanobis": "Relative Mahalanobis",
    "knn": "Nearest neighbours",
}


def fit_panel(names: Sequence[str], reference: Activations, labels: Tensor) -> dict[str, Detector]:
    """The detectors named, fitted; those that need features are left out where the model shows none."""
    panel = {}
    for name in names:
        detector = DETECTORS[name]()
        if not detector.needs_features or reference.features is not None:
            detector.fit(reference, labels)
            panel[name] = detector
    return panel


def score_panel(panel: Mapping[str, Detector], activations: Activations) -> dict[str, NDArray[np.float64]]:
    """Scores ``[n]`` of every detector; higher is more abnormal."""
    return {name: detector.score(activations).cpu().numpy() for name, detector in panel.items()}
