"""Products of two varying operands (McCormick, Computability of global solutions to factorable nonconvex programs,
1976).

``(x - a)(y - b) >= 0`` at two opposite corners ``(a, b)`` of the box gives two planes below ``x y``; the other two
corners give two above. Both planes of a side have the same value in the middle of the box, so the same volume; the
default is their mean, whose slopes are the middles of the other operand and which errs equally in all corners.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.power import Power
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation


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
        return Relaxation(
            _planes((a, A), (b, B), low, False, family),
            _planes((A, a), (b, B), high, True, family),
        )

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """The partial derivative of one operand is the other."""
        x, y = operands
        return [y, x]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Where neither operand is fixed."""
        (a, A), (b, B) = operands
        return (a < A) & (b < B)


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


def _planes(x: Interval, y: Interval, constant: Tensor, above: bool, family: bool) -> Lines:
    """``y_k x + x_k y - x_k y_k`` for the two corners ``(x_k, y_k)``, and their mean."""
    xs, ys = torch.stack(x), torch.stack(y)
    info = torch.finfo(xs.dtype)
    slack = xs.abs().amax(0) * ys.abs().amax(0) * (8 * info.eps) + (xs.abs().amax(0) + ys.abs().amax(0) + 1) * info.tiny
    level = (slack if above else -slack) - xs * ys
    slopes = (ys.mean(0), xs.mean(0))
    intercept = level.mean(0)
    good = (
        torch.isfinite(intercept) & torch.isfinite(slopes[0]) & torch.isfinite(slopes[1]) & torch.isfinite(level).all(0)
    )
    zero = torch.zeros_like(intercept)
    members = None
    if family:
        members = Family(
            (ys.where(good, zero), xs.where(good, zero)), level.where(good, constant), torch.full_like(zero, 0.5)
        )
    first, second = (slope.where(good, zero) for slope in slopes)
    return Lines((first, second), intercept.where(good, constant), members)
