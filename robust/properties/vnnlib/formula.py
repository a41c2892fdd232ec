"""Constraints of a query: polynomials over numbered scalars, compared with zero, joined by *and* and *or*."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

from robust.properties.vnnlib.forms import Form, Source
from robust.properties.vnnlib.numbers import Number, is_number

Polynomial = dict[tuple[int, ...], Fraction]
"""Monomial -> coefficient; ``()`` is the constant."""

COMPARISONS = {"<=": (1, False), ">=": (-1, False), "<": (1, True), ">": (-1, True)}
"""Sign that brings a comparison into the form ``p <= 0``, and whether it is strict."""

LARGEST_DEGREE = 8
_HUGE = 10**300


@dataclass(frozen=True, slots=True)
class Bound:
    """``variable <= value`` (upper) or ``variable >= value``, as the text has it."""

    variable: int
    value: Number
    upper: bool
    strict: bool


@dataclass(frozen=True, slots=True)
class Constraint:
    """``polynomial <= 0``, or ``< 0``."""

    polynomial: Polynomial
    strict: bool


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: list[Formula]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    parts: list[Formula]


Formula = Bound | Constraint | And | Or


class Reader:
    """Turns the form inside ``(assert ...)`` into a formula.

    Args:
        source: for messages.
        number_of: word -> number of a scalar; None if it is not declared.
    """

    def __init__(self, source: Source, number_of: Callable[[str], int | None]) -> None:
        self._source, self._number_of, self._token = source, number_of, 0

    def formula(self, form: Form, token: int) -> Formula:
        """Of a form that stands in the statement that begins at ``token``.

        Raises:
            PropertyError: an unknown variable or operator, a wrong number of arguments.
        """
        self._token = token
        return self._formula(form)

    def _formula(self, form: Form) -> Formula:
        if isinstance(form, str) or not form or not isinstance(form[0], str):
            self._fail("a constraint was expected", got=_shown(form))
        head = str(form[0])
        if head in ("and", "or"):
            if len(form) == 1:
                self._fail(f"an empty {head!r}")
            parts = [self._formula(part) for part in form[1:]]
            return parts[0] if len(parts) == 1 else (And if head == "and" else Or)(parts)
        if len(form) != 3:
            self._fail(f"{head!r} compares two terms", got=_shown(form))
        return self._comparison(head, form[1], form[2])

    def _comparison(self, head: str, left: Form, right: Form) -> Formula:
        if head in ("=", "=="):
            return And([self._comparison("<=", left, right), self._comparison(">=", left, right)])
        if head == "!=":
            return Or([self._comparison("<", left, right), self._comparison(">", left, right)])
        if head not in COMPARISONS:
            self._fail(f"unknown operator {head!r}", wanted="and, or, <=, >=, <, >, ==, !=")
        sign, strict = COMPARISONS[head]
        if isinstance(left, str) and isinstance(right, str):
            simple = self._bound(left, right, sign, strict)
            if simple is not None:
                return simple
        difference = self._polynomial(left)
        for monomial, coefficient in self._polynomial(right).items():
            difference[monomial] = difference.get(monomial, Fraction(0)) - coefficient
        kept = {monomial: sign * value for monomial, value in difference.items() if value}
        return _as_bound(kept, strict) or Constraint(kept, strict)

    def _bound(self, left: str, right: str, sign: int, strict: bool) -> Bound | None:
        """``variable ? number`` or ``number ? variable``: by far the most of a file."""
        variable = self._number_of(left)
        if variable is not None:
            return Bound(variable, Decimal(right), sign > 0, strict) if is_number(right) else None
        if is_number(left):
            variable = self._number_of(right)
            if variable is not None:
                return Bound(variable, Decimal(left), sign < 0, strict)
        return None

    def _polynomial(self, form: Form) -> Polynomial:
        if isinstance(form, str):
            return self._scalar(form)
        if not form or not isinstance(form[0], str) or form[0] not in ("+", "-", "*") or len(form) < 2:
            self._fail("a sum, difference or product was expected", got=_shown(form))
        parts = [self._polynomial(part) for part in form[1:]]
        if form[0] == "-" and len(parts) == 1:
            return {monomial: -value for monomial, value in parts[0].items()}
        result = parts[0]
        for part in parts[1:]:
            result = self._product(result, part) if form[0] == "*" else _sum(result, part, 1 if form[0] == "+" else -1)
        return result

    def _scalar(self, word: str) -> Polynomial:
        variable = self._number_of(word)
        if variable is not None:
            return {(variable,): Fraction(1)}
        if not is_number(word):
            self._fail(f"{word!r} is neither a declared variable nor a finite number")
        return {(): Fraction(word)}

    def _product(self, one: Polynomial, other: Polynomial) -> Polynomial:
        result: Polynomial = {}
        for left, a in one.items():
            for right, b in other.items():
                monomial = tuple(sorted(left + right))
                if len(monomial) > LARGEST_DEGREE:
                    self._fail(f"a product of more than {LARGEST_DEGREE} variables")
                result[monomial] = result.get(monomial, Fraction(0)) + a * b
        return result

    def _fail(self, message: str, **details: Any) -> NoReturn:
        self._source.fail(message, self._token, **details)


def _as_bound(polynomial: Polynomial, strict: bool) -> Bound | None:
    """``a x + b <= 0`` as a bound of ``x``."""
    single = [monomial for monomial in polynomial if monomial]
    if len(single) != 1 or len(single[0]) != 1:
        return None
    slope = polynomial[single[0]]
    value = -polynomial.get((), Fraction(0)) / slope
    return Bound(single[0][0], value, slope > 0, strict) if abs(value) < _HUGE else None


def _sum(one: Polynomial, other: Polynomial, sign: int) -> Polynomial:
    result = dict(one)
    for monomial, value in other.items():
        result[monomial] = result.get(monomial, Fraction(0)) + sign * value
    return result


def _shown(form: Form) -> str:
    text = form if isinstance(form, str) else "(" + " ".join(_shown(part) for part in form) + ")"
    return text if len(text) <= 80 else text[:77] + "..."
