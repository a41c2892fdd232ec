"""The map of MAP-Elites over classes: one elite per class, and every child is offered to every class."""

from __future__ import annotations

import torch
from torch import Tensor


class Archive:
    """Elites in the unit cube with their log-confidences. Scores never fall.

    Args:
        classes: number of cells ``k``.
        shape: shape of one input.
        device: where the elites are kept.
    """

    def __init__(self, classes: int, shape: tuple[int, ...], device: torch.device) -> None:
        self.elites = torch.full((classes, *shape), 0.5, device=device)
        self.scores = torch.full((classes,), -torch.inf, dtype=torch.float64, device=device)

    def offer(self, children: Tensor, scores: Tensor) -> Tensor:
        """Let every child compete in every cell; the best one wins where it beats the elite.

        Args:
            children: ``[n, *shape]`` in the unit cube.
            scores: log-confidence of each child in each cell, float64 ``[n, k]``.

        Returns:
            Which cells have a new elite, bool ``[k]``.
        """
        best, who = scores.max(0)
        better = best > self.scores
        shape = (-1, *(1 for _ in self.elites.shape[1:]))
        self.elites = torch.where(better.reshape(shape), children[who], self.elites)
        self.scores = torch.where(better, best, self.scores)
        return better
