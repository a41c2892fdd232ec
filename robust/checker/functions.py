"""Functions of one number between linear ones: lines that are proved to lie below and above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.checker.program import Step

Numbers = NDArray[np.float64]
LIBRARY = 2.0**-48
"""How far the library's exponential and hyperbolic tangent may be off, of 1: 16 units of float64, where 1 is usual."""


@dataclass(frozen=True, eq=False)
class Lines:
    """``slope * x + shift`` below and above a function, ``[n, size]`` each."""

    lower_slope: Numbers
    lower_shift: Numbers
    upper_slope: Numbers
    upper_shift: Numbers


def value_bounds(step: Step, lower: Numbers, upper: Numbers) -> tuple[Numbers, Numbers]:
    """Bounds of a function between two operands; all functions here rise."""
    if step.kind == "relu":
        low, high = (np.where(end < 0, step.slope * end, end) for end in (lower, upper))
        slack = 0.0 if step.slope in (0.0, 1.0) else 2.0**-52
        tiny = 1e-300 if slack else 0.0
        return low - slack * np.abs(low) - tiny, high + slack * np.abs(high) + tiny
    low, high = _value(step.kind, lower), _value(step.kind, upper)
    least = 0.0 if step.kind == "sigmoid" else -1.0
    return np.maximum(low - LIBRARY, least), np.minimum(high + LIBRARY, 1.0)


def _value(kind: str, x: Numbers) -> Numbers:
    return np.tanh(x) if kind == "tanh" else 0.5 + 0.5 * np.tanh(0.5 * x)


def _derivative(kind: str, x: Numbers) -> Numbers:
    value = _value(kind, x)
    return 1 - value**2 if kind == "tanh" else value * (1 - value)


def lines_of(step: Step, lower: Numbers, upper: Numbers) -> Lines:
    """Lines over ``lower..upper``."""
    if step.kind == "relu":
        return _rectifier(step.slope, lower, upper)
    return _s_shaped(step.kind, lower, upper)


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
    """A sigmoid is convex below zero and concave above, and its slope at any point is at least the lesser of the ends'.

    Below: where the whole range is convex a tangent, where it is concave the chord, and otherwise the line through the
    lower end whose slope is the least; above likewise. What the library may be off is taken off the shifts, with what
    an error of the slope is worth over the range.
    """
    low, high = _value(kind, lower), _value(kind, upper)
    middle = lower / 2 + upper / 2
    touch, tangent = _value(kind, middle), _derivative(kind, middle)
    least = np.minimum(_derivative(kind, lower), _derivative(kind, upper))
    width = upper - lower
    with np.errstate(all="ignore"):
        chord = np.where(width > 1e-9, (high - low) / width, least)
    convex, concave = upper <= 0, lower >= 0
    below = np.where(convex, tangent, np.where(concave, np.minimum(chord, 1.0), least))
    above = np.where(concave, tangent, np.where(convex, np.minimum(chord, 1.0), least))
    # A chord over a narrow range is no more exact than the library: a slope that is off by e moves the line by e width.
    at_low = np.where(convex, touch - below * middle, low - below * lower)
    at_high = np.where(concave, touch - above * middle, high - above * upper)
    lower_shift = np.where(concave, np.minimum(low - below * lower, high - below * upper), at_low)
    upper_shift = np.where(convex, np.maximum(low - above * lower, high - above * upper), at_high)
    size = 1 + np.maximum(np.abs(lower), np.abs(upper))
    slack = 8 * LIBRARY * size
    return Lines(below, lower_shift - slack, above, upper_shift + slack)
