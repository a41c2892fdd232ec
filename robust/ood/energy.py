"""Energy (Liu, Wang, Owens and Li 2020): ``s(x) = E(x) = -T log sum_k exp(z_k(x) / T)``.

Little evidence for any class, high energy. Unlike the softmax it sees the size of the logits, not only their
differences; far away from the data, where logits grow, that makes it *trust* more.
"""

from __future__ import annotations

from torch import Tensor

from robust.errors import UsageError
from robust.ood.detector import Activations


def energy_score(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logits ``[n, classes]`` to energies ``[n]``; higher is more abnormal."""
    return -temperature * (logits / temperature).logsumexp(dim=1)


class Energy:
    """High energy is abnormal. Nothing to fit.

    Raises:
        UsageError: the temperature is not positive.
    """

    name = "energy"
    needs_features = False

    def __init__(self, *, temperature: float = 1.0) -> None:
        if not temperature > 0:
            raise UsageError("the temperature of the energy is not positive", wanted="> 0", got=temperature)
        self.temperature = temperature

    def fit(self, reference: Activations, labels: Tensor) -> None:
        """Nothing to learn."""

    def score(self, activations: Activations) -> Tensor:
        """``[n]``, see ``energy_score``."""
        return energy_score(activations.logits, self.temperature)

    def __repr__(self) -> str:
        return f"Energy(temperature={self.temperature})"
