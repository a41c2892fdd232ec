"""A VNN-LIB query as what must be impossible: boxes of inputs, and conjunctions of linear constraints on outputs."""

from __future__ import annotations

import hashlib
import itertools
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
DEEPEST = 200
COMPARISONS = ("<=", ">=", "<", ">", "==", "=")
TOKEN = re.compile(r"\(|\)|[^\s()]+")
INDEXED = re.compile(r"([A-Za-z_]\w*?)_?(\d+)$")
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
    inputs, outputs, formulas = _declared(_parsed(text))
    found: dict[tuple[tuple[Fraction, ...], tuple[Fraction, ...]], Group] = {}
    for branch in _branches(["and", *formulas]):
        group, clause = _split(branch, inputs, outputs)
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


def _declared(statements: list[Tree]) -> tuple[list[str], list[str], list[Tree]]:
    """Names of inputs and outputs in order, and the formulas that are asserted."""
    inputs: list[str] = []
    outputs: list[str] = []
    formulas = []
    for statement in statements:
        if not isinstance(statement, list) or not statement:
            raise RefusedError("the query is no list of statements")
        word = statement[0]
        if word == "declare-const" and len(statement) == 3 and isinstance(statement[1], str):
            found = INDEXED.match(statement[1])
            if found is None or found[1] not in ("X", "Y"):
                raise NotEstablishedError(str(statement[1]), "variables are named X_0, X_1, ... and Y_0, Y_1, ...")
            (inputs if found[1] == "X" else outputs).append(statement[1])
        elif word == "assert" and len(statement) == 2:
            formulas.append(statement[1])
        else:
            raise NotEstablishedError(str(word), "this checker reads version 1 of VNN-LIB")
    for names, letter in ((inputs, "X"), (outputs, "Y")):
        if names != [f"{letter}_{place}" for place in range(len(names))]:
            raise NotEstablishedError(letter, "variables are declared in order, each once")
    return inputs, outputs, formulas


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


def _split(
    branch: list[Tree], inputs: list[str], outputs: list[str]
) -> tuple[Group | None, list[tuple[Linear, Fraction]]]:
    """The box of a branch (None: it is empty) and its constraints on outputs; strict ones count as not strict."""
    lower: dict[str, Fraction] = {}
    upper: dict[str, Fraction] = {}
    clause = []
    for comparison in branch:
        for row in _rows(comparison):
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
