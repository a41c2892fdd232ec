"""Score-based descent: gradients estimated by finite differences along random directions, then projected steps.

NES: Ilyas et al. 2018 (section 3.1: antithetic normal directions, momentum). SPSA: Uesato et al. 2018 (section 3.3:
random signs, Adam). Both descend the margin and ask for scores only.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.active import Active, unit
from attacks.attack import Attack, Problem
from attacks.balls import AnyNorm, project
from attacks.hop_skip_jump import check_queries
from attacks.minimal import cosine
from attacks.population import CHUNK, Dice, Law, spread
from robust.errors import UsageError

MOMENTUM, SECOND = 0.9, 0.999
"""Decay of the running mean of gradients, and of their squares (Kingma and Ba 2015)."""


class NES(Attack):
    """Natural evolution strategies inside a ball.

    Args:
        norm: ``linf`` or ``l2``.
        queries: at most so many per sample, the first look and the replay among them.
        population: points of one estimate, even.
        reach: how far from the point they lie (standard deviation), in widths of the box.
        first_step: in radii; falls along half a cosine.
    """

    name: ClassVar[str] = "nes"
    needs_gradients = False
    law: ClassVar[Law] = "normal"

    def __init__(
        self,
        *,
        norm: AnyNorm = "linf",
        queries: int = 5000,
        population: int = 50,
        reach: float = 0.01,
        first_step: float = 0.25,
    ) -> None:
        check_queries(self.name, queries)
        if norm not in ("linf", "l2"):
            raise UsageError(f"{self.name} does not know this norm", wanted="linf or l2", got=norm)
        if population < 2 or population % 2:
            raise UsageError(f"{self.name} asks in pairs", wanted="an even population", got=population)
        if not (reach > 0 and first_step > 0):
            raise UsageError(f"{self.name} needs lengths above 0", wanted="above 0", got=(reach, first_step))
        self.norm, self.queries, self.population = norm, queries, population
        self.reach, self.first_step = reach, first_step

    def direction(self, mean: Tensor, square: Tensor, step: int) -> Tensor:
        """Where to go, from running means ``[r, *shape]`` of the estimates and their squares after ``step`` of them."""
        return mean

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One descent from the sample."""
        active, dice = Active(problem), Dice(problem)
        box = problem.classifier.input_box
        spent = int(problem.tally.forward[problem.rows].max())
        steps = (self.queries - spent - 1) // (self.population + 1)
        point, mean, square = active.x.clone(), torch.zeros_like(active.x), torch.zeros_like(active.x)
        for step in range(steps):
            slope = unit(self._slope(active, dice, point))
            mean, square = MOMENTUM * mean + (1 - MOMENTUM) * slope, SECOND * square + (1 - SECOND) * slope.square()
            way = self.direction(mean, square, step + 1)
            way = way.sign() if self.norm == "linf" else unit(way)
            length = problem.epsilon * cosine(self.first_step, 0.0, step, steps)
            point = project(active.x, point - length * way, problem.epsilon, self.norm, box)
            active.answer(point)
            keep = active.leave(step)
            if keep is not None:
                point, mean, square = point[keep], mean[keep], square[keep]
                if not len(active):
                    break
        return active.outcome()

    def _slope(self, active: Active, dice: Dice, point: Tensor) -> Tensor:
        """Estimate of the margin's gradient ``[r, *shape]``, up to a positive factor."""
        pairs = self.population // 2
        size = max(1, CHUNK // (2 * pairs * point[0].numel()))
        parts = torch.split(torch.arange(len(point), device=point.device), size)
        return torch.cat([self._part(active, dice, point, rows, pairs) for rows in parts])

    def _part(self, active: Active, dice: Dice, point: Tensor, rows: Tensor, pairs: int) -> Tensor:
        box = active.problem.classifier.input_box
        reach = self.reach * (box.upper - box.lower).to(point)
        u = dice.draw(active.rows[rows], pairs, self.law)
        margins = []
        for side in (1.0, -1.0):
            points = box.clamp((point[rows][:, None] + side * reach * u).flatten(0, 1))
            with torch.no_grad():
                logits = active.problem.classifier.logits(points).float()
            goal = active.goal.take(rows.repeat_interleave(pairs))
            margins.append(goal.margin(logits).reshape(len(rows), pairs))
        active.problem.tally.add(active.problem.rows[active.rows[rows]], forward=2 * pairs)
        difference = (margins[0] - margins[1]).nan_to_num(0.0, 0.0, 0.0)
        return (spread(difference, u) * u).sum(1)


class SPSA(NES):
    """Simultaneous perturbation by random signs, with Adam's steps."""

    name: ClassVar[str] = "spsa"
    law: ClassVar[Law] = "signs"

    def direction(self, mean: Tensor, square: Tensor, step: int) -> Tensor:
        """Adam's."""
        centre, scale = mean / (1 - MOMENTUM**step), square / (1 - SECOND**step)
        largest = scale.flatten(1).amax(1).reshape(-1, *(1 for _ in scale.shape[1:])).clamp_min(1e-30)
        return centre / (scale.sqrt() + 1e-8 * largest.sqrt() + 1e-30)
