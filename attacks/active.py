"""The rows that an attack still moves: what they ask of the model is counted, their best is kept, the broken leave.

Nothing here asks the host for a number between two calls of ``leave``, so an accelerator works through without waits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.attack import Problem
from attacks.goals import Goal
from attacks.losses import Loss, coefficients

CERTAIN = 1e-4
"""Broken means beyond the goal by this share of the largest logit: by more than two runtimes of one model differ."""

EVERY = 10
"""Steps between two departures on an accelerator; on a CPU, where looking costs nothing, rows leave at once."""


class Active:
    """Rows of a problem, each working for one sample; several may work for the same one and leave together.

    Args:
        problem: the samples.
        rows: int64 ``[r]``, the sample of each row; all of them once if None.
        toward: int64 ``[r]``, a rival class per row, for losses that need one.

    Attributes:
        x: centres ``[r, *shape]``.
        lower: lower ends of ball (L-inf) or box, ``[r, *shape]`` or broadcast to it; ``upper`` likewise.
        goal: of the rows.
    """

    def __init__(self, problem: Problem, rows: Tensor | None = None, toward: Tensor | None = None) -> None:
        device = problem.x.device
        self.problem, self.toward = problem, toward
        self.rows = torch.arange(len(problem.x), device=device) if rows is None else rows
        self.x: Tensor = problem.x[self.rows]
        self.goal: Goal = problem.goal.take(self.rows)
        box = problem.classifier.input_box
        self.lower, self.upper = box.lower[None].to(self.x), box.upper[None].to(self.x)
        self.best_x, self.best_margin = self.x.clone(), torch.full((len(self.rows),), torch.inf, device=device)
        self.certain = torch.zeros(len(self.rows), dtype=torch.bool, device=device)
        self.dead = torch.ones(len(self.rows), dtype=torch.bool, device=device)
        self.result, self.margins = problem.x.clone(), torch.full((len(problem.x),), torch.inf, device=device)
        self.alive = torch.zeros(len(problem.x), dtype=torch.bool, device=device)
        self.asked = False
        self.looked: tuple[int, Tensor] = (0, torch.full_like(self.best_margin, torch.inf))

    def __len__(self) -> int:
        return len(self.rows)

    def answer(self, point: Tensor, *, noted: Tensor | None = None) -> Tensor:
        """Logits float32 ``[r, classes]`` of the rows' points, without gradients; ``noted`` as in ``climb``."""
        with torch.no_grad():
            logits = self.problem.classifier.logits(point).float()
        self.problem.tally.add(self.problem.rows[self.rows], forward=1)
        self._see(point, logits, noted)
        return logits

    def climb(self, point: Tensor, loss: Loss, *, noted: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Loss ``[r]``, its gradient by the points ``[r, *shape]`` (0 where it is not finite), and the logits.

        Args:
            point: ``[r, *shape]``.
            loss: which.
            noted: bool ``[r]``, which points may be kept as the best: not those outside the ball; all if None.
        """
        with torch.enable_grad():
            leaf = point.detach().clone().requires_grad_()
            raw = self.problem.classifier.logits(leaf)
            worth, push = coefficients(loss, raw.float(), self.goal, self.toward)
            (gradient,) = torch.autograd.grad(raw, leaf, push.to(raw.dtype), allow_unused=True)
        gradient = torch.zeros_like(point) if gradient is None else gradient
        gradient = torch.where(torch.isfinite(gradient), gradient, torch.zeros_like(gradient))
        self.problem.tally.add(self.problem.rows[self.rows], forward=1, backward=1)
        self.asked = True
        self.dead &= (gradient == 0).flatten(1).all(1)
        logits = raw.detach().float()
        self._see(leaf.detach(), logits, noted)
        return worth.nan_to_num(-torch.inf), gradient, logits

    def _see(self, point: Tensor, logits: Tensor, noted: Tensor | None) -> None:
        margin = self.goal.margin(logits)
        if noted is not None:
            margin = torch.where(noted, margin, torch.inf)
        better = margin < self.best_margin
        self.best_margin = torch.where(better, margin, self.best_margin)
        self.certain |= margin < -CERTAIN * logits.abs().amax(1).nan_to_num(0.0, 0.0)
        self.best_x = torch.where(wide(better, point), point, self.best_x)

    def leave(self, step: int, *, also: Tensor | None = None) -> Tensor | None:
        """Let rows go whose sample is broken, and those in ``also`` (bool ``[r]``); which stay, or None if all do.

        Args:
            step: on an accelerator only every tenth looks.
            also: rows that give up.
        """
        if self.x.device.type != "cpu" and step % EVERY and also is None:
            return None
        broken = self._any(self.certain)
        going = broken[self.rows] if also is None else broken[self.rows] | also
        if not bool(going.any()):
            return None
        keep = torch.nonzero(~going)[:, 0]
        self._fold()
        self.rows, self.x, self.goal = self.rows[keep], self.x[keep], self.goal.take(keep)
        self.toward = None if self.toward is None else self.toward[keep]
        self.best_x, self.best_margin = self.best_x[keep], self.best_margin[keep]
        self.certain, self.dead = self.certain[keep], self.dead[keep]
        self.looked = (self.looked[0], self.looked[1][keep])
        return keep

    def hopeless(self, step: int, steps: int, patience: float | None, gap: Tensor | None = None) -> Tensor | None:
        """Rows ``[r]`` that would not arrive if they went on ``patience`` times as fast as since the last look.

        Args:
            step: steps done.
            steps: steps in all.
            patience: None for no such rows; the first look only takes notes.
            gap: ``[r]``, what is left to go, at most 0 at the goal; the best margin if None.
        """
        if patience is None:
            return None
        gap = self.best_margin if gap is None else gap
        last, before = self.looked
        self.looked = (step, gap)
        if last == 0:
            return None
        gain = (before - gap).nan_to_num(0.0, 0.0, 0.0)
        return gap > patience * gain * (steps - step) / (step - last)

    def _fold(self) -> None:
        """Bring the best of each sample's rows into the result."""
        count = len(self.result)
        places = torch.arange(len(self.rows), device=self.x.device)
        best = torch.full_like(self.margins, torch.inf).scatter_reduce(0, self.rows, self.best_margin, "amin")
        good = (self.best_margin <= best[self.rows]) & (self.best_margin < self.margins[self.rows])
        unset = torch.full((count,), len(self.rows), device=self.x.device)
        first = unset.scatter_reduce(0, self.rows, torch.where(good, places, len(self.rows)), "amin")
        hit = torch.nonzero(first < len(self.rows))[:, 0]
        self.result[hit], self.margins[hit] = self.best_x[first[hit]], self.best_margin[first[hit]]
        self.alive |= self._any(~self.dead)

    def _any(self, flags: Tensor) -> Tensor:
        """Bool ``[m]``: some row of the sample has the flag."""
        return torch.zeros(len(self.result), device=self.x.device).index_add(0, self.rows, flags.float()) > 0

    def outcome(self) -> tuple[Tensor, Tensor | None]:
        """Best point ``[m, *shape]`` of each sample, and ``dead`` ``[m]`` (see ``Attempt``)."""
        if len(self.rows):
            self._fold()
        return self.result, ~self.alive if self.asked else None


def wide(values: Tensor, like: Tensor) -> Tensor:
    """``[n]`` as ``[n, 1, ...]``, to be broadcast against ``like``."""
    return values.reshape(-1, *(1 for _ in like.shape[1:]))


def scaled(gradient: Tensor) -> Tensor:
    """Each row over its largest entry, so that a small gradient is not lost in a norm in float32."""
    largest = wide(gradient.abs().flatten(1).amax(1), gradient)
    return torch.where(largest > 0, gradient / largest, gradient)


def unit(direction: Tensor, order: float = 2) -> Tensor:
    """Each row over its norm; rows of zeros stay."""
    direction = scaled(direction)
    size = torch.linalg.vector_norm(direction.flatten(1), ord=order, dim=1).clamp_min(1e-30)
    return direction / wide(size, direction)
