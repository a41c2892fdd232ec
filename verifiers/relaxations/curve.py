"""A function of one variable as the general rule sees it: where it bends which way, and how exactly it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Stretch:
    """Between ``start`` and ``end`` the function bends one way: upward (convex) or downward (concave).

    Attributes:
        start: where it begins; ``-inf`` for no beginning.
        end: where it ends.
        from_left: for a point ``x < start``: the tangent at ``from_left(x)`` passes through ``(x, f(x))``, and those
            further right do not cross it there. ``x >= start`` gives some number ``<= x``. None where start is
            ``-inf``.
        from_right: the same for a point ``x > end``; ``x <= end`` gives some number ``>= x``.
    """

    start: float = -math.inf
    end: float = math.inf
    from_left: Function | None = None
    from_right: Function | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """A continuous function ``f`` and what its rule needs to know.

    Attributes:
        f: the function; of infinities the limits; NaN outside the domain.
        derivative: its derivative. At a kink either of the two one-sided derivatives.
        convex: the stretches on which it bends upward. The function need not be smooth between stretches.
        concave: the stretches on which it bends downward.
        turns: where it has a local extremum inside its domain.
        bends: where its derivative has a local extremum, or jumps.
        corners: if given, the upper end of ``f(x) - s x`` over an interval is at one of its ends or one of these, for
            every slope ``s``: ``concave`` is not used.
        domain: the smallest argument; the function is not defined below it.
        open_domain: nor at it.
        limits: lower and upper end of the values.
        relative: widths are narrow relative to the argument (powers, logarithms), not absolutely (exponentials).
        scale: of the argument, over which the function changes its slope, where not relative.
        units: relative rounding error of ``f`` and ``derivative``, in units of the arithmetic.
        value_error: absolute rounding error of ``f``, in the same units.
        slope_error: absolute rounding error of ``derivative``, in the same units.
        excess: ``(x, gap)``: above ``x`` the operator may also give up to ``gap`` less than ``f``.
    """

    f: Function
    derivative: Function
    convex: tuple[Stretch, ...] = ()
    concave: tuple[Stretch, ...] = ()
    turns: tuple[float, ...] = ()
    bends: tuple[float, ...] = ()
    corners: tuple[float, ...] | None = None
    domain: float = -math.inf
    open_domain: bool = False
    limits: tuple[float, float] = (-math.inf, math.inf)
    relative: bool = False
    scale: float = 1.0
    units: float = 4.0
    value_error: float = 0.0
    slope_error: float = 0.0
    excess: tuple[float, float] | None = None


WHOLE = (Stretch(),)
"""A function that bends one way everywhere."""


@dataclass(frozen=True, eq=False)
class Side:
    """What the general rule does below a function, with ``sign`` 1, or above it, below its negative, with ``sign``
    -1."""

    sign: float
    stretches: tuple[Stretch, ...]
    corners: tuple[float, ...] = field(default=())


def sides(curve: Curve) -> tuple[Side, Side]:
    """Below and above."""
    above = Side(-1.0, curve.concave) if curve.corners is None else Side(-1.0, (), curve.corners)
    return Side(1.0, curve.convex), above
