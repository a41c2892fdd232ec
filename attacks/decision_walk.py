"""The walk along a decision boundary, by answers alone, with a budget of queries for each sample."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from attacks.active import unit, wide
from attacks.attack import Problem, replayed
from attacks.balls import AnyNorm
from attacks.fab import size
from attacks.population import CHUNK, Dice, spread

START_DRAWS = 100
"""Random inputs that are tried as a start."""

HALVINGS = 20
"""Of a step along the normal."""


class Walk:
    """Where each sample of a problem has got to.

    Args:
        problem: the samples; its tally is kept.
        norm: ``l2`` or ``linf``.
        queries: of each sample in all; those in the tally are spent, and one is kept for the replay.

    Attributes:
        point: ``[m, *shape]``, the goal is reached there once ``started``.
        reach: distance of the nearest such point, ``best``; infinite before the start.
        left: int64 ``[m]``, queries.
        reserve: queries that a step and its bisection take, roughly.
    """

    def __init__(self, problem: Problem, norm: AnyNorm, queries: int) -> None:
        self.problem, self.norm, self.dice = problem, norm, Dice(problem)
        box = problem.classifier.input_box
        self.lower, self.upper = box.lower.to(problem.x), box.upper.to(problem.x)
        self.width = float((self.upper - self.lower).max())
        self.left = queries - problem.tally.forward[problem.rows] - 1
        self.point, self.best = problem.x.clone(), problem.x.clone()
        self.reach = torch.full((len(problem.x),), math.inf, device=problem.x.device)
        self.started = torch.zeros_like(self.reach, dtype=torch.bool)
        self.d = math.prod(problem.x.shape[1:])
        self.precision = min(1e-3, max(1e-5, self.d**-1.5 if norm == "l2" else self.d**-2.0))
        self.reserve = math.ceil(-math.log2(self.precision)) + 3

    def ask(self, rows: Tensor, points: Tensor) -> Tensor:
        """Bool ``[r]``: the goal of sample ``rows[i]`` is reached at ``points[i]``; rows may come several times."""
        self.problem.tally.add(self.problem.rows[rows], forward=1)
        self.left.index_add_(0, rows, torch.full_like(rows, -1))
        return self.problem.goal.take(rows).reached(replayed(self.problem.classifier, points))

    def begin(self, starts: Tensor | None) -> None:
        """Find a point that reaches the goal, and bisect; samples without one are marked in the tally."""
        if starts is not None:
            starts = self.boxed(starts.to(self.problem.x))
            order = torch.stack([size(starts - x, self.norm).argsort() for x in self.problem.x])
            for place in range(len(starts)):
                self._try(lambda rows, place=place: starts[order[rows, place]])  # type: ignore[misc]
        for number in range(START_DRAWS):
            law = "signs" if number % 2 else "uniform"
            self._try(lambda rows, law=law: self._noise(self.dice.draw(rows, 1, law)[:, 0]))  # type: ignore[misc]
        self.problem.tally.unstarted[self.problem.rows[~self.started]] = True
        rows = torch.nonzero(self.started)[:, 0]
        self.settle(rows, self.point[rows])

    def normal(self, rows: Tensor, counts: Tensor, *, first: bool) -> Tensor:
        """Estimate of the direction into the goal's side, with the mean answer as baseline (equation 16).

        Args:
            rows: int64 ``[r]``.
            counts: directions for each, at least 1.
            first: the first estimate looks a tenth of the box's width far, later ones as far as equation 15 says, and
                never nearer than float32 can tell.

        Returns:
            ``[r, *shape]``.
        """
        floor = 1e-5 * math.sqrt(self.d) * self.width
        far = size(self.point[rows] - self.problem.x[rows], self.norm)
        delta = torch.full_like(far, 0.1 * self.width) if first else (far / self.d).clamp_min(floor)
        block = max(1, min(int(counts.max()), CHUNK // self.d))
        parts = torch.split(torch.arange(len(rows), device=rows.device), max(1, CHUNK // (block * self.d)))
        return torch.cat([self._estimate(rows[part], counts[part], delta[part], block) for part in parts])

    def advance(self, rows: Tensor, normal: Tensor, step: int) -> None:
        """Along the normal as far as the goal is kept, then back to the boundary."""
        direction = unit(normal) if self.norm == "l2" else normal.sign()
        length = size(self.point[rows] - self.problem.x[rows], self.norm) / math.sqrt(step)
        for _ in range(HALVINGS):
            going = self.left[rows] > 0
            rows, direction, length = rows[going], direction[going], length[going]
            if not len(rows):
                return
            there = self.boxed(self.point[rows] + wide(length, direction) * direction)
            kept = self.ask(rows, there)
            self.settle(rows[kept], there[kept])
            rows, direction, length = rows[~kept], direction[~kept], length[~kept] / 2

    def _try(self, propose: Callable[[Tensor], Tensor]) -> None:
        rows = torch.nonzero(~self.started & (self.left > 0))[:, 0]
        if len(rows):
            points = propose(rows)
            reached = self.ask(rows, points)
            self.point[rows[reached]], self.started[rows[reached]] = points[reached], True

    def _noise(self, unit_numbers: Tensor) -> Tensor:
        return self.boxed(self.lower + (unit_numbers + 1) / 2 * (self.upper - self.lower))

    def _estimate(self, rows: Tensor, counts: Tensor, delta: Tensor, block: int) -> Tensor:
        """Sums over blocks of directions, so that memory does not grow with their number."""
        here = self.point[rows][:, None]
        signed, plain, total = torch.zeros_like(here[:, 0]), torch.zeros_like(here[:, 0]), torch.zeros_like(delta)
        for begin in range(0, int(counts.max()), block):
            u = self.dice.draw(rows, block, "normal" if self.norm == "l2" else "uniform")
            u = u / spread(u.flatten(2).norm(dim=2).clamp_min(1e-30), u)
            points = self.boxed(here + spread(delta[:, None], u) * u)
            asked = torch.arange(begin, begin + block, device=rows.device) < counts[:, None]
            answers = torch.zeros(asked.shape, device=rows.device)
            repeated = rows[:, None].expand(asked.shape)[asked]
            answers[asked] = self.ask(repeated, points[asked]).float() * 2 - 1
            u = (points - here) / spread(delta[:, None], u) * spread(asked.float(), u)
            signed, plain = signed + (spread(answers, u) * u).sum(1), plain + u.sum(1)
            total = total + answers.sum(1)
        mean = total / counts
        return torch.where(wide(mean.abs() < 1, signed), signed - wide(mean, plain) * plain, signed)

    def settle(self, rows: Tensor, far: Tensor) -> None:
        """Bisect between samples and points that reach the goal; the nearest that does is where the walk goes on."""
        x = self.problem.x[rows]
        high = size(far - x, self.norm) if self.norm == "linf" else torch.ones(len(rows), device=x.device)
        low, tolerance, nearest = torch.zeros_like(high), high * self.precision, far.clone()
        while True:
            open_ = torch.nonzero((high - low > tolerance) & (self.left[rows] > 0))[:, 0]
            if not len(open_):
                break
            middle = (low[open_] + high[open_]) / 2
            points = self._between(x[open_], far[open_], middle)
            reached = self.ask(rows[open_], points)
            nearest[open_[reached]], high[open_[reached]] = points[reached], middle[reached]
            low[open_[~reached]] = middle[~reached]
        self.point[rows] = nearest
        reach = size(nearest - x, self.norm)
        better = reach < self.reach[rows]
        self.reach[rows[better]], self.best[rows[better]] = reach[better], nearest[better]

    def _between(self, x: Tensor, far: Tensor, level: Tensor) -> Tensor:
        """L2: on the line; L-inf: every change cut to the level."""
        move, bound = far - x, wide(level, x)
        if self.norm == "l2":
            return self.boxed(x + bound * move)
        return self.boxed(x + torch.minimum(torch.maximum(move, -bound), bound))

    def boxed(self, points: Tensor) -> Tensor:
        """Into the input box."""
        return torch.minimum(torch.maximum(points, self.lower), self.upper)
