"""A VNN-LIB query as what must be impossible: boxes of inputs, and conjunctions of linear constraints on outputs."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from robust.checker.model import unpacked
from robust.checker.verdict import NotEstablishedError, RefusedError

Tree = str | list["Tree"]
Linear = dict[str, Fraction]
"""Coefficient by variable; the constant at the empty name."""
MOST_BRANCHES = 100_000
MOST_VARIABLES = 10_000_000
DEEPEST = 200
COMPARISONS = ("<=", ">=", "<", ">", "==", "=")
TOKEN = re.compile(r"[()]|[^\s()\[\]]*\[[^\]]*\]|[^\s()]+")
CONSTANT = re.compile(r"([XY])_\d+$")
ELEMENT = re.compile(r"([^\[]+)(?:\[([\d\s,]*)\])?$")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,4})?$")


@dataclass
class Group:
    """Branches of a query with one box.

    Attributes:
        lower, upper: exact ends of each input.
        clauses: of each branch the rows ``a`` and ``b`` of its constraints ``a @ y <= b``.
    """

    lower: list[Fraction]
    upper: list[Fraction]
    clauses: list[list[tuple[Linear, Fraction]]] = field(default_factory=list)


def read_query(path: Path) -> tuple[list[Group], str]:
    """The branches of a query, grouped by box in the order in which boxes occur, and the sha256 of its text.

    Raises:
        RefusedError: no such query.
        NotEstablishedError: in a form that this checker does not know.
    """
    content = unpacked(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path} is no text") from error
    return groups_of(text), hashlib.sha256(content).hexdigest()


def groups_of(text: str) -> list[Group]:
    """See ``read_query``."""
    names, formulas = _declared(_parsed(text))
    found: dict[tuple[tuple[Fraction, ...], tuple[Fraction, ...]], Group] = {}
    for branch in _branches(["and", *formulas]):
        group, clause = _split(branch, names)
        if group is None:
            continue
        group = found.setdefault((tuple(group.lower), tuple(group.upper)), group)
        if clause not in group.clauses:
            group.clauses.append(clause)
    return list(found.values())


def _parsed(text: str) -> list[Tree]:
    stack: list[list[Tree]] = [[]]
    for token in TOKEN.findall(re.sub(r";[^\n]*", "", text)):
        if token == "(":
            stack.append([])
            if len(stack) > DEEPEST:
                raise RefusedError("the query is nested too deeply")
        elif token == ")":
            if len(stack) < 2:
                raise RefusedError("a parenthesis is closed that was never opened")
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    if len(stack) != 1:
        raise RefusedError("a parenthesis is never closed")
    return stack[0]


@dataclass
class Names:
    """The variables of a query.

    Attributes:
        inputs, outputs: ``X_0``, ``X_1``, ... and ``Y_0``, ...
        arrays: version 2: declared name -> letter, and shape.
    """

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    arrays: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)

    def declare(self, statement: list[Tree]) -> None:
        """One statement of version 1 or 2 that declares something."""
        if statement[0] == "declare-const" and len(statement) == 3 and isinstance(statement[1], str):
            found = CONSTANT.match(statement[1])
            if found is None:
                raise NotEstablishedError(statement[1], "variables are named X_0, X_1, ... and Y_0, Y_1, ...")
            names = self.inputs if found[1] == "X" else self.outputs
            if statement[1] != f"{found[1]}_{len(names)}":
                raise NotEstablishedError(statement[1], "variables are declared in order, each once")
            names.append(statement[1])
            return
        parts = statement[2:]
        kinds = [part[0] if isinstance(part, list) and part else None for part in parts]
        if self.arrays or sorted(map(str, kinds)) != ["declare-input", "declare-output"]:
            raise NotEstablishedError("the networks", "one network with one input and one output is known here")
        for part in parts:
            if len(part) not in (4, 6) or not all(isinstance(word, str) for word in part):
                raise NotEstablishedError(str(part), "no declaration that this checker knows")
            letter, names = ("X", self.inputs) if part[0] == "declare-input" else ("Y", self.outputs)
            shape = _whole_numbers(str(part[3]).strip("[]"))
            self.arrays[str(part[1])] = (letter, shape)
            if math.prod(shape) > MOST_VARIABLES:
                raise RefusedError(f"a query with {math.prod(shape)} variables")
            names += [f"{letter}_{place}" for place in range(math.prod(shape))]

    def resolved(self, linear: Linear) -> Linear:
        """A linear function of the variables by their names of version 1."""
        if not self.arrays:
            return linear
        result: Linear = {}
        for name, factor in linear.items():
            found = ELEMENT.match(name)
            if name and (found is None or found[1] not in self.arrays):
                raise NotEstablishedError(name, "it was not declared")
            if found is None:
                result[""] = result.get("", Fraction(0)) + factor
                continue
            letter, shape = self.arrays[found[1]]
            index = _whole_numbers(found[2] or "")
            if len(index) != len(shape) or any(at >= size for at, size in zip(index, shape, strict=True)):
                raise RefusedError(f"{name} is no element of an array of shape {shape}")
            place = 0
            for at, size in zip(index, shape, strict=True):
                place = place * size + at
            flat = f"{letter}_{place}"
            result[flat] = result.get(flat, Fraction(0)) + factor
        return result


def _whole_numbers(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise RefusedError(f"{text[:40]!r} are no indices")
    return tuple(int(word) for word in words)


def _declared(statements: list[Tree]) -> tuple[Names, list[Tree]]:
    """The variables, and the formulas that are asserted."""
    names, formulas = Names(), []
    for statement in statements:
        if not isinstance(statement, list) or not statement:
            raise RefusedError("the query is no list of statements")
        word = statement[0]
        if word == "assert" and len(statement) == 2:
            formulas.append(statement[1])
        elif word in ("declare-const", "declare-network"):
            names.declare(statement)
        elif word != "vnnlib-version":
            raise NotEstablishedError(str(word), "no statement that this checker knows")
    return names, formulas


def _branches(formula: Tree) -> list[list[Tree]]:
    """Disjunctive normal form: lists of comparisons that hold together."""
    if not isinstance(formula, list) or not formula:
        raise NotEstablishedError(str(formula), "no formula that this checker knows")
    if formula[0] == "or":
        found = [branch for part in formula[1:] for branch in _branches(part)]
    elif formula[0] == "and":
        parts = [_branches(part) for part in formula[1:]]
        count = 1
        for part in parts:
            count *= len(part)
            if count > MOST_BRANCHES:
                raise NotEstablishedError("the query", f"it has more than {MOST_BRANCHES} branches")
        found = [list(itertools.chain(*chosen)) for chosen in itertools.product(*parts)]
    else:
        return [[formula]]
    if len(found) > MOST_BRANCHES:
        raise NotEstablishedError("the query", f"it has more than {MOST_BRANCHES} branches")
    return found


def _split(branch: list[Tree], variables: Names) -> tuple[Group | None, list[tuple[Linear, Fraction]]]:
    """The box of a branch (None: it is empty) and its constraints on outputs; strict ones count as not strict."""
    inputs, outputs = variables.inputs, variables.outputs
    lower: dict[str, Fraction] = {}
    upper: dict[str, Fraction] = {}
    clause = []
    for comparison in branch:
        for named in _rows(comparison):
            row = variables.resolved(named)
            bound = -row.pop("", Fraction(0))
            names = {name for name, factor in row.items() if factor}
            if names <= set(outputs) and names:
                clause.append((row, bound))
            elif len(names) == 1 and names <= set(inputs):
                name = names.pop()
                end = bound / row[name]
                if row[name] > 0:
                    upper[name] = min(end, upper.get(name, end))
                else:
                    lower[name] = max(end, lower.get(name, end))
            else:
                raise NotEstablishedError(
                    "a constraint", "it is about inputs and outputs, or several inputs, or nothing"
                )
    missing = [name for name in inputs if name not in lower or name not in upper]
    if missing:
        raise NotEstablishedError(missing[0], "it has no bounds")
    if any(lower[name] > upper[name] for name in inputs):
        return None, clause
    return Group([lower[name] for name in inputs], [upper[name] for name in inputs]), clause


def _rows(comparison: Tree) -> Iterator[Linear]:
    """Linear functions that are at most zero where a comparison holds."""
    if (
        not isinstance(comparison, list)
        or len(comparison) != 3
        or comparison[0] not in ("<=", ">=", "<", ">", "==", "=")
    ):
        raise NotEstablishedError(str(comparison), "no comparison that this checker knows")
    left, right = (_linear(side) for side in comparison[1:])
    if comparison[0] in ("<=", "<", "==", "="):
        yield _added(left, right, Fraction(-1))
    if comparison[0] in (">=", ">", "==", "="):
        yield _added(right, left, Fraction(-1))


def _linear(term: Tree) -> Linear:
    if isinstance(term, str):
        if NUMBER.match(term):
            return {"": Fraction(term)}
        return {term: Fraction(1)}
    if not term or not isinstance(term[0], str):
        raise NotEstablishedError(str(term), "no term that this checker knows")
    parts = [_linear(part) for part in term[1:]]
    if term[0] == "+" and parts:
        total: Linear = {}
        for part in parts:
            total = _added(total, part, Fraction(1))
        return total
    if term[0] == "-" and parts:
        total = parts[0] if len(parts) > 1 else _added({}, parts[0], Fraction(-1))
        for part in parts[1:]:
            total = _added(total, part, Fraction(-1))
        return total
    if term[0] == "*" and len(parts) == 2:
        for one, other in (parts, parts[::-1]):
            if set(one) <= {""}:
                return _added({}, other, one.get("", Fraction(0)))
    raise NotEstablishedError(str(term[0]), "no term that this checker knows")


def _added(first: Linear, second: Linear, factor: Fraction) -> Linear:
    result = dict(first)
    for name, value in second.items():
        result[name] = result.get(name, Fraction(0)) + factor * value
    return result
