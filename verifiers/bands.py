"""Parallel lines around a nonlinear function: one slope, and a band that the rest stays in.

An affine form can follow a function along one line only. Rules give lines of different slopes below and above. Whatever
the slope ``s``, a line ``a x + b`` below the function over ``[l, u]`` gives ``f(x) - s x >= min over both ends of
(a - s) x + b``, and likewise above: so every choice of ``s`` is sound, and the choice is by width alone. Of a family
the mixture whose slope is ``s`` is tried as well; for ReLU, whose lines through 0 mix to every slope in [0, 1], that
gives the band of Singh et al. (Fast and Effective Robustness Certification, 2018, theorem 3.1), and the smallest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verifiers.relaxations import Interval, Lines
from verifiers.relaxations.maximum import MaximumRelaxation


@dataclass(frozen=True, eq=False)
class Band:
    """``|f(x) - sum_k slopes[k] x_k - middle| <= half`` over the operands' bounds.

    Attributes:
        slopes: ``[k, n, elements]``.
        middle: ``[n, elements]``.
        half: ``[n, elements]``, at least 0; infinite where the function is not bounded.
    """

    slopes: Tensor
    middle: Tensor
    half: Tensor


@dataclass(frozen=True, eq=False)
class _Side:
    """Lines ``[L, k, n, elements]`` with ``[L, n, elements]`` that all bound the same side; the last ones may mix."""

    slopes: Tensor
    intercepts: Tensor
    mixing: int = 0


def line_band(lower: Lines, upper: Lines, operands: Interval, constant: Interval) -> Band:
    """The narrowest band whose slope is that of one of the lines, or 0.

    Args:
        lower: lines below, with a family if there is one.
        upper: lines above.
        operands: bounds, ``[k, n, elements]``.
        constant: range of the function, ``[n, elements]``.
    """
    return _narrowest(_side(lower, constant[0]), _side(upper, constant[1]), *operands)


def maximum_band(relaxed: MaximumRelaxation, operands: Interval, constant: Interval) -> Band:
    """The same for windows; operands are their elements, ``[k, n, elements]``, anything finite at padding."""
    sides = []
    for lines, level in zip((relaxed.lower, relaxed.upper), constant, strict=True):
        weights = lines.weights.movedim(2, 0)
        slopes = torch.stack([weights, torch.zeros_like(weights)])
        sides.append(_Side(slopes, torch.stack([lines.intercept, level])))
    return _narrowest(sides[0], sides[1], *operands)


def _side(lines: Lines, level: Tensor) -> _Side:
    """The line of the rule, the constant, and the family's members."""
    slopes = torch.stack(lines.slopes)
    intercept = torch.zeros_like(level) if lines.intercept is None else lines.intercept
    slopes, intercepts = torch.stack([slopes, torch.zeros_like(slopes)]), torch.stack([intercept, level])
    if lines.family is None:
        return _Side(slopes, intercepts)
    members = torch.stack(lines.family.slopes, 1)
    moved = torch.zeros_like(members[:, 0]) if lines.family.intercept is None else lines.family.intercept
    return _Side(torch.cat([slopes, members]), torch.cat([intercepts, moved]), len(members))


def _narrowest(below: _Side, above: _Side, lower: Tensor, upper: Tensor) -> Band:
    candidates = torch.cat([above.slopes, below.slopes])
    mirrored = _Side(-above.slopes, -above.intercepts, above.mixing)
    low = _least(below, candidates, lower, upper)
    high = -_least(mirrored, -candidates, lower, upper)
    width = (high - low).nan_to_num(torch.inf, torch.inf, 0.0)
    best = width.argmin(0, keepdim=True)
    slopes = candidates.gather(0, best[:, None].expand(1, *candidates.shape[1:]))[0]
    low, high, width = (value.gather(0, best)[0] for value in (low, high, width))
    good = torch.isfinite(width) & torch.isfinite(slopes).all(0)
    middle = low + (high - low) / 2
    half = torch.maximum(high - middle, middle - low).clamp_min(0) * (1 + 2 * torch.finfo(low.dtype).eps)
    good &= torch.isfinite(middle) & torch.isfinite(half)
    return Band(slopes.where(good, 0.0), middle.where(good, 0.0), half.where(good, torch.inf))


def _least(side: _Side, candidates: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Below ``f - slope x`` for each of ``[C, k, n, elements]`` slopes, by the best of the lines: ``[C, n, elements]``.

    Minus infinity where there is no bound.
    """
    slope = candidates[:, None]
    found = _least_rest(side.slopes, side.intercepts, slope, lower, upper)
    if side.mixing > 1:
        members, levels = side.slopes[-side.mixing :], side.intercepts[-side.mixing :]
        start, step, level = members[:-1], members[1:] - members[:-1], levels[:-1]
        share = ((slope[:, :, 0] - start[:, 0]) / step[:, 0]).nan_to_num(0.0, 0.0, 0.0).clamp(0, 1)
        rise = levels[1:] - level
        largest = torch.maximum(lower.abs(), upper.abs())
        info = torch.finfo(lower.dtype)
        slack = ((start.abs() + step.abs()) * largest).sum(1) + level.abs() + rise.abs()
        mixed = _least_rest(start + share[:, :, None] * step, level + share * rise, slope, lower, upper)
        found = torch.cat([found, mixed - 4 * info.eps * slack - info.tiny], 1)
    return found.nan_to_num(-torch.inf, torch.inf, -torch.inf).amax(1)


def _least_rest(slopes: Tensor, intercepts: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The minimum of ``line - slope x`` between the operands' bounds, rounded down; exact where slopes agree."""
    rest = slopes - slope
    same = rest == 0
    lowest = torch.minimum(rest * lower, rest * upper).masked_fill(same, 0.0).sum(-3)
    reach = (rest.abs() * torch.maximum(lower.abs(), upper.abs())).masked_fill(same, 0.0).sum(-3)
    info = torch.finfo(lower.dtype)
    slack = (4 + 2 * len(lower)) * info.eps * (reach + intercepts.abs()) + len(lower) * info.tiny
    return torch.where(same.all(-3), intercepts, intercepts + lowest - slack)
