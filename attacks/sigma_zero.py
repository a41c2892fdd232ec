"""sigma-zero (Cinà et al. 2024, algorithm 1): few changed features, by a smooth count of them that has a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.active import Active, wide
from attacks.attack import Problem
from attacks.balls import AnyNorm
from attacks.minimal import MinimalAttack, Nearest, boxed, check_minimal, cosine, width


class SigmaZero(MinimalAttack):
    """Small L0 changes.

    Args:
        steps: gradient steps.
        smoothness: sigma of the smooth count ``sum d^2 / (d^2 + sigma)``, in squared widths of the box.
        threshold: changes below it, in widths of the box, are taken back; at first.
        threshold_rate: how fast the threshold grows beyond the boundary and falls before it, over the step size.
    """

    name = "sigma-zero"
    norms = ("l0",)
    norm: AnyNorm = "l0"

    def __init__(
        self, *, steps: int = 100, smoothness: float = 1e-3, threshold: float = 0.3, threshold_rate: float = 0.01
    ) -> None:
        check_minimal(
            type(self), "l0", steps=steps, smoothness=smoothness, threshold=threshold, threshold_rate=threshold_rate
        )
        self.steps, self.smoothness = steps, smoothness
        self.threshold, self.threshold_rate = threshold, threshold_rate

    def search(self, active: Active, problem: Problem) -> Tensor:
        """Descends on margin (until it is beaten) plus smooth count, in units of the box's width."""
        nearest, span = Nearest(active, "l0"), width(active).expand_as(active.x)
        inner = torch.where(span > 0, span, 1.0)
        features = active.x[0].numel()
        delta = torch.zeros_like(active.x)
        threshold = torch.full((len(active),), self.threshold, device=delta.device)
        for step in range(self.steps):
            point = boxed(active, active.x + delta * span)
            _, gradient, logits = active.climb(point, "margin")
            beyond = nearest.see(point, logits)
            square = delta * delta
            count = 2 * delta * self.smoothness / (square + self.smoothness) ** 2 / features
            descent = count - torch.where(wide(beyond, delta), 0.0, gradient * span)
            largest = descent.abs().flatten(1).amax(1).clamp_min(1e-30)
            rate = cosine(1.0, 0.0, step, self.steps)
            delta = delta - rate * descent / wide(largest, delta)
            delta = (boxed(active, active.x + delta * span) - active.x) / inner
            moved = self.threshold_rate * rate
            threshold = torch.where(beyond, threshold + moved, threshold - moved).clamp(0.0, 1.0)
            delta = torch.where(delta.abs() < wide(threshold, delta), 0.0, delta)
        point = boxed(active, active.x + delta * span)
        nearest.see(point, active.answer(point))
        return nearest.x
