"""Auto-PGD in L1 balls cut to the box (Croce and Hein 2021, "Mind the box", section 3 and algorithm 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attacks.active import Active, wide
from attacks.losses import Loss
from attacks.projections import onto_l1_ball

FIRST_SHARE = 0.2
"""Share of coordinates that the first steps move."""

THINNER = 1.5
"""A step moves the number of coordinates that the best point changed, over this; and step sizes shrink by it."""

SMALLEST = 10.0
"""The step size stays above epsilon over this."""

LOOK = 10
"""Steps between two looks at who is too slow."""

PHASES = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))
"""Radius over epsilon, and share of the steps: from outside the ball inwards (section 3.4, multi-epsilon)."""


def climb_l1(active: Active, start: Tensor, loss: Loss, steps: int, patience: float | None = None) -> None:
    """As ``attacks.apgd.climb``, for L1."""
    point = start
    done = 0
    for place, (factor, share) in enumerate(PHASES):
        count = steps - done if place == len(PHASES) - 1 else math.ceil(share * steps)
        count = min(count, steps - done)
        if count < 1:
            continue
        last = place == len(PHASES) - 1
        found = _phase(
            active,
            point,
            loss,
            factor * active.problem.epsilon,
            count,
            first=place == 0,
            last=last,
            patience=patience if last else None,
        )
        if found is None:
            return
        point, done = found, done + count


def _phase(
    active: Active,
    start: Tensor,
    loss: Loss,
    radius: float,
    steps: int,
    *,
    first: bool,
    last: bool,
    patience: float | None,
) -> Tensor | None:
    """Steps inside a ball of its own radius; the best point of each row that is left, None where none is."""
    x = _cut(active, start, radius)
    value, gradient, _ = active.climb(x, loss, noted=_noted(active, last))
    top, top_value, top_gradient = x, value, gradient
    size = math.prod(x.shape[1:])
    step = torch.full_like(value, radius)
    support = (x != active.x).flatten(1).sum(1).float().clamp_min(1)
    share = torch.full_like(value, FIRST_SHARE) if first else support / size / THINNER
    support = torch.full_like(value, float(size)) if first else support
    window = max(1, math.ceil(0.04 * steps))
    for number in range(1, steps + 1):
        look = patience is not None and number % LOOK == 0
        keep = active.leave(number, also=active.hopeless(number, steps, patience) if look else None)
        if keep is not None:
            x, top, top_value, top_gradient = x[keep], top[keep], top_value[keep], top_gradient[keep]
            gradient, share, step, support = gradient[keep], share[keep], step[keep], support[keep]
            if not len(active):
                return None
        x = _cut(active, x + wide(step, x) * _sparse(gradient, share), radius)
        if last and number == steps:
            active.answer(x)
            return top
        value, gradient, _ = active.climb(x, loss, noted=_noted(active, last))
        better = value > top_value
        top_value = torch.where(better, value, top_value)
        top = torch.where(wide(better, x), x, top)
        top_gradient = torch.where(wide(better, x), gradient, top_gradient)
        if number % window == 0:
            now = (top != active.x).flatten(1).sum(1).float()
            thinner = now / support < 0.95
            step = torch.where(thinner, radius, (step / THINNER).clamp_min(radius / SMALLEST))
            x = torch.where(wide(thinner, x), top, x)
            gradient = torch.where(wide(thinner, x), top_gradient, gradient)
            share, support = now / size / THINNER, now.clamp_min(1)
    return top


def _noted(active: Active, inside: bool) -> Tensor | None:
    """Which points count: all in the last phase, none in a larger ball."""
    return None if inside else torch.zeros(len(active), dtype=torch.bool, device=active.x.device)


def _sparse(gradient: Tensor, share: Tensor) -> Tensor:
    """The sign of the largest entries, ``share`` ``[r]`` of them at each row, of L1 norm 1."""
    flat = gradient.abs().flatten(1)
    count = (share * flat.shape[1]).long().clamp(1, flat.shape[1])
    least = flat.sort(1, descending=True).values.gather(1, count[:, None] - 1)
    signs = gradient.flatten(1).sign() * (flat >= least)
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1)).reshape(gradient.shape)


def _cut(active: Active, point: Tensor, radius: float) -> Tensor:
    return onto_l1_ball(active.x, point, radius, active.lower, active.upper)
