"""From a conjunction of formulas to cases: disjunctive normal form, grouped by the input box of each branch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import prod

import numpy as np
import torch

from robust.errors import PropertyError
from robust.properties.input_sets import Box
from robust.properties.unsafe_sets import Halfspaces, UnsafeSet
from robust.properties.vnnlib.formula import And, Bound, Constraint, Formula, Or
from robust.properties.vnnlib.numbers import LARGEST, Number, above, below, float32_ends, nearest_float32
from robust.properties.vnnlib.query import Case, Monomial

MOST_BRANCHES = 200_000

Atom = Bound | Constraint


@dataclass
class Ends:
    """The tightest bounds of each input so far; None where there is none."""

    lower: list[Number | None]
    upper: list[Number | None]
    open_lower: list[bool]
    open_upper: list[bool]

    @classmethod
    def free(cls, inputs: int) -> Ends:
        """Of inputs that nothing is known about."""
        return cls([None] * inputs, [None] * inputs, [False] * inputs, [False] * inputs)

    def tightened(self, bounds: Iterable[Bound]) -> Ends:
        """A copy with further bounds."""
        copy = Ends(list(self.lower), list(self.upper), list(self.open_lower), list(self.open_upper))
        for bound in bounds:
            copy.add(bound)
        return copy

    def add(self, bound: Bound) -> None:
        """Keep a bound if it is tighter than what is there."""
        ends, open_ = (self.upper, self.open_upper) if bound.upper else (self.lower, self.open_lower)
        old = ends[bound.variable]
        if old is not None and Fraction(old) == Fraction(bound.value):
            open_[bound.variable] |= bound.strict
        elif old is None or (Fraction(bound.value) < Fraction(old)) == bound.upper:
            ends[bound.variable], open_[bound.variable] = bound.value, bound.strict

    def empty(self) -> list[int]:
        """Inputs with no number between their bounds."""
        found = []
        for place, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            if low is None or high is None or float(low) < float(high):
                continue
            least, most = Fraction(low), Fraction(high)
            if least > most or (least == most and (self.open_lower[place] or self.open_upper[place])):
                found.append(place)
        return found


@dataclass
class CaseBuilder:
    """Collects what all branches share, then makes the cases.

    Attributes:
        inputs: number of input scalars.
        answers: number of hidden and output scalars.
        names: of the inputs, for messages.
    """

    inputs: int
    answers: int
    names: Sequence[str]
    ends: Ends = field(init=False)
    shared: list[Atom] = field(default_factory=list)
    choices: list[list[list[Atom]]] = field(default_factory=list)
    observed: dict[Monomial, int] = field(init=False)

    def __post_init__(self) -> None:
        self.ends = Ends.free(self.inputs)
        self.observed = {(self.inputs + place,): place for place in range(self.answers)}

    def add(self, formula: Formula) -> None:
        """One more formula that must hold."""
        if isinstance(formula, And):
            for part in formula.parts:
                self.add(part)
        elif isinstance(formula, Or):
            self.choices.append(_branches(formula))
        elif isinstance(formula, Bound) and formula.variable < self.inputs:
            self.ends.add(formula)
        else:
            self.shared.append(formula)

    def cases(self, *, strictly: bool) -> tuple[Case, ...]:
        """All cases; branches that contradict themselves are left out.

        Args:
            strictly: every input must have both bounds and every branch a constraint on outputs, as in version 1.

        Raises:
            PropertyError: an input without a bound, a box that is empty, no constraint on outputs, too many branches.
        """
        empty = self.ends.empty()
        if empty:
            raise PropertyError(
                f"the input box is empty: {self.names[empty[0]]} has no number between its bounds",
                wanted="lower <= upper",
                got=f"from {self.ends.lower[empty[0]]} to {self.ends.upper[empty[0]]}",
            )
        count = prod(len(choice) for choice in self.choices)
        if count > MOST_BRANCHES:
            raise PropertyError(
                "the query has too many branches", wanted=f"at most {MOST_BRANCHES}", got=count, hint="split the query"
            )
        groups: dict[tuple[Bound, ...], list[list[Atom]]] = {}
        for picked in product(*self.choices):
            atoms = [atom for branch in picked for atom in branch]
            bounds = tuple(atom for atom in atoms if isinstance(atom, Bound) and atom.variable < self.inputs)
            rest = [atom for atom in atoms if not (isinstance(atom, Bound) and atom.variable < self.inputs)]
            kept = _true_ones_dropped([*self.shared, *rest])
            if kept is not None:
                if strictly and not kept:
                    raise PropertyError(
                        "the query has no constraint on the outputs", wanted="an (assert ...) about outputs"
                    )
                groups.setdefault(bounds, []).append(kept)
        whole = [(self.ends.tightened(bounds), clauses) for bounds, clauses in groups.items()]
        for ends, _ in whole if strictly else ():
            self._check_bounded(ends)
        kept_groups = [(ends, clauses) for ends, clauses in whole if not ends.empty()]
        for _, clauses in kept_groups:
            self._observe(clauses)
        return tuple(self._case(ends, clauses) for ends, clauses in kept_groups)

    def _check_bounded(self, ends: Ends) -> None:
        for place in range(self.inputs):
            low, high = ends.lower[place], ends.upper[place]
            if low is None or high is None:
                raise PropertyError(
                    f"the input {self.names[place]} has no {'lower' if low is None else 'upper'} bound",
                    wanted="both bounds for every input",
                    hint="add (assert (>= ... ...)) or (assert (<= ... ...))",
                )

    def _observe(self, clauses: list[list[Atom]]) -> None:
        for clause in clauses:
            for atom in clause:
                if isinstance(atom, Constraint):
                    for monomial in atom.polynomial:
                        if monomial:
                            self.observed.setdefault(monomial, len(self.observed))

    def _case(self, ends: Ends, clauses: list[list[Atom]]) -> Case:
        lower, upper, searched_lower, searched_upper, unbounded = _filled(ends)
        bottom, top = float32_ends(searched_lower, searched_upper, ends.open_lower, ends.open_upper)
        texts = {}
        for place in np.nonzero(bottom > top)[0].tolist():
            value = _number_between(ends, place, self.names[place])
            texts[place] = value
            bottom[place] = top[place] = nearest_float32(Fraction(value))
        low = np.minimum(np.array([below(value) for value in lower]), bottom)
        high = np.maximum(np.array([above(value) for value in upper]), top)
        halves, strict = [], []
        for clause in clauses:
            half, flags = self._halfspaces(clause)
            halves.append(half)
            strict.append(flags)
        cover = Box(torch.from_numpy(low), torch.from_numpy(high))
        points = Box(torch.from_numpy(bottom), torch.from_numpy(top))
        return Case(cover, points, texts, UnsafeSet(tuple(halves)), tuple(strict), unbounded)

    def _halfspaces(self, clause: list[Atom]) -> tuple[Halfspaces, torch.Tensor]:
        rows = max(1, len(clause))
        matrix, offset = np.zeros((rows, len(self.observed))), np.zeros(rows)
        for row, atom in enumerate(clause):
            if isinstance(atom, Bound):
                sign = 1.0 if atom.upper else -1.0
                matrix[row, self.observed[(atom.variable,)]] = sign
                offset[row] = sign * float(atom.value)
                continue
            for monomial, value in atom.polynomial.items():
                if monomial:
                    matrix[row, self.observed[monomial]] = float(value)
                else:
                    offset[row] = -float(value)
        flags = torch.zeros(rows, dtype=torch.bool)
        flags[: len(clause)] = torch.tensor([atom.strict for atom in clause], dtype=torch.bool)
        return Halfspaces(torch.from_numpy(matrix), torch.from_numpy(offset)), flags


def _filled(ends: Ends) -> tuple[list[Number], list[Number], list[Number], list[Number], bool]:
    """Bounds with the missing ones filled in: the range of float32 for the cover, near the other end for the points."""
    wide, some = Decimal(LARGEST), Decimal(1000)
    lower = [-wide if value is None else value for value in ends.lower]
    upper = [wide if value is None else value for value in ends.upper]
    if None not in ends.lower and None not in ends.upper:
        return lower, upper, lower, upper, False
    pairs = list(zip(ends.lower, ends.upper, strict=True))
    near_lower = [min(-some, Decimal(float(high or 0)) - some) if low is None else low for low, high in pairs]
    near_upper = [max(some, Decimal(float(low or 0)) + some) if high is None else high for low, high in pairs]
    return lower, upper, near_lower, near_upper, True


def _branches(formula: Formula) -> list[list[Atom]]:
    """Disjunctive normal form."""
    if isinstance(formula, Or):
        return [branch for part in formula.parts for branch in _branches(part)]
    if isinstance(formula, And):
        parts = [_branches(part) for part in formula.parts]
        if prod(map(len, parts)) > MOST_BRANCHES:
            raise PropertyError("the query has too many branches", wanted=f"at most {MOST_BRANCHES}")
        return [[atom for branch in picked for atom in branch] for picked in product(*parts)]
    return [[formula]]


def _true_ones_dropped(atoms: list[Atom]) -> list[Atom] | None:
    """Constraints between constants decided: without the true ones, or None if one is false."""
    kept = []
    for atom in atoms:
        if isinstance(atom, Constraint) and not any(atom.polynomial):
            value = atom.polynomial.get((), Fraction(0))
            if value > 0 or (value == 0 and atom.strict):
                return None
        else:
            kept.append(atom)
    return kept


def _number_between(ends: Ends, place: int, name: str) -> str:
    """Decimal text of a number inside the bounds of an input that holds no float32 number."""
    low, high = Fraction(ends.lower[place] or 0), Fraction(ends.upper[place] or 0)
    value = low if not ends.open_lower[place] else high if not ends.open_upper[place] else (low + high) / 2
    denominator, digits = value.denominator, 0
    for factor in (2, 5):
        count = 0
        while denominator % factor == 0:
            denominator, count = denominator // factor, count + 1
        digits = max(digits, count)
    if denominator != 1:
        raise PropertyError(f"no float32 number lies between the bounds of {name}, and no decimal one was found")
    whole = value * 10**digits
    sign, text = "-" if whole < 0 else "", str(abs(whole.numerator)).rjust(digits + 1, "0")
    return f"{sign}{text[: len(text) - digits]}.{text[len(text) - digits :]}" if digits else f"{sign}{text}"
