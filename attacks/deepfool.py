"""DeepFool (Moosavi-Dezfooli et al. 2016, algorithm 2): step after step to the nearest linearised boundary."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.active import CERTAIN, Active, wide
from attacks.attack import Problem
from attacks.balls import AnyNorm
from attacks.fab import size
from attacks.losses import rivals
from attacks.minimal import MinimalAttack, boxed, check_minimal


class DeepFool(MinimalAttack):
    """Small L2 or L-inf changes, quickly; each step asks for a gradient per rival.

    Args:
        norm: ``l2`` or ``linf``.
        steps: at most; a sample leaves once it is beyond the boundary.
        candidates: rivals whose boundaries are looked at.
        overshoot: by which share the sum of all steps goes beyond.
    """

    name = "deepfool"
    norms = ("linf", "l2")

    def __init__(self, *, norm: AnyNorm = "l2", steps: int = 50, candidates: int = 10, overshoot: float = 0.02) -> None:
        check_minimal(type(self), norm, steps=steps, candidates=candidates, overshoot=overshoot)
        self.norm, self.steps, self.candidates, self.overshoot = norm, steps, candidates, overshoot

    def search(self, active: Active, problem: Problem) -> Tensor:
        """Rows leave once they are beyond by more than two runtimes of a model may differ."""
        order = rivals(active.answer(active.x), active.goal, self.candidates)
        point, total = active.x, torch.zeros_like(active.x)
        for step in range(self.steps):
            keep = active.leave(step)
            if keep is not None:
                point, total, order = point[keep], total[keep], order[keep]
                if not len(active):
                    break
            best, shortest = torch.zeros_like(point), torch.full((len(active),), torch.inf, device=point.device)
            for place in range(order.shape[1]):
                active.toward = order[:, place]
                value, gradient, logits = active.climb(point, "difference")
                sure = 2 * CERTAIN * logits.abs().amax(1)
                move = self._onto(point, gradient, (sure - value).clamp_min(0))
                reach = torch.where((gradient == 0).flatten(1).all(1), torch.inf, size(move, self.norm))
                nearer = reach < shortest
                best = torch.where(wide(nearer, best), move, best)
                shortest = torch.where(nearer, reach, shortest)
            total = total + best
            point = boxed(active, active.x + (1 + self.overshoot) * total)
        if len(active):
            active.answer(point)
        return active.outcome()[0]

    def _onto(self, point: Tensor, gradient: Tensor, gap: Tensor) -> Tensor:
        """The smallest step onto the plane, wherever the box ends; zero where there is no gradient."""
        largest = wide(gradient.abs().flatten(1).amax(1), gradient)
        normal, gap = gradient / largest.clamp_min(1e-30), gap / largest.flatten().clamp_min(1e-30)
        way = normal.sign() if self.norm == "linf" else normal
        reach = gap / (normal * way).flatten(1).sum(1).clamp_min(1e-30)
        return torch.where(largest > 0, wide(reach, way) * way, torch.zeros_like(way))
