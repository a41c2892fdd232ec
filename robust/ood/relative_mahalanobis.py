"""Relative Mahalanobis distance (Ren et al. 2021): ``s(x) = min_c d_c(x) - d_0(x)``.

``d_c`` is the class-wise squared Mahalanobis distance of Lee et al. 2018 and ``d_0`` that to one Gaussian fitted to all
features regardless of class. What is far in directions that tell no classes apart cancels; this helps near the data.
"""

from __future__ import annotations

from torch import Tensor

from robust.ood.detector import Activations, features_of, not_fitted
from robust.ood.mahalanobis import class_means, mahalanobis_score, precision_of


class RelativeMahalanobis:
    """Farther from every class than from the data as a whole is abnormal."""

    name = "relative_mahalanobis"
    needs_features = True

    def __init__(self) -> None:
        self._fitted: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def fit(self, reference: Activations, labels: Tensor) -> None:
        """Class means, tied precision, the overall mean and its precision."""
        features = features_of(reference, self.name)
        means, rows = class_means(features, labels)
        centre = features.mean(dim=0, keepdim=True)
        self._fitted = means, precision_of(features - means[rows]), centre, precision_of(features - centre)

    def score(self, activations: Activations) -> Tensor:
        """``[n]``."""
        if self._fitted is None:
            raise not_fitted(self.name)
        means, precision, centre, background = self._fitted
        features = features_of(activations, self.name)
        return mahalanobis_score(features, means, precision) - mahalanobis_score(features, centre, background)

    def __repr__(self) -> str:
        return "RelativeMahalanobis()"
