"""The fast gradient method: one step of length epsilon (Goodfellow et al. 2015, section 4; its L2 kin)."""

from __future__ import annotations

from torch import Tensor

from attacks.attack import Attack, Problem
from attacks.balls import Norm
from attacks.foolbox_engine import Best, descend


class FGSM(Attack):
    """One step from the sample itself: along the gradient's sign (L-inf, FGSM) or the gradient (L2, FGM).

    Args:
        norm: ``linf`` or ``l2``.
    """

    name = "fgsm"
    norm: Norm

    def __init__(self, *, norm: Norm = "linf") -> None:
        self.norm = norm

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """The end of the step; deterministic."""
        best = Best(problem.x, problem.goal)
        point = descend(
            problem.classifier,
            problem.x,
            problem.x,
            best,
            epsilon=problem.epsilon,
            norm=self.norm,
            loss="log-odds",
            steps=1,
            step_size=problem.epsilon,
        )
        problem.tally.add(problem.rows, forward=1, backward=1)
        return point, best.dead
