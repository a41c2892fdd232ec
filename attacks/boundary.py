"""The boundary attack (Brendel, Rauber and Bethge, Decision-Based Adversarial Attacks, 2018): a random walk on answers.

From a far input that reaches the goal: a random step that keeps the distance to the sample, then a step towards it;
both are taken where the goal stays reached, and both lengths follow how often they are. HopSkipJump spends its queries
better on smooth models; this one needs no slope of the boundary at all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.active import Active, wide
from attacks.attack import Problem
from attacks.balls import AnyNorm
from attacks.decision_walk import Walk
from attacks.hop_skip_jump import check_queries
from attacks.minimal import MinimalAttack, check_minimal

WINDOW = 20
"""Steps after which the lengths are thought over."""
FIRST_SIDE, FIRST_NEAR = 0.1, 0.1
"""First steps to the side and towards the sample, in distances to it."""
FACTOR = 1.5
SMALLEST = 1e-7


class Boundary(MinimalAttack):
    """Small changes in L2, for a subject that gives nothing but its answer.

    Args:
        queries: at most so many per sample, the first look and the replay among them.
        starts: inputs ``[k, *shape]`` inside the box to begin from, as of ``HopSkipJump``.
    """

    name = "boundary"
    norms = ("l2",)
    needs_gradients = False

    def __init__(self, *, norm: AnyNorm = "l2", queries: int = 5000, starts: Tensor | None = None) -> None:
        check_minimal(type(self), norm)
        check_queries(self.name, queries)
        self.norm, self.queries, self.starts = norm, queries, starts

    def search(self, active: Active, problem: Problem) -> Tensor:
        """Walk until the queries are spent."""
        walk = Walk(problem, self.norm, self.queries)
        walk.begin(self.starts)
        side = torch.full_like(walk.reach, FIRST_SIDE)
        near, kept, nearer = torch.full_like(side, FIRST_NEAR), torch.zeros_like(side), torch.zeros_like(side)
        step = 0
        while True:
            rows = torch.nonzero(walk.started & (walk.left > 1) & (side > SMALLEST) & (walk.reach > 0))[:, 0]
            if not len(rows):
                return walk.best
            here = self._sideways(walk, rows, side[rows])
            kept[rows] += walk.ask(rows, here).float()
            towards = walk.boxed(here + wide(near[rows], here) * (problem.x[rows] - here))
            reached = walk.ask(rows, towards)
            walk.settle(rows[reached], towards[reached])
            nearer[rows] += reached.float()
            step += 1
            if step % WINDOW == 0:
                side = torch.where(kept > 0.5 * WINDOW, side * FACTOR, side)
                side = torch.where(kept < 0.2 * WINDOW, side / FACTOR, side).clamp_max(1.0)
                near = torch.where(nearer > 0.25 * WINDOW, near * FACTOR, near)
                near = torch.where(nearer < 0.1 * WINDOW, near / FACTOR, near).clamp_max(1.0)
                kept, nearer = torch.zeros_like(kept), torch.zeros_like(nearer)

    @staticmethod
    def _sideways(walk: Walk, rows: Tensor, length: Tensor) -> Tensor:
        """Random points ``[r, *shape]`` at the same distance from the samples as where the walk is."""
        x, here = walk.problem.x[rows], walk.point[rows]
        ray = (here - x).flatten(1)
        far = ray.norm(dim=1, keepdim=True).clamp_min(1e-30)
        noise = walk.dice.draw(rows, 1, "normal")[:, 0].flatten(1)
        noise = noise - (noise * ray).sum(1, keepdim=True) / far**2 * ray
        noise = noise / noise.norm(dim=1, keepdim=True).clamp_min(1e-30) * far * length[:, None]
        moved = ray + noise
        moved = moved / moved.norm(dim=1, keepdim=True).clamp_min(1e-30) * far
        return walk.boxed(x + moved.reshape(x.shape))
