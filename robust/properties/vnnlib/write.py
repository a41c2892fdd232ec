"""Queries and properties as VNN-LIB text."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.input_sets import Box
from robust.properties.property import Property
from robust.properties.vnnlib.query import Case, NetworkDeclaration, Query, Variable


def property_query(item: Property, *, shape: tuple[int, ...] | None = None) -> Query:
    """A property over a box as a query with one case.

    Args:
        item: over a box; the numbers of the box are taken as they are.
        shape: of the network's input with its batch axis, for version 2; the box's own by default.

    Raises:
        PropertyError: the input set is not a box, or holds no float32 number at some place.
    """
    if not isinstance(item.inputs, Box):
        raise PropertyError("only boxes can be written as VNN-LIB", wanted="Box", got=type(item.inputs).__name__)
    lower, upper = item.inputs.lower.double().flatten(), item.inputs.upper.double().flatten()
    bottom, top = _inward(lower, up=True), _inward(upper, up=False)
    if bool((bottom > top).any()):
        raise PropertyError("a box to be written holds no float32 number", hint="widen it, or fix inputs at float32")
    outputs = item.unsafe.outputs
    network = NetworkDeclaration(
        "N",
        (Variable("X", "float32", shape or item.inputs.shape),),
        (Variable("Y", "float32", (outputs,)),),
    )
    strict = tuple(torch.zeros(len(clause.offset), dtype=torch.bool) for clause in item.unsafe.clauses)
    case = Case(Box(lower, upper), Box(bottom, top), {}, item.unsafe, strict)
    observed = tuple((lower.numel() + place,) for place in range(outputs))
    return Query(2, (network,), observed, (case,))


def write_version_1(query: Query) -> str:
    """VNN-LIB 1 text with the same cases.

    Raises:
        PropertyError: the query has several networks, several inputs or outputs, or hidden values.
    """
    network = query.networks[0]
    if len(query.networks) > 1 or network.hidden or len(network.inputs) > 1 or len(network.outputs) > 1:
        raise PropertyError("VNN-LIB 1 knows one network with one input and one output", hint="write version 2")
    lines = [f"(declare-const X_{place} Real)" for place in range(query.inputs)]
    lines += [f"(declare-const Y_{place} Real)" for place in range(query.answers)]
    names = [f"X_{place}" for place in range(query.inputs)] + [f"Y_{place}" for place in range(query.answers)]
    return "\n".join([*lines, *_assertions(query, names, equal="=")]) + "\n"


def write_version_2(query: Query) -> str:
    """VNN-LIB 2.0 text with the same networks and cases."""
    lines = ["(vnnlib-version <2.0>)"]
    for place, network in enumerate(query.networks):
        lines.append(f"(declare-network {network.name or f'N{place}'}")
        lines += [f"    (equal-to {network.equal_to})"] if network.equal_to else []
        lines += [f"    (isomorphic-to {network.isomorphic_to})"] if network.isomorphic_to else []
        for kind, variables in (("input", network.inputs), ("hidden", network.hidden), ("output", network.outputs)):
            lines += [f"    (declare-{kind} {_declared(item)})" for item in variables]
        lines.append(")")
    groups = [network.inputs for network in query.networks] + [network.answers for network in query.networks]
    names = [name for group in groups for item in group for name in _names(item)]
    return "\n".join([*lines, *_assertions(query, names, equal="==")]) + "\n"


def _declared(item: Variable) -> str:
    tail = f' "{item.onnx_name}"' if item.onnx_name else ""
    return f"{item.name} {item.dtype} [{','.join(map(str, item.shape))}]{tail}"


def _names(item: Variable) -> list[str]:
    words = [""]
    for size in item.shape:
        words = [f"{word}{',' if word else ''}{place}" for word in words for place in range(size)]
    return [f"{item.name}[{word}]" for word in words]


def _assertions(query: Query, names: list[str], equal: str) -> list[str]:
    if not query.cases:
        raise PropertyError("a query without a case cannot be written: every branch contradicts itself")
    terms = [_product(monomial, names) for monomial in query.observed]
    if len(query.cases) == 1:
        case = query.cases[0]
        return [*(f"(assert {text})" for text in _box(case, names)), f"(assert {_unsafe(case, terms)})"]
    whole = [f"    (and {' '.join(_box(case, names))} {_unsafe(case, terms)})" for case in query.cases]
    return ["(assert (or", *whole, "))"]


def _product(monomial: tuple[int, ...], names: list[str]) -> str:
    text = names[monomial[0]]
    for _, place in pairwise(monomial):
        text = f"(* {text} {names[place]})"
    return text


def _box(case: Case, names: list[str]) -> list[str]:
    """The ends of the cover; what has no float32 number inside keeps the number that it had."""
    found = []
    for place, (low, high) in enumerate(zip(case.cover.lower.tolist(), case.cover.upper.tolist(), strict=True)):
        texts = (case.texts[place],) * 2 if place in case.texts else (_exact(low), _exact(high))
        found += [f"(>= {names[place]} {texts[0]})", f"(<= {names[place]} {texts[1]})"]
    return found


def _unsafe(case: Case, terms: list[str]) -> str:
    clauses = []
    for clause, strict in zip(case.unsafe.clauses, case.strict, strict=True):
        rows = [
            f"({'<' if is_strict else '<='} {_sum(row, terms)} {_number(offset)})"
            for row, offset, is_strict in zip(
                clause.matrix.tolist(), clause.offset.tolist(), strict.tolist(), strict=True
            )
        ]
        clauses.append(rows[0] if len(rows) == 1 else f"(and {' '.join(rows)})")
    return clauses[0] if len(clauses) == 1 else f"(or {' '.join(clauses)})"


def _sum(row: list[float], terms: list[str]) -> str:
    parts = [
        terms[place] if value == 1 else f"(* {_number(value)} {terms[place]})"
        for place, value in enumerate(row)
        if value != 0
    ]
    if not parts:
        return f"(* 0.0 {terms[0]})"
    return parts[0] if len(parts) == 1 else f"(+ {' '.join(parts)})"


def _exact(value: float) -> str:
    """Every digit, where the short form is another real number: an end of a box must not move."""
    short = repr(float(value))
    return short if Decimal(short) == Decimal(value) else str(Decimal(value))


def _number(value: float) -> str:
    return repr(float(value))


def _inward(values: Tensor, *, up: bool) -> Tensor:
    cast = values.float()
    wrong = (cast.double() < values) if up else (cast.double() > values)
    return torch.where(wrong, torch.nextafter(cast, torch.full_like(cast, torch.inf if up else -torch.inf)), cast)
