"""HopSkipJump (Chen, Jordan and Wainwright 2020, algorithms 1 and 2): small changes from answers alone.

No score is read, only whether an input reaches the goal. From a far input that does, walk along the boundary: bisect
towards the sample, estimate the boundary's normal from random directions (equations 9 and 16), step along it as far as
the goal is kept (halving, section III-C), bisect again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attacks.active import Active
from attacks.attack import Attack, Problem
from attacks.balls import AnyNorm
from attacks.decision_walk import Walk
from attacks.minimal import MinimalAttack, check_minimal
from robust.errors import DataShapeError, UsageError

LEAST_DRAWS = 10
"""Directions below which an estimate of the normal is not worth its queries."""


class HopSkipJump(MinimalAttack):
    """Small changes in L2 or L-inf, for a subject that gives nothing but its answer.

    Args:
        norm: ``l2`` or ``linf``.
        queries: at most so many per sample, the first look and the replay among them.
        draws: directions of the first estimate; number ``t`` has ``draws * sqrt(t)``.
        starts: inputs ``[k, *shape]`` inside the box to begin from, the nearest that reaches the goal; where there are
            none or none does, random ones. A targeted attack needs some, for example samples of the target.
    """

    name = "hopskipjump"
    norms = ("l2", "linf")
    needs_gradients = False

    def __init__(
        self, *, norm: AnyNorm = "l2", queries: int = 2500, draws: int = 100, starts: Tensor | None = None
    ) -> None:
        check_minimal(type(self), norm, draws=draws)
        check_queries(self.name, queries)
        self.norm, self.queries, self.draws, self.starts = norm, queries, draws, starts

    def search(self, active: Active, problem: Problem) -> Tensor:
        """Walk along the boundary until the queries are spent, or the point lies within the ball that is asked for."""
        walk = Walk(problem, self.norm, self.queries)
        if self.starts is not None and tuple(self.starts.shape[1:]) != tuple(problem.x.shape[1:]):
            raise DataShapeError(
                f"{self.name}'s starts are no samples of the subject",
                wanted=f"[k, {', '.join(map(str, problem.x.shape[1:]))}]",
                got=list(self.starts.shape),
            )
        walk.begin(self.starts)
        enough = problem.epsilon * (1 - 1e-4) if math.isfinite(problem.epsilon) else 0.0
        step = 0
        while True:
            step += 1
            counts = (walk.left - walk.reserve).clamp(0, int(self.draws * math.sqrt(step)))
            rows = torch.nonzero((walk.reach > enough) & walk.started & (counts >= LEAST_DRAWS))[:, 0]
            if not len(rows):
                return walk.best
            normal = walk.normal(rows, counts[rows], first=step == 1)
            walk.advance(rows, normal, step)


class HopSkipJumpBall(Attack):
    """HopSkipJump until its point lies within the ball.

    Args:
        norm: ``l2`` or ``linf``.
        queries, draws, starts: as ``HopSkipJump``; ``queries`` are per sample and radius.
    """

    name = "hopskipjump-ball"
    needs_gradients = False

    def __init__(
        self, *, norm: AnyNorm = "l2", queries: int = 2500, draws: int = 100, starts: Tensor | None = None
    ) -> None:
        self.inner = HopSkipJump(norm=norm, queries=queries, draws=draws, starts=starts)
        self.norm, self.queries, self.draws, self.starts = norm, queries, draws, starts

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """The nearest point found."""
        return self.inner.search(Active(problem), problem), None


def check_queries(name: str, queries: int) -> None:
    """Raise UsageError where nothing could be asked beside the first look and the replay."""
    if queries < 3:
        raise UsageError(f"{name} needs queries", wanted="at least 3", got=queries)
