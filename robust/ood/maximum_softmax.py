"""Maximum softmax probability (Hendrycks and Gimpel 2017): ``s(x) = -max_k softmax(z(x))_k``."""

from __future__ import annotations

from torch import Tensor

from robust.ood.detector import Activations


def maximum_softmax_score(logits: Tensor) -> Tensor:
    """Logits ``[n, classes]`` to scores ``[n]`` in [-1, -1/classes]; higher is more abnormal."""
    return -logits.softmax(dim=1).amax(dim=1)


class MaximumSoftmax:
    """Low confidence is abnormal. Nothing to fit."""

    name = "maximum_softmax"
    needs_features = False

    def fit(self, reference: Activations, labels: Tensor) -> None:
        """Nothing to learn."""

    def score(self, activations: Activations) -> Tensor:
        """``[n]``, see ``maximum_softmax_score``."""
        return maximum_softmax_score(activations.logits)

    def __repr__(self) -> str:
        return "MaximumSoftmax()"
