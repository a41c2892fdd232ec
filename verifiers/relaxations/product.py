"""Products of two varying operands (McCormick, Computability of global solutions to factorable nonconvex programs,
1976).

``(x - a)(y - b) >= 0`` at two opposite corners ``(a, b)`` of the box gives two planes below ``x y``; the other two
corners give two above. Both planes of a side have the same value in the middle of the box, so the same volume; the
default is their mean, whose slopes are the middles of the other operand and which errs equally in all corners. Of
quotients another choice is better.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.power import Power
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation

_WIDEST = 4.0
"""Largest quotient of the ends of ``r`` at which one plane is used alone: it errs twice as much in one corner."""


class Product:
    """Rule of ``x y``; of ``x x`` where both operands are the same node."""

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """From the four corners, rounded outward; 0 times infinity is 0."""
        if _is_square(node):
            return Power().interval(_square(node), operands[:1])
        return _corners(*operands)

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """The mean of two planes on each side; the family are the two."""
        if _is_square(node):
            found = Power().relax(_square(node), operands[:1], family=family)
            return Relaxation(_once(found.lower), _once(found.upper))
        (a, A), (b, B) = operands
        low, high = _corners(*operands)
        below, above = self._shares((a, A), (b, B))
        return Relaxation(
            _planes((a, A), (b, B), low, below, False, family),
            _planes((A, a), (b, B), high, above, True, family),
        )

    def _shares(self, x: Interval, y: Interval) -> tuple[Tensor, Tensor]:
        """Of the second plane, on each side: below it is the one of the upper end of ``x``, above that of the lower."""
        half = torch.full_like(x[0], 0.5)
        return half, half

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """The partial derivative of one operand is the other."""
        x, y = operands
        return [y, x]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Where neither operand is fixed."""
        (a, A), (b, B) = operands
        return (a < A) & (b < B)


class ConvexProduct(Product):
    """Rule of ``x r`` where ``r`` is a convex function of another value if it is positive, and concave if negative.

    ``1 / y`` is such, and ``x r`` a quotient. In the middle of the box of ``x`` and ``r`` both planes are as good, but
    ``r`` lies within lines of its own: the chord, which is the mean of its ends in the middle, and a tangent, which is
    further out. So that plane is taken which has the tangent with the smaller coefficient, or with none; the mean where
    ``r`` has a wide range.
    """

    def _shares(self, x: Interval, y: Interval) -> tuple[Tensor, Tensor]:
        lower, upper = x
        half = torch.full_like(lower, 0.5)
        convex, concave = (y[0] > 0) & (y[1] <= _WIDEST * y[0]), (y[1] < 0) & (y[0] >= _WIDEST * y[1])
        below = half.masked_fill(convex & (upper > 0), 0.0).masked_fill(concave & (lower < 0), 1.0)
        above = half.masked_fill(convex & (lower < 0), 0.0).masked_fill(concave & (upper > 0), 1.0)
        return below, above


def _is_square(node: Node) -> bool:
    return len(node.inputs) == 2 and node.inputs[0] == node.inputs[1]


def _square(node: Node) -> Node:
    return Node(
        node.index, "pow", node.kind, None, {"exponent": 2}, node.inputs[:1], node.factor, node.rest, node.place
    )


def _once(lines: Lines) -> Lines:
    """The slope on the first of two equal operands."""
    family = lines.family
    if family is not None:
        family = Family((family.slopes[0], torch.zeros_like(family.slopes[0])), family.intercept, family.start)
    return Lines((lines.slopes[0], torch.zeros_like(lines.slopes[0])), lines.intercept, family)


def _corners(x: Interval, y: Interval) -> Interval:
    products = torch.stack([end * other for end in x for other in y]).nan_to_num_(0.0, torch.inf, -torch.inf)
    info = torch.finfo(products.dtype)
    low, high = products.amin(0), products.amax(0)
    slack = torch.maximum(low.abs(), high.abs()) * info.eps
    fixed = ((x[0] == 0) & (x[1] == 0)) | ((y[0] == 0) & (y[1] == 0))
    tiny = torch.where(fixed, 0.0, info.tiny)
    return (low - slack - tiny).nan_to_num_(-torch.inf, torch.inf, -torch.inf), (high + slack + tiny).nan_to_num_(
        torch.inf, torch.inf, -torch.inf
    )


def _planes(x: Interval, y: Interval, constant: Tensor, share: Tensor, above: bool, family: bool) -> Lines:
    """``y_k x + x_k y - x_k y_k`` for the two corners ``(x_k, y_k)``, and their mixture with a share of the second."""
    xs, ys = torch.stack(x), torch.stack(y)
    info = torch.finfo(xs.dtype)
    slack = xs.abs().amax(0) * ys.abs().amax(0) * (8 * info.eps) + (xs.abs().amax(0) + ys.abs().amax(0) + 1) * info.tiny
    level = (slack if above else -slack) - xs * ys
    slopes = (_mixed(ys, share), _mixed(xs, share))
    intercept = _mixed(level, share)
    good = (
        torch.isfinite(intercept) & torch.isfinite(slopes[0]) & torch.isfinite(slopes[1]) & torch.isfinite(level).all(0)
    )
    zero = torch.zeros_like(intercept)
    members = None
    if family:
        members = Family((ys.where(good, zero), xs.where(good, zero)), level.where(good, constant), share)
    first, second = (slope.where(good, zero) for slope in slopes)
    return Lines((first, second), intercept.where(good, constant), members)


def _mixed(two: Tensor, share: Tensor) -> Tensor:
    return two[0] * (1 - share) + two[1] * share
