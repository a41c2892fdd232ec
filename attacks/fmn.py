"""Fast minimum-norm attack (Pintor et al. 2021, algorithm 1): a gradient step, then a ball that follows the boundary.

Unlike the paper, the first ball goes beyond the linearised boundary by a little: where the margin bends, its steps
would otherwise come ever nearer and never arrive.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.active import Active, unit, wide
from attacks.attack import Problem
from attacks.balls import AnyNorm
from attacks.fab import size
from attacks.minimal import MinimalAttack, Nearest, boxed, check_minimal, cosine, width

BEYOND = 1.05
"""How far the first balls go, over the linearised boundary."""

DUAL: dict[AnyNorm, float] = {"linf": 1, "l2": 2, "l1": torch.inf}


class FMN(MinimalAttack):
    """Small changes in L-inf, L2, L1 or L0.

    Args:
        norm: which.
        steps: gradient steps.
        step_size: first step, in widths of the box; it falls to a hundredth of it along a cosine.
        rate: first share by which the ball grows or shrinks; it falls to 0.0001 likewise.
    """

    name = "fmn"
    norms = ("linf", "l2", "l1", "l0")

    def __init__(
        self, *, norm: AnyNorm = "l2", steps: int = 100, step_size: float | None = None, rate: float = 0.05
    ) -> None:
        step_size = FIRST_STEPS.get(norm, 1.0) if step_size is None else step_size
        check_minimal(type(self), norm, steps=steps, step_size=step_size, rate=rate)
        self.norm, self.steps, self.step_size, self.rate = norm, steps, step_size, rate

    def search(self, active: Active, problem: Problem) -> Tensor:
        """The radius is at first what the linearised boundary asks for, then shrinks beyond it and grows before it."""
        nearest, scale = Nearest(active, self.norm), float(width(active).max())
        point = active.x
        radius = torch.full((len(active),), torch.inf, device=point.device)
        for step in range(self.steps):
            value, gradient, logits = active.climb(point, "margin")
            beyond = nearest.see(point, logits)
            radius = self._radius(active, nearest, radius, beyond, value, gradient, point, step)
            move = (
                point
                - active.x
                + cosine(self.step_size, self.step_size / 100, step, self.steps) * scale * unit(gradient)
            )
            point = boxed(active, active.x + cut(move, radius, self.norm))
        nearest.see(point, active.answer(point))
        return nearest.x

    def _radius(
        self,
        active: Active,
        nearest: Nearest,
        radius: Tensor,
        beyond: Tensor,
        value: Tensor,
        gradient: Tensor,
        point: Tensor,
        step: int,
    ) -> Tensor:
        rate = cosine(self.rate, 1e-4, step, self.steps)
        found = torch.isfinite(nearest.reach)
        smaller, larger = nearest.reach * (1 - rate), radius * (1 + rate)
        now = size(point - active.x, self.norm)
        if self.norm == "l0":
            smaller, larger = (
                torch.minimum(smaller.floor(), nearest.reach - 1),
                torch.maximum(larger.floor(), radius + 1),
            )
            guess = torch.full_like(radius, torch.inf)
        else:
            slope = torch.linalg.vector_norm(gradient.flatten(1), ord=DUAL[self.norm], dim=1)
            guess = now + BEYOND * value.abs() / slope.clamp_min(1e-30) + (BEYOND - 1) * now
        before = torch.where(found, larger, guess)
        return torch.where(beyond, torch.minimum(smaller, radius * (1 - rate)), before).clamp_min(0.0)


FIRST_STEPS: dict[AnyNorm, float] = {"linf": 10.0, "l2": 1.0, "l1": 1.0, "l0": 1.0}
"""L-inf balls cut gradient steps down to little, so that these begin large."""


def cut(move: Tensor, radius: Tensor, norm: AnyNorm) -> Tensor:
    """Changes ``[n, *shape]`` onto balls of radii ``[n]``: the nearest point of each (L0: the largest entries stay)."""
    flat = move.flatten(1)
    if norm == "linf":
        limit = radius[:, None]
        return torch.minimum(torch.maximum(flat, -limit), limit).reshape(move.shape)
    if norm == "l2":
        return move * wide((radius / size(move, "l2").clamp_min(1e-30)).clamp_max(1.0), move)
    ranked = flat.abs().sort(1, descending=True).values
    if norm == "l0":
        count = radius.clamp(1, flat.shape[1]).long()
        return (flat * (flat.abs() >= ranked.gather(1, count[:, None] - 1))).reshape(move.shape)
    counts = torch.arange(1, flat.shape[1] + 1, device=move.device)
    excess = (ranked.cumsum(1) - radius[:, None]) / counts
    used = (ranked > excess).sum(1, keepdim=True).clamp_min(1)
    level = excess.gather(1, used - 1).clamp_min(0).nan_to_num(0.0, 0.0, 0.0)
    return (flat.sign() * (flat.abs() - level).clamp_min(0)).reshape(move.shape)
