"""Uniform noise in the ball: the control. An attack that is no stronger than this has found nothing."""

from __future__ import annotations

from torch import Tensor

from attacks.attack import Attack, Problem
from attacks.balls import Norm
from robust.errors import UsageError


class UniformNoise(Attack):
    """Points drawn uniformly from the ball, then cut to the box; needs answers only.

    Args:
        norm: ``linf`` or ``l2``.
        draws: points per sample; as many as PGD has steps makes the two comparable in forward passes.
    """

    name = "noise"
    needs_gradients = False

    def __init__(self, *, norm: Norm = "linf", draws: int = 40) -> None:
        if draws < 1:
            raise UsageError("noise needs draws", wanted="at least 1", got=draws)
        self.norm, self.draws, self.rounds = norm, draws, draws

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One draw for each sample that still stands."""
        return problem.draw(self.norm), None
