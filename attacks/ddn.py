"""Decoupled direction and norm (Rony et al. 2019, algorithm 1): a step of the direction, then one of the norm."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.active import Active, unit, wide
from attacks.attack import Problem
from attacks.balls import AnyNorm
from attacks.fab import size
from attacks.minimal import MinimalAttack, Nearest, boxed, check_minimal, cosine, width


class DDN(MinimalAttack):
    """Small L2 changes.

    Args:
        steps: gradient steps.
        first_norm: of the first change, in widths of the box.
        rate: by which share the norm falls beyond the boundary and grows before it.
    """

    name = "ddn"
    norms = ("l2",)
    norm: AnyNorm = "l2"

    def __init__(self, *, steps: int = 100, first_norm: float = 1.0, rate: float = 0.05) -> None:
        check_minimal(type(self), "l2", steps=steps, first_norm=first_norm, rate=rate)
        self.steps, self.first_norm, self.rate = steps, first_norm, rate

    def search(self, active: Active, problem: Problem) -> Tensor:
        """Gradient steps whose length falls along a cosine; the norm follows the boundary."""
        nearest, scale = Nearest(active, "l2"), float(width(active).max())
        delta = torch.zeros_like(active.x)
        norm = torch.full((len(active),), self.first_norm * scale, device=delta.device)
        for step in range(self.steps):
            point = active.x + delta
            _, gradient, logits = active.climb(point, "log-odds")
            beyond = nearest.see(point, logits)
            norm = norm * torch.where(beyond, 1 - self.rate, 1 + self.rate)
            delta = delta + cosine(1.0, 0.01, step, self.steps) * scale * unit(gradient)
            delta = delta * wide(norm / size(delta, "l2").clamp_min(1e-30), delta)
            delta = boxed(active, active.x + delta) - active.x
        point = boxed(active, active.x + delta)
        nearest.see(point, active.answer(point))
        return nearest.x
