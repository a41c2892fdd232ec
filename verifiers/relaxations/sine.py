"""Sine and cosine.

For a slope ``s`` in [-1, 1] the local minima of ``sin x - s x`` are at ``2 pi k - acos s``, with values that rise or
fall with ``k``. So its minimum over an interval is at one of four points, and the intercept of a line below is known
for every slope. The best slope maximises a concave function, the line's value in the middle, and is found by
bisection: it has to rise where the minimum lies left of the middle. Above: ``sin x = -sin(-x)``. Cosine: ``cos x =
sin(x + pi / 2)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation

_STEPS = 16
_TURN = 2 * math.pi


@dataclass(frozen=True)
class Sine:
    """Rule of ``sin(x + shift)``."""

    shift: float = 0.0

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """From the ends, and 1 or -1 where the interval may hold such a point."""
        lower, upper = self._shifted(operands[0])
        return -_greatest(-upper, -lower), _greatest(lower, upper)

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """Lines that support the envelopes in the middle; the family are slopes from end to end."""
        lower, upper = self._shifted(operands[0])
        lower, upper = torch.stack([lower, -upper]), torch.stack([upper, -lower])
        floor = -torch.stack([_greatest(-end, -start) for start, end in zip(lower, upper, strict=True)])
        middle = lower / 2 + upper / 2
        least, most = _cosines(lower, upper)
        box = (lower, upper, torch.sin(lower), torch.sin(upper))
        slope = _best_slope(*box, middle, least, most)
        lines = [self._moved(_or_constant(*_line(slope, *box), middle, floor, better=True))]
        if family:
            members = torch.stack([least, (least + slope) / 2, slope, (slope + most) / 2, most])
            lines.append(self._moved(_or_constant(*_line(members, *box), middle, floor, better=False)))
        below, above = (_lines([(s[..., i, :, :], b[..., i, :, :]) for s, b in lines], 1 - 2 * i) for i in (0, 1))
        return Relaxation(below, above)

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """The cosine, rounded outward."""
        lower, upper = operands[0]
        turned = Sine(self.shift + math.pi / 2)
        return [turned.interval(node, [(lower, upper)])]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Everywhere but at points."""
        lower, upper = operands[0]
        return upper > lower

    def _shifted(self, operand: Interval) -> Interval:
        lower, upper = operand
        return (lower + self.shift, upper + self.shift) if self.shift else (lower, upper)

    def _moved(self, line: Interval) -> Interval:
        """Slope and intercept as a function of the operand, without its shift."""
        if not self.shift:
            return line
        slope, intercept = line
        back = torch.tensor([self.shift, -self.shift], dtype=slope.dtype, device=slope.device).reshape(2, 1, 1)
        slack = torch.finfo(slope.dtype).eps * (2 * abs(self.shift) * slope.abs() + intercept.abs())
        return slope, intercept + slope * back - slack


def _line(slope: Tensor, lower: Tensor, upper: Tensor, at_lower: Tensor, at_upper: Tensor) -> Interval:
    """A slope and its intercept."""
    least, _ = _minimum(slope, lower, upper, at_lower, at_upper)
    reach = torch.maximum(lower.abs(), upper.abs()) + 1
    return slope, least - 8 * torch.finfo(slope.dtype).eps * reach


def _greatest(lower: Tensor, upper: Tensor) -> Tensor:
    """Upper bound of ``sin`` over intervals."""
    eps = torch.finfo(lower.dtype).eps
    error = 8 * eps * (torch.maximum(lower.abs(), upper.abs()) + 1)
    peak = torch.ceil((lower - error - math.pi / 2) / _TURN) * _TURN + math.pi / 2
    outside = peak > upper + error
    ends = torch.maximum(torch.sin(lower), torch.sin(upper)) + error
    return torch.where(outside, ends, 1.0).clamp(-1, 1).nan_to_num(1.0)


def _cosines(lower: Tensor, upper: Tensor) -> Interval:
    """About the range of the derivative."""
    quarter = math.pi / 2
    return -_greatest(-upper - quarter, -lower - quarter).nan_to_num(1.0), _greatest(lower + quarter, upper + quarter)


def _minimum(slope: Tensor, lower: Tensor, upper: Tensor, at_lower: Tensor, at_upper: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum of ``sin x - slope x`` over intervals, and where it is."""
    angle = torch.acos(slope)
    first = torch.ceil((lower + angle) / _TURN) * _TURN - angle
    last = torch.floor((upper + angle) / _TURN) * _TURN - angle
    inner = torch.where(slope > 0, last, first)
    height = torch.sqrt((1 - slope) * (1 + slope))  # not of 1 - slope ** 2, which cancels where the slope is near 1
    dip = torch.where(first <= upper, -height - slope * inner, torch.inf)
    left, right = at_lower - slope * lower, at_upper - slope * upper
    least, place = torch.minimum(left, right), torch.where(left < right, lower, upper)
    return torch.minimum(least, dip), torch.where(dip < least, inner, place)


def _best_slope(
    lower: Tensor, upper: Tensor, at_lower: Tensor, at_upper: Tensor, middle: Tensor, least: Tensor, most: Tensor
) -> Tensor:
    for _ in range(_STEPS):
        slope = (least + most) / 2
        _, place = _minimum(slope, lower, upper, at_lower, at_upper)
        rise = place < middle
        least, most = torch.where(rise, slope, least), torch.where(rise, most, slope)
    return (least + most) / 2


def _or_constant(slope: Tensor, intercept: Tensor, middle: Tensor, floor: Tensor, *, better: bool) -> Interval:
    """The constant where the line is not finite, or the constant better."""
    value = slope * middle + intercept
    good = torch.isfinite(value) & torch.isfinite(slope)
    if better:
        good &= value >= floor
    return slope.where(good, torch.zeros_like(slope)), intercept.where(good, floor)


def _lines(found: list[Interval], sign: int) -> Lines:
    """The line and, if there is a second entry, its family. Above the sine: mirrored."""
    slope, intercept = found[0]
    family = None
    if len(found) > 1:
        members, levels = found[1]
        family = Family((members,), sign * levels, torch.full_like(slope, 2.0))
    return Lines((slope,), sign * intercept, family)
