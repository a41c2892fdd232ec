"""The exact form of a small network: numbered unknowns and affine rows over them, all coefficients rational.

Unknowns ``0 .. inputs - 1`` are the free inputs; each further one is the output of one unit (a rectifier or a maximum)
and reads only unknowns with smaller numbers. Nothing here is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

ZERO, ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True)
class Row:
    """``sum_v terms[v] * unknown_v + constant``; no term is zero."""

    terms: Mapping[int, Fraction] = field(default_factory=dict)
    constant: Fraction = ZERO

    @staticmethod
    def unknown(index: int) -> Row:
        """The unknown itself."""
        return Row({index: ONE})

    @staticmethod
    def combine(weights: Sequence[tuple[Fraction, Row]], constant: Fraction = ZERO) -> Row:
        """``sum_i weight_i * row_i + constant``, exactly."""
        terms: dict[int, Fraction] = {}
        for weight, row in weights:
            if row.constant:
                constant += weight * row.constant
            for index, coefficient in row.terms.items():
                product = weight if coefficient is ONE else weight * coefficient
                known = terms.get(index)
                terms[index] = product if known is None else known + product
        return Row({index: value for index, value in terms.items() if value}, constant)

    def at(self, values: Sequence[Fraction]) -> Fraction:
        """Its value where unknown ``v`` is ``values[v]``."""
        return sum((coefficient * values[index] for index, coefficient in self.terms.items()), self.constant)


@dataclass(frozen=True)
class Unit:
    """One nonlinear unknown: a rectifier of one row, or the largest of several.

    A rectifier of slope ``s`` is ``z`` where ``z >= 0`` and ``s z`` elsewhere: ``max(s z, z)`` for ``s <= 1`` and
    ``min(s z, z)`` above. The plain one has slope 0.

    Attributes:
        unknown: its number.
        arguments: rows over smaller unknowns: one for a rectifier, at least two for a maximum.
        slope: of a rectifier; None for a maximum.
        lower: a proved lower end of the output.
        upper: a proved upper end of the output.
        chord: for a rectifier, slope and constant of the line over ``z`` that closes its hull: never below the output
            for ``s <= 1``, never above it for a larger one. Redundant, but it lets the solver's linear part prune.
    """

    unknown: int
    arguments: tuple[Row, ...]
    slope: Fraction | None
    lower: Fraction
    upper: Fraction
    chord: tuple[Fraction, Fraction] | None = None

    @property
    def convex(self) -> bool:
        """Whether the output is the largest of its candidates, not the smallest."""
        return self.slope is None or self.slope <= 1

    def at(self, values: Sequence[Fraction]) -> Fraction:
        """The output for values of the smaller unknowns."""
        arguments = [row.at(values) for row in self.arguments]
        if self.slope is None:
            return max(arguments)
        return arguments[0] if arguments[0] >= 0 else self.slope * arguments[0]


@dataclass(frozen=True)
class Program:
    """A network over an input box.

    Attributes:
        inputs: number of free inputs; their unknowns come first.
        places: flat place of each free input in the network's input.
        lower: lower end of each free input, exactly.
        upper: upper end of each free input, exactly.
        point: all inputs, flat; the fixed ones have their value, the free ones their lower end.
        units: in order of their unknowns.
        outputs: one row per network output.
        rounding: for each output, how far float32 arithmetic may be from exact arithmetic, with sums in any order.
        magnitude: for each output, a bound of its absolute value.
    """

    inputs: int
    places: tuple[int, ...]
    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]
    point: tuple[Fraction, ...]
    units: tuple[Unit, ...]
    outputs: tuple[Row, ...]
    rounding: tuple[float, ...]
    magnitude: tuple[float, ...]

    @property
    def ranges(self) -> list[tuple[Fraction, Fraction]]:
        """Proved ends of every unknown."""
        return [*zip(self.lower, self.upper, strict=True), *((unit.lower, unit.upper) for unit in self.units)]

    def run(self, free: Sequence[Fraction]) -> list[Fraction]:
        """The outputs for values of the free inputs, in exact arithmetic."""
        values = list(free)
        for unit in self.units:
            values.append(unit.at(values))
        return [row.at(values) for row in self.outputs]
