"""The rule of every continuous function of one variable that a ``Curve`` describes.

The line of the smallest area between line and function over ``[l, u]`` is the one that is highest in the middle, which
supports the convex envelope of the function there. On a stretch where the function is convex these are its tangents, as
far as they do not cross the function at ``l`` or ``u``; where there are none, it is the chord from ``l`` to ``u``.

Whatever the slope ``s``, the intercept is the minimum of ``f(x) - s x`` over ``[l, u]``, bounded from the function
itself: where ``f`` is concave it lies at an end; where it is convex, any tangent lies below ``f`` and is smallest at
an end. So a slope or a tangent point that is a little off costs tightness and never soundness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.curve import WHOLE, Curve, Side, Stretch, sides
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation

MEMBERS = 5
"""Tangents in a family."""


@dataclass(frozen=True)
class Smooth:
    """Rule of the functions that ``curve`` describes for a node."""

    curve: Callable[[Node], Curve]

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """From the ends and the extrema between them, rounded outward."""
        lower, upper = operands[0]
        curve = self.curve(node)
        return _range(curve, lower, upper, curve.f(lower), curve.f(upper))

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """Lines that support the envelopes in the middle; the family are tangents from end to end."""
        lower, upper = operands[0]
        curve = self.curve(node)
        at_lower, at_upper = curve.f(lower), curve.f(upper)
        low, high = _range(curve, lower, upper, at_lower, at_upper)
        middle = lower / 2 + upper / 2
        box = _Box(curve, lower, upper, at_lower, at_upper, middle, _chord(curve, lower, upper, at_lower, at_upper))
        below, above = sides(curve)
        return Relaxation(box.lines(below, low, family), box.lines(above, -high, family))

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """The derivative at the ends and its extrema between them."""
        lower, upper = operands[0]
        curve = self.curve(node)
        points = [lower, upper, *(_into(bend, lower, upper) for bend in curve.bends)]
        values = [curve.derivative(point) for point in points]
        least, most = values[0], values[0]
        for value in values[1:]:
            least, most = torch.minimum(least, value), torch.maximum(most, value)
        eps = torch.finfo(lower.dtype).eps
        margin = eps * curve.slope_error + torch.finfo(lower.dtype).tiny
        least = torch.nan_to_num(least - curve.units * eps * least.abs() - margin, -torch.inf, torch.inf, -torch.inf)
        most = torch.nan_to_num(most + curve.units * eps * most.abs() + margin, torch.inf, torch.inf, -torch.inf)
        outside = _outside(curve, lower)
        if outside is None:
            return [(least, most)]
        return [(least.masked_fill(outside, -torch.inf), most.masked_fill(outside, torch.inf))]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Everywhere but at points."""
        lower, upper = operands[0]
        return upper > lower


def _into(x: float, lower: Tensor, upper: Tensor) -> Tensor:
    return torch.minimum(lower.clamp_min(x), upper)


def _outside(curve: Curve, lower: Tensor) -> Tensor | None:
    if curve.domain == -torch.inf:
        return None
    return lower <= curve.domain if curve.open_domain else lower < curve.domain


def _range(curve: Curve, lower: Tensor, upper: Tensor, at_lower: Tensor, at_upper: Tensor) -> Interval:
    low, high = torch.minimum(at_lower, at_upper), torch.maximum(at_lower, at_upper)
    for turn in curve.turns:
        value = curve.f(_into(turn, lower, upper))
        low, high = torch.minimum(low, value), torch.maximum(high, value)
    info = torch.finfo(low.dtype)
    margin = info.eps * curve.value_error + info.tiny
    low = (low - curve.units * info.eps * low.abs() - margin).clamp(curve.limits[0], curve.limits[1])
    high = (high + curve.units * info.eps * high.abs() + margin).clamp(curve.limits[0], curve.limits[1])
    if curve.excess is not None:
        low = torch.where(upper > curve.excess[0], low - curve.excess[1], low)
    low, high = low.nan_to_num(-torch.inf, torch.inf, -torch.inf), high.nan_to_num(torch.inf, torch.inf, -torch.inf)
    outside = _outside(curve, lower)
    if outside is None:
        return low, high
    return low.masked_fill(outside, -torch.inf), high.masked_fill(outside, torch.inf)


def _chord(curve: Curve, lower: Tensor, upper: Tensor, at_lower: Tensor, at_upper: Tensor) -> Tensor:
    """Its slope; of narrow intervals, where the difference drowns in rounding, the derivative in the middle."""
    width, middle = upper - lower, lower / 2 + upper / 2
    threshold = torch.finfo(lower.dtype).eps ** (1 / 3)
    narrow = width <= (threshold * middle.abs() if curve.relative else threshold * curve.scale)
    return torch.where(narrow, curve.derivative(middle), (at_upper - at_lower) / width)


@dataclass(frozen=True, eq=False)
class _Touch:
    """A tangent at ``point`` that lies below the signed function from ``start`` to ``end``."""

    start: Tensor
    end: Tensor
    point: Tensor
    value: Tensor
    slope: Tensor


@dataclass(frozen=True, eq=False)
class _Box:
    """One curve over one batch of intervals."""

    curve: Curve
    lower: Tensor
    upper: Tensor
    at_lower: Tensor
    at_upper: Tensor
    middle: Tensor
    chord: Tensor

    def lines(self, side: Side, constant: Tensor, family: bool) -> Lines:
        """Lines on one side. ``constant`` is a bound of the signed function."""
        chord = self.chord if side.sign > 0 else -self.chord
        if side.corners:
            return self._cornered(side, chord, constant)
        slope, first, last = chord, None, None
        touches = []
        for stretch in side.stretches:
            start, end, left, right = self._tangents(stretch)
            point = torch.clamp(torch.clamp(self.middle, left, right), start, end)
            touch = self._touch(side, start, end, point)
            touches.append(touch)
            valid = left <= right
            slope = torch.where(valid, touch.slope, slope)
            first = left if first is None else torch.where(valid, left, first)
            last = right if last is None else torch.where(valid, right, last)
        intercept = self._intercept(side, slope, touches)
        slope, intercept = self._or_constant(slope, intercept, constant)
        members = None
        if family and first is not None and last is not None:
            members = self._family(side, touches, first, last, (slope, intercept))
        return _signed(side, slope, intercept, members)

    def _family(
        self, side: Side, touches: list[_Touch], first: Tensor, last: Tensor, default: tuple[Tensor, Tensor]
    ) -> Family:
        steps = torch.linspace(0, 1, MEMBERS, dtype=first.dtype, device=first.device).reshape(-1, 1, 1)
        span = (last - first).clamp_min(0)
        point = first + steps * span
        slope = side.sign * self.curve.derivative(point)
        moved = [self._touch(side, old.start, old.end, torch.clamp(point, old.start, old.end)) for old in touches]
        intercept = self._intercept(side, slope, moved)
        good = (first <= last) & torch.isfinite(slope) & torch.isfinite(intercept)
        outside = _outside(self.curve, self.lower)
        if outside is not None:
            good &= ~outside
        slope, intercept = torch.where(good, slope, default[0]), torch.where(good, intercept, default[1])
        start = ((self.middle - first) / span).nan_to_num_(0.0, 1.0, 0.0).clamp_(0, 1) * (MEMBERS - 1)
        return Family((slope,), intercept, start)

    def _tangents(self, stretch: Stretch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The part of a stretch in the interval, and between which points tangents do not cross the ends."""
        start = self.lower if stretch.from_left is None else _into(stretch.start, self.lower, self.upper)
        end = self.upper if stretch.from_right is None else _into(stretch.end, self.lower, self.upper)
        left = start if stretch.from_left is None else torch.maximum(stretch.from_left(self.lower), start)
        right = end if stretch.from_right is None else torch.minimum(stretch.from_right(self.upper), end)
        return start, end, left, right

    def _touch(self, side: Side, start: Tensor, end: Tensor, point: Tensor) -> _Touch:
        return _Touch(start, end, point, side.sign * self.curve.f(point), side.sign * self.curve.derivative(point))

    def _intercept(self, side: Side, slope: Tensor, touches: list[_Touch]) -> Tensor:
        """Bound of the minimum of ``f(x) - slope x``, less what rounding may have done: ``[..., n, elements]``."""
        least, largest, steepest = None, torch.zeros_like(self.lower), slope.abs()
        if side.stretches != WHOLE:
            at_lower, at_upper = side.sign * self.at_lower, side.sign * self.at_upper
            least = torch.minimum(at_lower - slope * self.lower, at_upper - slope * self.upper)
            largest = torch.maximum(at_lower.abs(), at_upper.abs())
        for touch in touches:
            tilt = touch.slope - slope
            lowest = torch.minimum(tilt * (touch.start - touch.point), tilt * (touch.end - touch.point))
            lowest = touch.value - slope * touch.point + lowest
            least = lowest if least is None else torch.minimum(least, lowest)
            largest = torch.maximum(largest, touch.value.abs())
            steepest = torch.maximum(steepest, touch.slope.abs())
        return (torch.zeros_like(largest) if least is None else least) - self._slack(side, largest, steepest)

    def _cornered(self, side: Side, chord: Tensor, constant: Tensor) -> Lines:
        """The best of the lines through two of the ends and corners."""
        points = [self.lower, *(_into(corner, self.lower, self.upper) for corner in side.corners), self.upper]
        values = [side.sign * self.curve.f(point) for point in points]
        slopes = [
            ((values[j] - values[i]) / (points[j] - points[i])).nan_to_num_(0.0, 0.0, 0.0)
            for i in range(len(points))
            for j in range(i + 1, len(points))
            if (i, j) != (0, len(points) - 1)
        ]
        slope = torch.stack([chord, *slopes])
        rest = torch.stack([value - slope * point for point, value in zip(points, values, strict=True)]).amin(0)
        largest = torch.stack(values).abs().amax(0)
        intercept = rest - self._slack(side, largest, slope.abs())
        best = (slope * self.middle + intercept).nan_to_num(-torch.inf, torch.inf, -torch.inf).argmax(0, keepdim=True)
        slope, intercept = slope.gather(0, best)[0], intercept.gather(0, best)[0]
        return _signed(side, *self._or_constant(slope, intercept, constant), None)

    def _slack(self, side: Side, largest: Tensor, steepest: Tensor) -> Tensor:
        """What rounding may have done to an intercept.

        The function's and its derivative's own errors, the latter over the width of the interval, and three roundings
        of the terms that make the intercept.
        """
        curve, info = self.curve, torch.finfo(self.lower.dtype)
        reach = torch.maximum(self.lower.abs(), self.upper.abs())
        width = self.upper - self.lower
        slack = 3 * steepest * reach + (curve.units * steepest + curve.slope_error) * width
        slack = info.eps * (slack + (3 + curve.units) * largest + curve.value_error) + info.tiny * (1 + reach)
        if curve.excess is None or side.sign < 0:
            return slack
        return torch.where(self.upper > curve.excess[0], slack + curve.excess[1], slack)

    def _or_constant(self, slope: Tensor, intercept: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
        """The constant where it is the better, or the line not finite."""
        value = slope * self.middle + intercept
        good = (value >= constant) & torch.isfinite(value) & torch.isfinite(slope)
        outside = _outside(self.curve, self.lower)
        if outside is not None:
            good &= ~outside
        return slope.where(good, torch.zeros_like(slope)), intercept.where(good, constant)


def _signed(side: Side, slope: Tensor, intercept: Tensor, family: Family | None) -> Lines:
    if side.sign > 0:
        return Lines((slope,), intercept, family)
    if family is not None and family.intercept is not None:
        family = Family((-family.slopes[0],), -family.intercept, family.start)
    return Lines((-slope,), -intercept, family)
