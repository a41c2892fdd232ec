"""A program and one unsafe clause as SMT-LIB text in linear real arithmetic.

Open units are written ``h >= a, h >= b, (h <= a or h <= b)`` with their proved ends and their chord.

With ``digits`` the coefficients are first rounded to that many binary digits below the largest of their row, and each
row gets the exact interval of what the rounding may change on the box. That relaxation is wider than the network, so
*unsatisfiable* still speaks of the exact one, and short numbers keep the simplex tableau fast; *satisfiable* then only
proposes a point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from robust.properties.lattice import LatticeBox
from verifiers.smt.program import ZERO, Program, Row, Unit

SHORT = 8
"""Ends of intervals are moved outwards to multiples of about ``2 ** -SHORT`` of their width."""
CHORD = Fraction(1, 256)


@dataclass(frozen=True)
class Constraint:
    """``sum_o weights[o] * output_o <= offset``, exactly."""

    weights: Mapping[int, Fraction]
    offset: Fraction


def smtlib(
    program: Program, clause: Sequence[Constraint], digits: int | None = None, lattice: LatticeBox | None = None
) -> str:
    """The question whether an input of the box reaches the conjunction.

    Args:
        program: network and box.
        clause: constraints on the outputs that hold together.
        digits: binary digits of the coefficients; None for the exact network.
        lattice: which inputs are whole numbers or one-hot groups; the answer then speaks of such inputs alone.

    Returns:
        Declarations and assertions; free inputs are called ``v0``, ``v1``, ...
    """
    lines = [*_Writer(program, digits).lines(clause), *(_lattice(program, lattice) if lattice else ())]
    return "\n".join(lines) + "\n"


def _lattice(program: Program, lattice: LatticeBox) -> Iterator[str]:
    """Whole numbers get an integer of their own; the free members of a group add up to what is left of 1."""
    numbers = {place: number for number, place in enumerate(program.places)}
    grouped = {place for group in lattice.groups for place in group}
    for place in sorted(grouped.union(lattice.whole) & numbers.keys()):
        yield f"(declare-const k{numbers[place]} Int)"
        yield f"(assert (= v{numbers[place]} (to_real k{numbers[place]})))"
    for group in lattice.groups:
        free = {numbers[place]: Fraction(1) for place in group if place in numbers}
        fixed = sum((program.point[place] for place in group if place not in numbers), ZERO)
        yield f"(assert (= {_sum(free, fixed)} 1.0))"


class _Writer:
    def __init__(self, program: Program, digits: int | None) -> None:
        self.program, self.digits = program, digits
        self.ranges = program.ranges
        exact = 0 if digits is not None else program.inputs
        self.ranges[exact:] = [_shortened(*ends) for ends in self.ranges[exact:]]

    def lines(self, clause: Sequence[Constraint]) -> Iterator[str]:
        for index, (low, high) in enumerate(self.ranges):
            yield f"(declare-const v{index} Real)"
            yield f"(assert (and (<= {number(low)} v{index}) (<= v{index} {number(high)})))"
        for unit in self.program.units:
            yield from self._unit(unit)
        for place, constraint in enumerate(clause):
            parts = [(weight, self.program.outputs[output]) for output, weight in constraint.weights.items()]
            row = Row.combine(parts, -constraint.offset)
            yield from self._named(f"y{place}", row)
            yield f"(assert (<= y{place} 0))"

    def _unit(self, unit: Unit) -> Iterator[str]:
        output, terms = f"v{unit.unknown}", []
        for place, row in enumerate(unit.arguments):
            bare = not row.constant and len(row.terms) == 1 and next(iter(row.terms.values())) == 1
            name = f"v{next(iter(row.terms))}" if bare else f"z{unit.unknown}_{place}"
            if not bare:
                yield from self._named(name, row)
            terms.append(name)
        if unit.slope is not None:
            terms.append(f"(* {number(unit.slope)} {terms[0]})" if unit.slope else "0")
        beyond, within = (">=", "<=") if unit.convex else ("<=", ">=")
        for term in terms:
            yield f"(assert ({beyond} {output} {term}))"
        yield f"(assert (or {' '.join(f'({within} {output} {term})' for term in terms)}))"
        if unit.chord is not None:
            steepness, constant = unit.chord
            low, high = _shortened(constant - CHORD, constant + CHORD)
            line = f"(+ (* {number(steepness)} {terms[0]}) {number(high if unit.convex else low)})"
            yield f"(assert ({within} {output} {line}))"

    def _named(self, name: str, row: Row) -> Iterator[str]:
        yield f"(declare-const {name} Real)"
        if self.digits is None:
            yield f"(assert (= {name} {_sum(row.terms, row.constant)}))"
            return
        terms, low, high = self._rounded(row)
        yield f"(assert (<= {_sum(terms, low)} {name}))"
        yield f"(assert (<= {name} {_sum(terms, high)}))"

    def _rounded(self, row: Row) -> tuple[dict[int, Fraction], Fraction, Fraction]:
        """Short coefficients, and the ends of ``row`` minus their sum over the box."""
        scale = _scale(row, self.digits or 0)
        terms: dict[int, Fraction] = {}
        low = high = row.constant
        for index, coefficient in row.terms.items():
            short = round(coefficient * scale) / scale
            if short:
                terms[index] = short
            rest = coefficient - short
            ends = self.ranges[index]
            low += rest * (ends[0] if rest > 0 else ends[1])
            high += rest * (ends[1] if rest > 0 else ends[0])
        fine = scale * (1 << (self.digits or 0))
        return terms, math.floor(low * fine) / fine, math.ceil(high * fine) / fine


def _scale(row: Row, digits: int) -> Fraction:
    """The power of two that makes the row's largest coefficient an integer of about ``digits`` binary digits."""
    largest = max((abs(value) for value in row.terms.values()), default=Fraction(1))
    length = largest.numerator.bit_length() - largest.denominator.bit_length()
    return Fraction(2) ** (digits - length)


def number(value: Fraction) -> str:
    """A rational in SMT-LIB."""
    top = f"{abs(value.numerator)}.0"
    text = top if value.denominator == 1 else f"(/ {top} {value.denominator}.0)"
    return f"(- {text})" if value < 0 else text


def _shortened(low: Fraction, high: Fraction) -> tuple[Fraction, Fraction]:
    """A slightly wider interval with short ends."""
    width = high - low
    step = Fraction(2) ** (width.numerator.bit_length() - width.denominator.bit_length() - SHORT) if width else ZERO
    return (math.floor(low / step) * step, math.ceil(high / step) * step) if step else (low, high)


def _sum(terms: Mapping[int, Fraction], constant: Fraction) -> str:
    parts = [f"(* {number(weight)} v{index})" for index, weight in terms.items()]
    if constant != ZERO or not parts:
        parts.append(number(constant))
    return parts[0] if len(parts) == 1 else f"(+ {' '.join(parts)})"
