"""Auto-PGD (Croce and Hein 2020, algorithm 1): a step size that halves itself, momentum, restarts from the best point.

L-inf and L2; the L1 form stands in ``attacks.apgd_l1``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from attacks.active import Active, scaled, unit, wide
from attacks.apgd_l1 import climb_l1
from attacks.attack import Attack, Problem
from attacks.balls import AnyNorm
from attacks.losses import Loss
from attacks.targets import over_targets
from robust.errors import UsageError

MOMENTUM, RISES = 0.75, 0.75
"""alpha and rho of the paper (section 3)."""

EARLY = 0.11
"""Share of the steps after which the impatient take their first notes."""

POLISHING = 0.25
"""First step over epsilon where a climb begins at the best effort of other attacks."""


def checkpoints(steps: int) -> list[int]:
    """After how many steps the step size is thought over (paper, section 3.1): 22 %, then ever shorter windows."""
    before, now = 0.0, 0.22
    found = []
    while now <= 1:
        found.append(math.ceil(round(now * steps, 6)))
        before, now = now, now + max(now - before - 0.03, 0.06)
    return sorted({step for step in found if step < steps})


@dataclass
class _Climb:
    """What the climb knows of its rows: this iterate, the one before, the best, and how it went of late."""

    x: Tensor
    before: Tensor
    value: Tensor
    gradient: Tensor
    top: Tensor
    top_value: Tensor
    top_gradient: Tensor
    step: Tensor
    rises: Tensor
    last_top: Tensor
    halved: Tensor

    def take(self, keep: Tensor) -> None:
        """Those rows alone."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name)[keep])

    def moved(self, value: Tensor, gradient: Tensor | None, point: Tensor) -> None:
        """Accept an iterate, its value and gradient."""
        self.rises = self.rises + (value > self.value)
        better = value > self.top_value
        self.top_value = torch.where(better, value, self.top_value)
        self.top = torch.where(wide(better, point), point, self.top)
        if gradient is not None:
            self.top_gradient = torch.where(wide(better, point), gradient, self.top_gradient)
            self.gradient = gradient
        self.before, self.x, self.value = self.x, point, value

    def think(self, window: int) -> None:
        """Halve the step where too few of the last ``window`` steps rose, or nothing changed since; go back there."""
        few = self.rises < RISES * window
        stuck = ~self.halved & (self.top_value <= self.last_top)
        halve = few | stuck
        self.step = torch.where(halve, self.step / 2, self.step)
        self.x = torch.where(wide(halve, self.x), self.top, self.x)
        self.gradient = torch.where(wide(halve, self.x), self.top_gradient, self.gradient)
        self.value = torch.where(halve, self.top_value, self.value)
        self.last_top, self.halved, self.rises = self.top_value, halve, torch.zeros_like(self.rises)


def climb(
    active: Active,
    start: Tensor,
    loss: Loss,
    norm: AnyNorm,
    steps: int,
    patience: float | None = None,
    first_step: float = 2.0,
) -> None:
    """``steps`` of Auto-PGD for every row of ``active``, from ``start`` ``[r, *shape]`` (anywhere).

    Args:
        active: the rows; it keeps the best of them.
        start: brought into ball and box first.
        loss: what to climb.
        norm: ``linf``, ``l2`` or ``l1``.
        steps: gradient steps; the last iterate is asked for its answer alone.
        patience: at each checkpoint, hopeless rows leave (``Active.hopeless``); None: every row gets all steps.
        first_step: over epsilon; not for L1.
    """
    if norm == "l1":
        climb_l1(active, start, loss, steps, patience)
        return
    epsilon = active.problem.epsilon
    x = cut(active, start, norm)
    value, gradient, _ = active.climb(x, loss)
    zeros = torch.zeros_like(value)
    run = _Climb(
        x,
        x,
        value,
        gradient,
        x,
        value,
        gradient,
        zeros + first_step * epsilon,
        zeros,
        value,
        torch.ones_like(value) > 0,
    )
    looks, last = checkpoints(steps), 0
    impatient = {math.ceil(EARLY * steps), *looks}
    for step in range(1, steps + 1):
        hopeless = active.hopeless(step - 1, steps, patience) if step - 1 in impatient else None
        keep = active.leave(step, also=hopeless)
        if keep is not None:
            run.take(keep)
            if not len(active):
                return
        goal = cut(active, run.x + wide(run.step, run.x) * steepest(run.gradient, norm), norm)
        if step > 1:
            mixed = run.x + MOMENTUM * (goal - run.x) + (1 - MOMENTUM) * (run.x - run.before)
            goal = cut(active, mixed, norm)
        if step == steps:
            active.answer(goal)
            return
        value, gradient, _ = active.climb(goal, loss)
        run.moved(value, gradient, goal)
        if step in looks:
            run.think(step - last)
            last = step


def steepest(gradient: Tensor, norm: AnyNorm) -> Tensor:
    """The way of fastest ascent, of norm 1: signs for L-inf, the gradient over its length for L2."""
    return gradient.sign() if norm == "linf" else unit(scaled(gradient))


def cut(active: Active, point: Tensor, norm: AnyNorm) -> Tensor:
    """Into ball and box, in float32."""
    epsilon, x = active.problem.epsilon, active.x
    if norm == "linf":
        point = torch.minimum(torch.maximum(point, x - epsilon), x + epsilon)
    else:
        delta = point - x
        size = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        point = x + delta * wide((epsilon / size.clamp_min(1e-30)).clamp_max(1.0), x)
    return torch.minimum(torch.maximum(point, active.lower), active.upper)


class APGD(Attack):
    """Auto-PGD on one loss, untargeted, from a random point of the ball.

    Args:
        norm: ``linf``, ``l2`` or ``l1``.
        steps: gradient steps of one restart.
        restarts: random starts.
        loss: ``log-odds`` (cross-entropy), ``dlr`` or ``margin``.
        patience: as in ``climb``.
        polish: begin at the best effort so far, with a small first step, instead of at random.
    """

    name = "apgd"

    def __init__(
        self,
        *,
        norm: AnyNorm = "linf",
        steps: int = 100,
        restarts: int = 1,
        loss: Loss = "log-odds",
        patience: float | None = None,
        polish: bool = False,
    ) -> None:
        check_numbers(self.name, norm, patience, steps=steps, restarts=restarts)
        self.norm, self.steps, self.restarts, self.rounds, self.loss = norm, steps, restarts, restarts, loss
        self.patience, self.polish = patience, polish

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One restart."""
        active = Active(problem)
        start = problem.best if self.polish else problem.scatter(self.norm)
        climb(active, start, self.loss, self.norm, self.steps, self.patience, POLISHING if self.polish else 2.0)
        return active.outcome()


class TargetedAPGD(Attack):
    """Auto-PGD on the targeted DLR loss towards each of the strongest rivals (Croce and Hein 2020, section 5).

    Any wrong answer counts, not the target's alone; a sample that one target breaks takes the others with it. With
    fewer classes there are fewer targets; below four the loss has another denominator (``attacks.losses``).

    Args:
        norm: ``linf``, ``l2`` or ``l1``.
        steps: gradient steps towards one target.
        targets: rivals at most, the strongest at the sample first.
        restarts: random starts per target.
        loss: ``targeted-dlr`` or ``difference``.
        patience: as in ``climb``.
    """

    name = "apgd-t"

    def __init__(
        self,
        *,
        norm: AnyNorm = "linf",
        steps: int = 100,
        targets: int = 9,
        restarts: int = 1,
        loss: Loss = "targeted-dlr",
        patience: float | None = None,
    ) -> None:
        check_numbers(self.name, norm, patience, steps=steps, targets=targets, restarts=restarts)
        self.norm, self.steps, self.targets, self.restarts, self.loss = norm, steps, targets, restarts, loss
        self.rounds, self.patience = restarts, patience

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One restart towards all targets, several at a time where the batch is small."""

        def walk(active: Active, start: Tensor) -> None:
            climb(active, start, self.loss, self.norm, self.steps, self.patience)

        return over_targets(problem, self.targets, self.norm, walk)


def check_numbers(name: str, norm: AnyNorm, patience: float | None, **numbers: int) -> None:
    """Raise UsageError for a count below 1, a patience that is none, or a norm that the attack does not know."""
    for what, number in numbers.items():
        if number < 1:
            raise UsageError(f"{name} needs {what}", wanted="at least 1", got=number)
    if patience is not None and not patience > 0:
        raise UsageError(f"{name}'s patience is none", wanted="above 0, or None for the whole budget", got=patience)
    if norm not in ("linf", "l2", "l1"):
        raise UsageError(f"{name} does not know this norm", wanted="linf, l2 or l1", got=norm)
