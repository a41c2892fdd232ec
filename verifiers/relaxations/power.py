"""Powers: ``x ** p`` of any fixed exponent, reciprocals.

Even powers are convex. Odd ones above 1 are concave, then convex; a tangent through ``(x, f(x))`` with ``x < 0``
touches the right half at ``-r x``, where ``r`` depends on the exponent alone. Negative exponents have two branches,
each a mirror image of the other. Fractional exponents need arguments of at least 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.convex import SQUARE_ROOT
from verifiers.relaxations.curve import WHOLE, Curve, Stretch
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation, Rule
from verifiers.relaxations.smooth import Smooth


@dataclass(frozen=True)
class Power:
    """Rule of ``x ** node.arguments["exponent"]``."""

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """By the rule of its exponent."""
        return _rule(_exponent(node)).interval(node, operands)

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """By the rule of its exponent."""
        return _rule(_exponent(node)).relax(node, operands, family=family)

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """By the rule of its exponent."""
        return _rule(_exponent(node)).slopes(node, operands)

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Everywhere but at points."""
        return _rule(_exponent(node)).loose(node, operands)


@dataclass(frozen=True)
class Mirrored:
    """Rule of a function with a pole at 0 and ``f(-x) = f(x)`` or ``f(-x) = -f(x)``, from the rule of its right branch.

    Intervals that reach 0 have infinite bounds.
    """

    right: Smooth
    odd: bool

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """Of the branch that the interval lies in."""
        left, mirrored = _mirror(operands[0])
        low, high = self.right.interval(node, [mirrored])
        return _swap(left, low, high) if self.odd else (low, high)

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """Lines of the branch that the interval lies in."""
        left, mirrored = _mirror(operands[0])
        found = self.right.relax(node, [mirrored], family=family)
        if not self.odd:
            return Relaxation(_turned(found.lower, left), _turned(found.upper, left))
        return Relaxation(_chosen(found.lower, found.upper, left), _chosen(found.upper, found.lower, left))

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """Of the branch that the interval lies in."""
        left, mirrored = _mirror(operands[0])
        least, most = self.right.slopes(node, [mirrored])[0]
        return [(least, most) if self.odd else _swap(left, least, most)]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Everywhere but at points."""
        return self.right.loose(node, operands)


def _mirror(operand: Interval) -> tuple[Tensor, Interval]:
    lower, upper = operand
    left = upper < 0
    return left, (torch.where(left, -upper, lower), torch.where(left, -lower, upper))


def _swap(left: Tensor, low: Tensor, high: Tensor) -> Interval:
    return torch.where(left, -high, low), torch.where(left, -low, high)


def _turned(lines: Lines, left: Tensor) -> Lines:
    """``f(x) = g(-x)``: the slope changes its sign."""
    family = lines.family
    if family is not None:
        family = Family((torch.where(left, -family.slopes[0], family.slopes[0]),), family.intercept, family.start)
    return Lines((torch.where(left, -lines.slopes[0], lines.slopes[0]),), lines.intercept, family)


def _chosen(here: Lines, other: Lines, left: Tensor) -> Lines:
    """``f(x) = -g(-x)``: a line below is a line above of the mirrored branch, with the same slope."""
    family = None
    if here.family is not None or other.family is not None:
        (slope, intercept, start), (turned, moved, began) = _members(here, other), _members(other, here)
        start = torch.where(left, began, start)
        family = Family((torch.where(left, turned, slope),), torch.where(left, -moved, intercept), start)
    assert here.intercept is not None
    assert other.intercept is not None
    slope = torch.where(left, other.slopes[0], here.slopes[0])
    return Lines((slope,), torch.where(left, -other.intercept, here.intercept), family)


def _members(lines: Lines, like: Lines) -> tuple[Tensor, Tensor, Tensor]:
    """A family's slopes, intercepts and start; the line itself, repeated, where there is none."""
    if lines.family is not None and lines.family.intercept is not None:
        return lines.family.slopes[0], lines.family.intercept, lines.family.start
    assert like.family is not None
    assert lines.intercept is not None
    count = len(like.family.slopes[0])
    return (
        lines.slopes[0].expand(count, -1, -1),
        lines.intercept.expand(count, -1, -1),
        torch.zeros_like(lines.slopes[0]),
    )


def _exponent(node: Node) -> float:
    return float(node.arguments["exponent"])


@lru_cache(maxsize=64)
def _rule(exponent: float) -> Rule:
    if exponent == int(exponent):
        if exponent < 0:
            return Mirrored(Smooth(lambda _: _branch(exponent)), odd=int(exponent) % 2 == 1)
        return Smooth(lambda _: _odd(exponent) if exponent % 2 else _even(exponent))
    return Smooth(lambda _: SQUARE_ROOT if exponent == 0.5 else _branch(exponent))


def _units(exponent: float) -> float:
    """Rounding, also of an exponent that float32 cannot hold, times the largest logarithm of an argument."""
    exact = float(torch.tensor(exponent, dtype=torch.float32)) == exponent
    largest = 100 if exponent < 1 else 800  # of float32; of float64, whose exponents are rounded where 1 is taken off
    return 4.0 + (0.0 if exact else largest * abs(exponent))


def _slope(exponent: float, x: Tensor) -> Tensor:
    """Derivative of ``x ** exponent`` for ``x >= 0``, not rounding ``exponent - 1`` where that matters."""
    plain = exponent * x ** (exponent - 1)
    return plain if exponent >= 1 else torch.where(x > 0, exponent * x**exponent / x, plain)


@lru_cache(maxsize=64)
def _even(exponent: float) -> Curve:
    if exponent == 0:
        return Curve(torch.ones_like, torch.zeros_like, limits=(1, 1))
    return Curve(
        lambda x: x**exponent,
        lambda x: exponent * x ** (exponent - 1),
        convex=WHOLE,
        turns=(0.0,),
        limits=(0, math.inf),
        relative=True,
        units=_units(exponent),
    )


@lru_cache(maxsize=64)
def _odd(exponent: float) -> Curve:
    ratio = _tangent_ratio(exponent)
    return Curve(
        lambda x: x**exponent,
        lambda x: exponent * x ** (exponent - 1),
        convex=WHOLE if exponent == 1 else (Stretch(start=0.0, from_left=lambda x: -ratio * x),),
        concave=WHOLE if exponent == 1 else (Stretch(end=0.0, from_right=lambda x: -ratio * x),),
        bends=(0.0,),
        relative=True,
        units=_units(exponent),
    )


def _tangent_ratio(exponent: float) -> float:
    """The root of ``(p - 1) r ** p + p r ** (p - 1) = 1``, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        above = (exponent - 1) * middle**exponent + exponent * middle ** (exponent - 1) > 1
        low, high = (low, middle) if above else (middle, high)
    return high


@lru_cache(maxsize=64)
def _branch(exponent: float) -> Curve:
    """Of positive arguments, for an exponent that is negative or no integer."""
    reciprocal = exponent == -1
    return Curve(
        torch.reciprocal if reciprocal else lambda x: x**exponent,
        lambda x: _slope(exponent, x),
        convex=() if 0 < exponent < 1 else WHOLE,
        concave=WHOLE if 0 < exponent < 1 else (),
        domain=0.0,
        open_domain=exponent < 0,
        limits=(0, math.inf),
        relative=True,
        units=_units(exponent),
    )


RECIPROCAL = Mirrored(Smooth(lambda _: _branch(-1.0)), odd=True)
