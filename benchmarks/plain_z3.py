"""Plain Z3: the network as it stands, every ReLU an ``If``, no bounds of ours. What a first attempt would write."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
import z3
from torch import Tensor

from robust.graph import Graph


def outputs(graph: Graph, inputs: Sequence[z3.ArithRef]) -> list[z3.ArithRef]:
    """The outputs of a chain of linear layers and ReLUs as terms over its inputs."""
    values = list(inputs)
    for node in graph.nodes:
        if node.op == "relu":
            values = [z3.If(value > 0, value, z3.RealVal(0)) for value in values]
        if node.op == "linear":
            weight, bias = node.arguments["weight"], node.arguments["bias"]
            offsets = [0.0] * len(weight) if bias is None else bias.tolist()
            values = [
                z3.Sum([_number(w) * v for w, v in zip(row, values, strict=True) if w] + [_number(b)])
                for row, b in zip(weight.tolist(), offsets, strict=True)
            ]
    return values


def misclassified(graph: Graph, lower: Tensor, upper: Tensor, label: int, seconds: float) -> str:
    """``sat``, ``unsat`` or ``unknown``: whether any input of the box has another logit at least as large."""
    solver = z3.Solver()
    solver.set("timeout", int(seconds * 1000))
    inputs = [z3.Real(f"x{place}") for place in range(len(lower))]
    for value, low, high in zip(inputs, lower.tolist(), upper.tolist(), strict=True):
        solver.add(value >= _number(low), value <= _number(high))
    logits = outputs(graph, inputs)
    solver.add(z3.Or([logits[rival] >= logits[label] for rival in range(len(logits)) if rival != label]))
    return str(solver.check())


def unfair(
    graph: Graph, lower: Sequence[int], upper: Sequence[int], protected: int, ends: tuple[int, int], seconds: float
) -> str:
    """``sat``, ``unsat`` or ``unknown``: whether two whole people of the box differ in one column and in the decision.

    Args:
        graph: to two logits.
        lower: of each column.
        upper: likewise.
        protected: the column that differs.
        ends: its values.
        seconds: for the solver.
    """
    solver = z3.Solver()
    solver.set("timeout", int(seconds * 1000))
    first = [z3.Int(f"x{place}") for place in range(len(lower))]
    second = list(first)
    second[protected] = z3.Int("other")
    for place, value in enumerate(first):
        low, high = ends if place == protected else (lower[place], upper[place])
        solver.add(value >= low, value <= high)
    solver.add(second[protected] >= ends[0], second[protected] <= ends[1], second[protected] != first[protected])
    a, b = (outputs(graph, [z3.ToReal(value) for value in person]) for person in (first, second))
    one, other = a[1] - a[0], b[1] - b[0]
    solver.add(z3.Or(z3.And(one < 0, other > 0), z3.And(one > 0, other < 0)))
    return str(solver.check())


def chain(graph: Graph) -> Graph:
    """The graph itself; refuses what is no chain of linear layers and ReLUs."""
    strange = {node.op for node in graph.nodes} - {"input", "linear", "relu"}
    if strange:
        raise ValueError(f"plain Z3 is written for linear layers and ReLUs, not {sorted(strange)}")
    return graph.to(torch.float32)


def _number(value: float) -> z3.RatNumRef:
    exact = Fraction(value)
    return z3.Q(exact.numerator, exact.denominator)
