"""Rectifiers and maxima as extrema of affine rows: settled by bounds where possible, with a relaxation where not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from verifiers.smt.program import ZERO, Row, Unit

NOTHING = Row()
GRID = 256
"""Chords have slopes of this denominator: any slope is sound, and short numbers keep the solver fast."""


@dataclass(frozen=True)
class Candidate:
    """One affine row with its proved ends."""

    row: Row
    lower: float
    upper: float


@dataclass(frozen=True)
class Settled:
    """What bounds make of one nonlinear element.

    Attributes:
        row: its value as an affine row where its phase is settled; None where it is open. Then:
        lower: proved lower end of the value.
        upper: proved upper end.
        arguments: of the open unit, without those that never attain the maximum.
        slope: of the open rectifier; None for a maximum.
        chord: see ``Unit``.
        below: a row never above the value.
        above: a row never below the value.
    """

    row: Row | None
    lower: float
    upper: float
    arguments: tuple[Row, ...] = ()
    slope: Fraction | None = None
    chord: tuple[Fraction, Fraction] | None = None
    below: Row = NOTHING
    above: Row = NOTHING

    def unit(self, unknown: int) -> Unit:
        """The open unit under a number."""
        ends = Fraction(self.lower), Fraction(self.upper)
        return Unit(unknown, self.arguments, self.slope, *ends, self.chord)


def rectifier(z: Candidate, slope: Fraction) -> Settled:
    """``z`` where it is positive, ``slope * z`` elsewhere."""
    lower, upper = Fraction(z.lower), Fraction(z.upper)
    if not z.row.terms:
        lower = upper = z.row.constant
    if lower >= 0:
        return Settled(z.row, z.lower, z.upper)
    left = slope * lower
    if upper <= 0:
        ends = sorted((left, slope * upper))
        return Settled(scaled(z.row, slope), _down(ends[0]), _up(ends[1]))
    steepness = Fraction(round((upper - left) / (upper - lower) * GRID), GRID)
    gaps = (left - steepness * lower, upper - steepness * upper)
    convex = slope <= 1
    offset = max(gaps) if convex else min(gaps)
    line = scaled(z.row, steepness, offset)
    tangent = z.row if (upper > -lower) == convex else scaled(z.row, slope)
    return Settled(
        row=None,
        lower=_down(min(left, ZERO)) if slope > 0 else 0.0,
        upper=_up(max(left, upper)),
        arguments=(z.row,),
        slope=slope,
        chord=(steepness, offset),
        below=tangent if convex else line,
        above=line if convex else tangent,
    )


def maximum(window: Sequence[Candidate]) -> Settled:
    """The largest of a window."""
    best = max(range(len(window)), key=lambda i: window[i].lower)
    floor = window[best].lower
    alive: dict[tuple[tuple[tuple[int, Fraction], ...], Fraction], Candidate] = {}
    for place, item in enumerate(window):
        if place == best or item.upper > floor:
            alive.setdefault((tuple(sorted(item.row.terms.items())), item.row.constant), item)
    rows = tuple(item.row for item in alive.values())
    top = max(item.upper for item in alive.values())
    if len(rows) == 1:
        return Settled(rows[0], floor, top)
    return Settled(None, floor, top, rows, below=window[best].row, above=Row({}, Fraction(top)))


def scaled(row: Row, factor: Fraction, constant: Fraction = ZERO) -> Row:
    """``factor * row + constant``."""
    return Row.combine([(factor, row)], constant) if factor else Row({}, constant)


def _down(value: Fraction) -> float:
    near = float(value)
    return near if Fraction(near) <= value else math.nextafter(near, -math.inf)


def _up(value: Fraction) -> float:
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)
