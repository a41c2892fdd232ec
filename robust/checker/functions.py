"""Functions between linear ones: lines that are proved to lie below and above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.checker.program import Step

Numbers = NDArray[np.float64]
LIBRARY = 2.0**-48
"""How far the library's exponential and hyperbolic tangent may be off, of 1: 16 units of float64, where 1 is usual."""
CONVEX = ("exp", "softplus")
HALVINGS = 14
"""Of the search for a tangent; wherever it ends, its slope makes a line."""


@dataclass(frozen=True, eq=False)
class Lines:
    """``slope * x + shift`` below and above a function, ``[n, size]`` each."""

    lower_slope: Numbers
    lower_shift: Numbers
    upper_slope: Numbers
    upper_shift: Numbers


def value_bounds(step: Step, lower: Numbers, upper: Numbers) -> tuple[Numbers, Numbers]:
    """Bounds of a function between two operands ``[n, size of the operand]``."""
    if step.windows is not None:
        return lower[:, step.windows].max(2), upper[:, step.windows].max(2)
    if step.kind == "abs":
        least = np.where((lower < 0) & (upper > 0), 0.0, np.minimum(np.abs(lower), np.abs(upper)))
        return least, np.maximum(np.abs(lower), np.abs(upper))
    if step.kind == "relu":
        low, high = (np.where(end < 0, step.slope * end, end) for end in (lower, upper))
        slack = 0.0 if step.slope in (0.0, 1.0) else 2.0**-52
        tiny = 1e-300 if slack else 0.0
        return low - slack * np.abs(low) - tiny, high + slack * np.abs(high) + tiny
    low, high = _value(step.kind, lower), _value(step.kind, upper)
    if step.kind in CONVEX:
        return np.maximum(low - LIBRARY * (1 + low), 0.0), high + LIBRARY * (1 + high)
    least_value = 0.0 if step.kind == "sigmoid" else -1.0
    return np.maximum(low - LIBRARY, least_value), np.minimum(high + LIBRARY, 1.0)


def _value(kind: str, x: Numbers) -> Numbers:
    with np.errstate(over="ignore"):
        if kind == "exp":
            return np.exp(x)
        if kind == "softplus":
            return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
    return np.tanh(x) if kind == "tanh" else 0.5 + 0.5 * np.tanh(0.5 * x)


def _derivative(kind: str, x: Numbers) -> Numbers:
    value = _value("sigmoid" if kind == "softplus" else kind, x)
    if kind in CONVEX:
        return value
    return 1 - value**2 if kind == "tanh" else value * (1 - value)


def lines_of(step: Step, lower: Numbers, upper: Numbers) -> Lines:
    """Lines over ``lower..upper``, of a function of each element."""
    if step.kind == "relu":
        return _rectifier(step.slope, lower, upper)
    if step.kind == "abs":
        return _absolute(lower, upper)
    return _convex(step.kind, lower, upper) if step.kind in CONVEX else _s_shaped(step.kind, lower, upper)


def _absolute(lower: Numbers, upper: Numbers) -> Lines:
    """Convex: the chord above; below, through zero where it is inside, the side that is closer."""
    open_ = (lower < 0) & (upper > 0)
    with np.errstate(all="ignore"):
        chord = np.where(open_, (upper + lower) / (upper - lower), np.where(upper <= 0, -1.0, 1.0))
    chord = np.where(np.isfinite(chord), np.clip(chord, -1.0, 1.0), 1.0)
    shift = np.maximum((-1 - chord) * lower, (1 - chord) * upper)
    shift = np.where(open_, shift * (1 + 2.0**-48) + 1e-300, 0.0)
    below = np.where(open_, np.where(upper > -lower, 1.0, -1.0), chord)
    return Lines(below, np.zeros_like(lower), chord, shift)


def _convex(kind: str, lower: Numbers, upper: Numbers) -> Lines:
    """Below a tangent at the middle, above the chord: a line is above a convex function if it is so at both ends."""
    middle = lower / 2 + upper / 2
    low, high, touch = (_value(kind, x) for x in (lower, upper, middle))
    tangent = _derivative(kind, middle)
    with np.errstate(all="ignore"):
        chord = np.where(upper - lower > 1e-9, (high - low) / (upper - lower), tangent)
    above = np.maximum(low - chord * lower, high - chord * upper)
    size = (1 + np.abs(high) + np.abs(chord) + np.abs(tangent)) * (1 + np.maximum(np.abs(lower), np.abs(upper)))
    slack = 16 * LIBRARY * size
    return Lines(tangent, touch - tangent * middle - slack, chord, above + slack)


@dataclass(frozen=True, eq=False)
class Planes:
    """Below and above each window's largest element: one element times a slope, and a shift; ``[n, size]`` each."""

    lower_at: NDArray[np.int64]
    upper_at: NDArray[np.int64]
    upper_slope: Numbers
    upper_shift: Numbers


def planes_of(step: Step, lower: Numbers, upper: Numbers) -> Planes:
    """The maximum is at least its element with the largest lower bound. Let ``x`` be the element with the largest upper
    bound ``u``, ``l`` its lower one, and ``s`` at least all others: the maximum is at most ``max(x, s)``, which is
    convex in ``x``, and so below the chord from ``max(l, s)`` at ``l`` to ``u`` at ``u``."""
    windows = step.windows
    assert windows is not None
    low, high = lower[:, windows], upper[:, windows]
    first, best = low.argmax(2), high.argmax(2)
    lower_at = np.take_along_axis(windows[None].repeat(len(low), 0), first[:, :, None], 2)[:, :, 0]
    upper_at = np.take_along_axis(windows[None].repeat(len(low), 0), best[:, :, None], 2)[:, :, 0]
    others = np.where(windows[None] == upper_at[:, :, None], -np.inf, high).max(2)
    own, top = (np.take_along_axis(end, best[:, :, None], 2)[:, :, 0] for end in (low, high))
    floor = np.maximum(own, others)
    with np.errstate(all="ignore"):
        slope = np.where(others <= own, 1.0, (top - floor) / (top - own))
    slope = np.where(np.isfinite(slope), np.clip(slope, 0.0, 1.0), 0.0)
    shift = np.maximum(floor - slope * own, top - slope * top)
    shift = np.where(others <= own, 0.0, shift + 2.0**-48 * (np.abs(floor) + np.abs(own) + np.abs(top)) + 1e-300)
    return Planes(lower_at, upper_at, slope, shift)


def _rectifier(slope: float, lower: Numbers, upper: Numbers) -> Lines:
    """Where open, the chord above, and below a line through zero: the identity if that is closer, else ``slope x``.

    The chord's slope ``s`` is a rounded number. ``s x + t`` lies above if it does so at both ends (the function is
    convex): ``t >= slope l - s l`` and ``t >= u - s u``.
    """
    zero = np.zeros_like(lower)
    bends = (lower < 0) & (upper > 0)
    with np.errstate(all="ignore"):
        chord = np.where(bends, (upper - slope * lower) / (upper - lower), 1.0)
    chord = np.where(np.isfinite(chord), np.clip(chord, slope, 1.0), 1.0)
    shift = np.maximum((slope - chord) * lower, (1 - chord) * upper)
    shift = np.where(bends, shift * (1 + 2.0**-48) + 1e-300, zero)
    single = np.where(lower >= 0, 1.0, slope)
    below = np.where(bends, np.where(upper > -lower, 1.0, slope), single)
    return Lines(below, zero, np.where(bends, chord, single), shift)


def _s_shaped(kind: str, lower: Numbers, upper: Numbers) -> Lines:
    """The function less its value at zero is odd, so that lines above are those below of the range turned round."""
    middle = 0.5 if kind == "sigmoid" else 0.0
    slope, shift = _below_s_shaped(kind, lower, upper)
    turned_slope, turned = _below_s_shaped(kind, -upper, -lower)
    return Lines(slope, shift, turned_slope, 2 * middle - turned + LIBRARY)


def _below_s_shaped(kind: str, lower: Numbers, upper: Numbers) -> tuple[Numbers, Numbers]:
    """A line below a function that is convex up to zero and concave from there on.

    A tangent at ``d <= 0`` lies below the convex part. On the concave part a line is below the function if it is so at
    both ends, and at zero the tangent is. So the slope of a tangent at any ``d`` in the range, up to zero, makes a line
    with the lesser of the shifts that ``d`` and the upper end allow; of the points from which the tangent passes below
    the upper end the one nearest to the middle of the range is taken. Where there is none, or the range is concave, the
    chord is below (from the lower end on its slope is at most the function's). What the library may be off is taken
    off, with what an error of the slope is worth over the range: a slope that is off by e moves a line by e times that.
    """
    low, high = _value(kind, lower), _value(kind, upper)
    with np.errstate(all="ignore"):
        chord = np.where(upper - lower > 1e-9, (high - low) / (upper - lower), np.minimum(*_ends(kind, lower, upper)))
    chord = np.minimum(chord, np.where(lower < 0, _derivative(kind, np.minimum(lower, 0.0)), 1.0))
    at = np.minimum(lower / 2 + upper / 2, 0.0)

    def passes(point: Numbers) -> NDArray[np.bool_]:
        return np.asarray(_value(kind, point) + _derivative(kind, point) * (upper - point) <= high)

    first, last = lower, at  # from some point on tangents pass above the upper end
    for _ in range(HALVINGS):
        between = first / 2 + last / 2
        good = passes(between)
        first, last = np.where(good, between, first), np.where(good, last, between)
    touch = np.where(passes(at), at, first)
    tangent = passes(touch) & (lower < 0)
    slope = np.where(tangent, _derivative(kind, touch), chord)
    at_touch = np.where(tangent, _value(kind, touch) - slope * touch, low - slope * lower)
    shift = np.minimum(at_touch, high - slope * upper)
    return slope, shift - 8 * LIBRARY * (1 + np.maximum(np.abs(lower), np.abs(upper)))


def _ends(kind: str, lower: Numbers, upper: Numbers) -> tuple[Numbers, Numbers]:
    return _derivative(kind, lower), _derivative(kind, upper)
