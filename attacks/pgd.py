"""Projected gradient descent (Madry et al. 2018, section 2.1), L-inf and L2, with random restarts."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.attack import Attack, Problem
from attacks.balls import Norm
from attacks.foolbox_engine import Best, descend
from attacks.losses import Loss
from robust.errors import UsageError

SEGMENT = 10
"""Steps between two looks at which samples still stand; the descent has no memory, so cutting it changes nothing."""

LOSSES: tuple[Loss, ...] = ("log-odds", "margin")
"""Restarts take them in turn: each finds samples that the other misses."""


class PGD(Attack):
    """foolbox's descent from a random point of the ball; restarts and step segments run on survivors only.

    Any iterate that breaks the sample counts, not only the last.

    Args:
        norm: ``linf`` or ``l2``.
        steps: gradient steps of one restart.
        restarts: random starts; even ones climb the cross-entropy, odd ones the margin.
        relative_step: step over epsilon; ``2.5 / steps`` as in Madry et al.'s code if None.
    """

    name = "pgd"
    norm: Norm

    def __init__(
        self, *, norm: Norm = "linf", steps: int = 40, restarts: int = 2, relative_step: float | None = None
    ) -> None:
        if steps < 1 or restarts < 1:
            raise UsageError("PGD needs steps and restarts", wanted="at least 1 each", got=f"{steps} and {restarts}")
        if relative_step is not None and not relative_step > 0:
            raise UsageError("PGD needs a step size", wanted="relative_step > 0", got=relative_step)
        self.norm, self.steps, self.restarts, self.rounds = norm, steps, restarts, restarts
        self.relative_step = 2.5 / steps if relative_step is None else relative_step

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One restart: the best iterate of each row."""
        classifier, tally = problem.classifier, problem.tally
        result, dead = problem.x.clone(), torch.zeros(len(problem.x), dtype=torch.bool, device=problem.x.device)
        rows = torch.arange(len(problem.x), device=problem.x.device)
        point = problem.draw(self.norm)
        best = Best(problem.x, problem.goal)
        for done in range(0, self.steps, SEGMENT):
            steps = min(SEGMENT, self.steps - done)
            point = descend(
                classifier,
                problem.x[rows],
                point,
                best,
                epsilon=problem.epsilon,
                norm=self.norm,
                loss=LOSSES[round_ % len(LOSSES)],
                steps=steps,
                step_size=self.relative_step * problem.epsilon,
            )
            with torch.no_grad():
                best.see(point, classifier.logits(point))
            tally.add(problem.rows[rows], forward=steps + 1, backward=steps)
            result[rows], dead[rows] = best.x, best.dead
            keep = ~best.broken
            rows, point, best = rows[keep], point[keep], best.take(keep)
            if not len(rows):
                break
        return result, dead
