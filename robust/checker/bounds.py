"""Bounds over boxes that hold for real numbers: float64, less all that it may round.

``u = 2**-53`` is the unit of float64. A sum of ``n`` products in any order errs by at most ``gamma(n) = n u / (1 - n
u)`` times the sum of their magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
Every inequality below is of that kind, with a few terms to spare, and raised by a hundredth for its own rounding.

Backward, the coefficients ``a`` on a value ``v`` become ``a'`` on what it is made of. Whatever numbers ``a'`` are, they
stand for a linear function below the one before if what is lost is taken off: ``gamma |a| (|W| |x| + |b|)`` for ``v = W
x + b``, as a sum with magnitudes of ``x`` over the box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robust.checker.functions import Lines, Planes, lines_of, planes_of, value_bounds
from robust.checker.program import Program, Step

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]
UNIT = 2.0**-53
TINY = 1e-290
"""More than all products too small for float64 may add up to, for sums of fewer than 2**50 terms."""


def gamma(terms: float) -> float:
    """See above; with a hundredth to spare. Sums of fewer than 2**40 terms."""
    return 1.01 * terms * UNIT


@dataclass(eq=False)
class Bounds:
    """Of all values over ``n`` boxes.

    Attributes:
        program: the network.
        lower, upper: of each step ``[n, size]``.
        charges: of each affine step ``[n, size]``: what a backward step through it costs per unit of coefficient.
        lines: of each function step, once asked for.
        planes: of each maximum, likewise.
    """

    program: Program
    lower: dict[int, Numbers]
    upper: dict[int, Numbers]
    charges: dict[int, Numbers] = field(default_factory=dict)
    lines: dict[int, Lines] = field(default_factory=dict)
    planes: dict[int, Planes] = field(default_factory=dict)

    def largest(self, step: int) -> Numbers:
        """Largest magnitudes ``[n, size]``."""
        return np.maximum(np.abs(self.lower[step]), np.abs(self.upper[step]))


Known = Mapping[int, tuple[Numbers, Numbers]]


def bound(program: Program, lower: Numbers, upper: Numbers, known: Known | None = None) -> Bounds:
    """Bounds of all values: by intervals, and where a function is open, by backward passes.

    Args:
        program: the network.
        lower, upper: boxes ``[n, inputs]``.
        known: step -> bounds ``[n, size]`` that hold already, of larger boxes.
    """
    found = Bounds(program, {0: lower}, {0: upper})
    read = {step.sources[0] for step in program.steps if step.kind not in ("input", "affine")}
    first = _affine_of_input(program)
    for place, step in enumerate(program.steps):
        if place:
            found.lower[place], found.upper[place] = _interval(found, place, step)
        if known and place in known:
            _cut(found, place, *known[place])
        if place in read and place not in first:
            _tighten(found, place)
    return found


def _affine_of_input(program: Program) -> frozenset[int]:
    """Steps that are affine functions of the input, and read it once: intervals of these are as good as it gets."""
    found = {0}
    for place, step in enumerate(program.steps):
        if step.kind == "affine" and found.issuperset(step.sources):
            found.add(place)
    return frozenset(found)


def _cut(found: Bounds, place: int, lower: Numbers, upper: Numbers) -> None:
    found.lower[place] = np.maximum(found.lower[place], lower)
    found.upper[place] = np.minimum(found.upper[place], upper)


def _interval(found: Bounds, place: int, step: Step) -> tuple[Numbers, Numbers]:
    if step.kind != "affine":
        source = step.sources[0]
        return value_bounds(step, found.lower[source], found.upper[source])
    middle, half, size = step.bias[None], np.zeros((1, step.size)), np.abs(step.bias)[None]
    for source, matrix, positive in zip(step.sources, step.products, step.positive, strict=True):
        low, high = found.lower[source], found.upper[source]
        center = low / 2 + high / 2
        reach = np.maximum(high - center, center - low)
        middle = middle + matrix.forward(center)
        half = half + positive.forward(reach)
        size = size + positive.forward(found.largest(source))
    lost = gamma(2 * step.longest + 3 * step.units + 12) * size + step.bias_error + TINY
    charge = gamma(step.deepest + 3 * step.units + 12) * size
    found.charges[place] = charge + gamma(step.size + 4) * np.abs(step.bias) + step.bias_error + TINY
    return middle - half - lost, middle + half + lost


def _tighten(found: Bounds, place: int) -> None:
    """Elements that a function bends at, by backward passes for them and their negatives."""
    bends = _open(found, place)
    columns = np.flatnonzero(bends.any(0))
    if not len(columns):
        return
    unit = np.zeros((len(columns), found.program.steps[place].size))
    unit[np.arange(len(columns)), columns] = 1.0
    both = np.concatenate([unit, -unit])
    low, negative = np.split(minimum(found, place, both[None]), 2, axis=1)
    lower, upper = found.lower[place].copy(), found.upper[place].copy()
    used = bends[:, columns]
    lower[:, columns] = np.where(used, np.fmax(lower[:, columns], low), lower[:, columns])
    upper[:, columns] = np.where(used, np.fmin(upper[:, columns], -negative), upper[:, columns])
    found.lower[place], found.upper[place] = lower, upper


def _open(found: Bounds, place: int) -> Marks:
    lower, upper = found.lower[place], found.upper[place]
    marks = np.zeros(lower.shape, bool)
    for step in found.program.steps:
        if place in step.sources and step.kind in ("relu", "abs"):
            marks |= (lower < 0) & (upper > 0)
        elif place in step.sources and step.windows is not None:
            low, high = lower[:, step.windows], upper[:, step.windows]
            reach = high >= low.max(2, keepdims=True)  # elements that may be the largest, where there are several
            rows, windows, taps = np.nonzero(reach & (reach.sum(2, keepdims=True) > 1))
            marks[rows, step.windows[windows, taps]] = True
        elif place in step.sources and step.kind != "affine":
            marks |= upper > lower
    return marks


def minimum(found: Bounds, place: int, functions: Numbers) -> Numbers:
    """Lower bounds ``[n, m]`` of linear functions ``[n or 1, m, size]`` of a step; no numbers become minus infinity."""
    slopes, constants = below(found, place, functions)
    lower, upper = found.lower[0][:, None], found.upper[0][:, None]
    least: Numbers = np.where(slopes > 0, slopes * lower, slopes * upper).sum(2)
    return np.nan_to_num(constants + least, nan=-np.inf, posinf=-np.inf, neginf=-np.inf)


def below(
    found: Bounds,
    place: int,
    functions: Numbers,
    chosen: Mapping[int, Numbers] | None = None,
    shifts: Mapping[int, Numbers] | None = None,
) -> tuple[Numbers, Numbers]:
    """Linear functions of the input below linear functions of a step: slopes ``[n, m, inputs]``, constants ``[n, m]``.

    The constants are less what rounding takes, from the minimum of the function over the box too.

    Args:
        found: bounds of all steps below.
        place: the step.
        functions: ``[n or 1, m, size]``.
        chosen: step of a rectifier -> slopes ``[n, size]`` of the lines below open elements, in 0..1.
        shifts: step -> multipliers ``[n, size]`` of splits of its elements; positive: of lower bounds.
    """
    count = len(found.lower[0])
    pending: dict[int, Numbers] = {place: np.broadcast_to(functions, (count, *functions.shape[1:]))}
    total, mass = np.zeros((count, functions.shape[1])), np.zeros((count, functions.shape[1]))
    for current in range(place, 0, -1):
        if current not in pending:
            continue
        values, step = pending.pop(current), found.program.steps[current]
        if shifts and current in shifts:
            values, added = _shifted(found, current, values, shifts[current])
            total, mass = total + added, mass + np.abs(added)
        if step.kind == "affine":
            added = values @ step.bias - _inner(np.abs(values), found.charges[current])
            parts = [matrix.backward(values) for matrix in step.products]
        elif step.windows is not None:
            part, added = _through_maximum(found, current, step, values)
            parts = [part]
        else:
            lines = found.lines.get(current) or lines_of(step, *_ends(found, step))
            found.lines[current] = lines
            part, added = _through(found, step, lines, values, None if chosen is None else chosen.get(current))
            parts = [part]
        total, mass = total + added, mass + np.abs(added)
        for source, part in zip(step.sources, parts, strict=True):
            if source in pending:
                part = pending[source] + part
                lost = gamma(2) * _inner(np.abs(part), found.largest(source))
                total, mass = total - lost, mass + lost
            pending[source] = part
    slopes = pending.get(0)
    if slopes is None:
        slopes = np.zeros((count, functions.shape[1], found.lower[0].shape[1]))
    ends = gamma(slopes.shape[2] + 8) * _inner(np.abs(slopes), found.largest(0))
    return slopes, total - ends - gamma(4 * len(found.program.steps) + 8) * (mass + ends) - TINY


def _shifted(found: Bounds, place: int, values: Numbers, shift: Numbers) -> tuple[Numbers, Numbers]:
    """Coefficients less multipliers, and what the bounds that these lean on add: ``b (lower - x)`` is at most 0."""
    ends = np.where(shift > 0, found.lower[place], np.where(shift < 0, found.upper[place], 0.0))
    changed = values - shift[:, None]
    size = np.abs(shift * ends)
    lost = gamma(4) * _inner(np.abs(values) + np.abs(shift[:, None]), found.largest(place))
    return changed, (shift * ends).sum(1)[:, None] - gamma(shift.shape[1] + 4) * size.sum(1)[:, None] - lost


def _ends(found: Bounds, step: Step) -> tuple[Numbers, Numbers]:
    return found.lower[step.sources[0]], found.upper[step.sources[0]]


def _through(
    found: Bounds, step: Step, lines: Lines, values: Numbers, chosen: Numbers | None
) -> tuple[Numbers, Numbers]:
    """Coefficients on the operand, and the constant, where a function is replaced by its lines."""
    lower_slope = lines.lower_slope
    if chosen is not None and step.kind in ("relu", "abs"):
        low, high = _ends(found, step)
        bends, least = (low < 0) & (high > 0), step.slope if step.kind == "relu" else -1.0
        lower_slope = np.where(bends & ~np.isnan(chosen), np.clip(chosen, least, 1.0), lower_slope)
    rising, falling = np.maximum(values, 0), np.minimum(values, 0)
    part = rising * lower_slope[:, None] + falling * lines.upper_slope[:, None]
    constant = _inner(rising, lines.lower_shift) + _inner(falling, lines.upper_shift)
    reach = np.maximum(np.abs(lower_slope), np.abs(lines.upper_slope)) * found.largest(step.sources[0])
    level = np.maximum(np.abs(lines.lower_shift), np.abs(lines.upper_shift))
    lost = gamma(6) * _inner(np.abs(values), reach) + gamma(2 * step.size + 8) * _inner(np.abs(values), level)
    return part, constant - lost - TINY


def _through_maximum(found: Bounds, place: int, step: Step, values: Numbers) -> tuple[Numbers, Numbers]:
    """Coefficients on the operand, and the constant, where maxima are replaced by their planes.

    An element gathers the coefficients of the windows that chose it: sums, which may be off by a share of the
    magnitudes that meet there.
    """
    planes = found.planes.get(place) or planes_of(step, *_ends(found, step))
    found.planes[place] = planes
    rising, falling = np.maximum(values, 0), np.minimum(values, 0)
    count, functions, size = values.shape
    part = np.zeros((count, functions, found.lower[step.sources[0]].shape[1]))
    mass = np.zeros_like(part)
    at = np.arange(functions)[:, None]
    for row in range(count):
        steep = falling[row] * planes.upper_slope[row]
        for where, what in ((planes.lower_at[row], rising[row]), (planes.upper_at[row], steep)):
            np.add.at(part[row], (at, where[None]), what)
            np.add.at(mass[row], (at, where[None]), np.abs(what))
    constant = _inner(falling, planes.upper_shift)
    lost = gamma(2 * size + 8) * _inner(mass, found.largest(step.sources[0]))
    return part, constant - lost - gamma(size + 8) * _inner(np.abs(falling), np.abs(planes.upper_shift)) - TINY


def _inner(values: Numbers, weights: Numbers) -> Numbers:
    """``[n, m, size]`` times ``[n or 1, size]``: ``[n, m]``."""
    found: Numbers = (values @ np.broadcast_to(weights, (len(values), weights.shape[-1]))[:, :, None])[:, :, 0]
    return found
