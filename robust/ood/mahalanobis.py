"""Mahalanobis distance to the nearest class (Lee, Lee, Lee and Shin 2018, equation 2), on the last features.

``s(x) = min_c (f(x) - mu_c)^T P (f(x) - mu_c)``: class means ``mu_c`` and the precision ``P``, the pseudo-inverse of
the covariance tied over the classes, ``1/n sum_i (f_i - mu_{y_i})(f_i - mu_{y_i})^T``. Without the paper's input
pre-processing and without its ensemble of layers, which are tuned on data that ought to be unknown. In float64.

Directions in which the known features never vary (dead units) have no precision and are not seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.errors import DataShapeError
from robust.ood.detector import Activations, features_of, not_fitted


def class_means(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the classes that have a sample.

    Args:
        features: ``[n, d]``.
        labels: ``[n]``, class indices.

    Returns:
        the means ``[k, d]`` and the row of each sample's class in them, ``[n]``.

    Raises:
        DataShapeError: features and labels differ in number, or there are fewer than two.
    """
    if len(features) != len(labels) or len(features) < 2:
        raise DataShapeError(
            "class means need at least two features with a label each",
            wanted="[n, d] and [n], n >= 2",
            got=f"{tuple(features.shape)} and {tuple(labels.shape)}",
        )
    present, rows = torch.unique(labels, return_inverse=True)
    sums = torch.zeros(len(present), features.shape[1], dtype=features.dtype, device=features.device)
    sums.index_add_(0, rows, features)
    return sums / torch.bincount(rows, minlength=len(present))[:, None], rows


def precision_of(centred: Tensor) -> Tensor:
    """Pseudo-inverse of the covariance of centred features ``[n, d] -> [d, d]`` (sklearn's, ``assume_centered``)."""
    covariance = centred.T @ centred / len(centred)
    precision: Tensor = torch.linalg.pinv(covariance, hermitian=True)
    return precision


def mahalanobis_score(features: Tensor, means: Tensor, precision: Tensor) -> Tensor:
    """Squared distance to the nearest mean: ``[n, d]``, ``[k, d]``, ``[d, d]`` to ``[n]``; higher is more abnormal.

    Expanded as ``f P f - 2 f P mu + mu P mu`` so that no ``[n, k, d]`` is made; centred on the mean of the means first,
    which keeps the cancellation harmless in float64.
    """
    origin = means.mean(dim=0)
    f, mu = features - origin, means - origin
    weighted = f @ precision
    squares = (weighted * f).sum(dim=1)[:, None] - 2 * weighted @ mu.T + ((mu @ precision) * mu).sum(dim=1)
    return squares.amin(dim=1).clamp_min(0.0)


class Mahalanobis:
    """Far from every class mean is abnormal."""

    name = "mahalanobis"
    needs_features = True

    def __init__(self) -> None:
        self.means: Tensor | None = None
        self.precision: Tensor | None = None

    def fit(self, reference: Activations, labels: Tensor) -> None:
        """Class means and tied precision of the reference's features."""
        features = features_of(reference, self.name)
        means, rows = class_means(features, labels)
        self.means, self.precision = means, precision_of(features - means[rows])

    def score(self, activations: Activations) -> Tensor:
        """``[n]``, see ``mahalanobis_score``."""
        if self.means is None or self.precision is None:
            raise not_fitted(self.name)
        return mahalanobis_score(features_of(activations, self.name), self.means, self.precision)

    def __repr__(self) -> str:
        return "Mahalanobis()"
