"""ReLU, leaky ReLU, absolute value: two slopes that meet at 0."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation


class Rectifier:
    """``x`` right of 0 and ``s x`` left of it; ReLU has ``s = 0``, the absolute value ``s = -1``.

    ReLU: the chord above; below, any line through 0 with a slope in [0, 1], by default 1 where the upper triangle is
    the larger and else 0, which makes the smaller area (CROWN-Ada: Zhang et al., Efficient Neural Network Robustness
    Certification with General Activation Functions, 2018, section 3.3); alpha-CROWN (Xu et al., Fast and Complete,
    2021) optimises it. The others are ``s x + (1 - s) relu(x)``, whose lines follow; with ``s > 1`` the sides change
    places.
    """

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """The values at the ends, and 0 where ``s < 0`` and the interval holds it."""
        lower, upper = operands[0]
        bend = _bend(node)
        if bend == 0:
            return lower.clamp_min(0), upper.clamp_min(0)
        if bend == -1:
            low = torch.maximum(lower, -upper).clamp_min_(0)
            return low, torch.maximum(-lower, upper)
        ends = [torch.where(end > 0, end, _scaled(bend, end, -1)) for end in (lower, upper)]
        tops = [torch.where(end > 0, end, _scaled(bend, end, 1)) for end in (lower, upper)]
        low, high = torch.minimum(*ends), torch.maximum(*tops)
        if bend < 0:
            low = torch.where((lower <= 0) & (upper >= 0), 0.0, low)
        return low, high

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """Lines, exact where the operand has one sign and ``s`` is 0, 1 or -1."""
        lower, upper = operands[0]
        bend = _bend(node)
        low, high = lower.clamp_max(0), upper.clamp_min(0)
        chord, intercept = _upper_line(low, high)
        below = chord.round()
        if bend == 0:
            above = Lines((chord,), intercept)
            return Relaxation(Lines((below,), None, _family(low, high, below) if family else None), above)
        return _bent(
            bend, low, high, Lines((below,), None, _family(low, high, below) if family else None), chord, intercept
        )

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """One of the two slopes, or both."""
        lower, upper = operands[0]
        bend = _bend(node)
        one = torch.ones_like(lower)
        least, most = _scaled(bend, one, -1), _scaled(bend, one, 1)
        left, right = torch.where(lower >= 0, one, least), torch.where(upper <= 0, most, one)
        if bend <= 1:
            return [(left, torch.maximum(right, left))]
        return [(torch.where(upper <= 0, least, one), torch.where(lower >= 0, one, most))]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Neurons whose sign is open."""
        lower, upper = operands[0]
        return (lower < 0) & (upper > 0)


def _bend(node: Node) -> float:
    if node.op == "abs":
        return -1.0
    return float(node.arguments["negative_slope"]) if node.op == "leaky_relu" else 0.0


@lru_cache(maxsize=16)
def _scalar(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(value, dtype=dtype, device=device)


def _upper_line(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Above ``relu`` between ``low <= 0`` and ``high >= 0``.

    The slope is ``1 / (1 - low / high)``, rounded up and at most 1 (which is exact where ``low`` is 0, as 0 is where
    ``high`` is 0). The intercept is what the line needs to reach 0 at ``low``, rounded up, and ``high`` at ``high``,
    which only matters where the slope underflows. ``fmin`` and ``fmax`` pass over NaN: ``0 / 0`` becomes slope 1, and
    one infinite bound leaves the other expression.
    """
    eps = torch.finfo(low.dtype).eps
    short = 1 - 4 * eps
    slope = torch.addcdiv(_scalar(short, low.dtype, low.device), low, high, value=-short).reciprocal_()
    slope = torch.fmin(slope, _scalar(1.0, low.dtype, low.device))
    left = torch.addcmul(_scalar(0.0, low.dtype, low.device), slope, low, value=-(1 + 2 * eps))
    return slope, torch.fmax(left, torch.addcmul(high, slope, high, value=-1))


def _family(low: Tensor, high: Tensor, below: Tensor) -> Family:
    """Slopes 0 and 1 where the sign is open, else twice the exact one."""
    stable = (low == 0) | (high == 0)
    ends = torch.stack([torch.where(stable, below, 0.0), torch.where(stable, below, 1.0)])
    return Family((ends,), None, below)


def _bent(bend: float, low: Tensor, high: Tensor, lower: Lines, chord: Tensor, intercept: Tensor) -> Relaxation:
    """Lines of ``bend x + (1 - bend) relu(x)`` from those of ReLU."""
    factor, info = 1 - bend, torch.finfo(low.dtype)
    bounded = torch.where(low == 0, 0.0, _unrepresented(bend, low))
    error = 4 * info.eps * (1 + abs(bend)) * (high - low)
    error = torch.where((low == 0) | (high == 0), 0.0, error) + bounded

    def slope(relu: Tensor) -> Tensor:
        bent = bend + factor * relu
        return torch.where(relu == 1, 1.0, bent)

    members = None
    if lower.family is not None:
        slopes = slope(lower.family.slopes[0])
        members = Family((slopes,), (-bounded if factor >= 0 else bounded).expand_as(slopes), lower.family.start)
    if factor >= 0:
        level = (intercept * (factor * (1 + 4 * info.eps))).nan_to_num(torch.inf, torch.inf) + error
        above = Lines((slope(chord),), level)
        return Relaxation(Lines((slope(lower.slopes[0]),), -bounded, members), above)
    below = Lines((slope(chord),), intercept * (factor * (1 + 4 * info.eps)) - error)
    return Relaxation(below, Lines((slope(lower.slopes[0]),), bounded, members))


def _unrepresented(bend: float, low: Tensor) -> Tensor:
    """What ``bend`` changes left of 0 when it is rounded to the arithmetic; 0 for numbers that are exact in it."""
    if float(torch.tensor(bend, dtype=low.dtype)) == bend and bend in (0.0, 1.0, -1.0):
        return torch.zeros_like(low)
    info = torch.finfo(low.dtype)
    return low.abs() * (2 * info.eps * abs(bend)) + info.tiny


def _scaled(bend: float, x: Tensor, sign: int) -> Tensor:
    """``bend x`` rounded up or down, so that it covers a product with a number that was rounded; exact for 0, 1, -1."""
    product, info = bend * x, torch.finfo(x.dtype)
    if bend in (0.0, 1.0, -1.0):
        return product
    moved = product + sign * (2 * info.eps * product.abs() + info.tiny)
    return torch.where((x == 0) | torch.isinf(product), product, moved)
