"""Distance to the k-th nearest neighbour (Sun, Ming, Zhu and Li 2022): ``s(x) = ||u(x) - u_(k)||_2``.

``u = f / ||f||_2`` are features scaled to length one and ``u_(k)`` is the k-th nearest among the reference's. No shape
of the data is assumed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.errors import UsageError
from robust.ood.detector import Activations, features_of, not_fitted


def neighbour_score(features: Tensor, reference: Tensor, neighbours: int, rows: int = 512) -> Tensor:
    """Distance of each of ``[n, d]`` to its ``neighbours``-th nearest of ``[m, d]``: ``[n]``, ``rows`` at a time.

    Raises:
        UsageError: fewer references than neighbours.
    """
    if not 1 <= neighbours <= len(reference):
        raise UsageError("a neighbour is not there", wanted=f"1 <= neighbours <= {len(reference)}", got=neighbours)
    known = torch.nn.functional.normalize(reference, dim=1)
    parts = []
    for part in torch.split(features, rows):
        distance = torch.cdist(torch.nn.functional.normalize(part, dim=1), known)
        parts.append(distance.kthvalue(neighbours, dim=1).values)
    return torch.cat(parts)


class NearestNeighbours:
    """Far from the k-th nearest known sample is abnormal.

    Args:
        neighbours: k; fewer if the reference is smaller.
    """

    name = "knn"
    needs_features = True

    def __init__(self, *, neighbours: int = 10) -> None:
        self.neighbours = neighbours
        self._reference: Tensor | None = None

    def fit(self, reference: Activations, labels: Tensor) -> None:
        """Keeps the reference's features."""
        self._reference = features_of(reference, self.name)

    def score(self, activations: Activations) -> Tensor:
        """``[n]``, see ``neighbour_score``."""
        if self._reference is None:
            raise not_fitted(self.name)
        k = min(self.neighbours, len(self._reference))
        return neighbour_score(features_of(activations, self.name), self._reference, k)

    def __repr__(self) -> str:
        return f"NearestNeighbours(neighbours={self.neighbours})"
