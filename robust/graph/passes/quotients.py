"""Knows a product with a convex function of another value, of which a quotient is one: its planes are chosen apart."""

from __future__ import annotations

from dataclasses import replace

from robust.graph.graph import Graph, Node
from robust.graph.operators import COPYING, Kind
from robust.graph.passes.editing import Editor

OPERATOR = "mul_convex"
"""Name of ``x r`` where ``r`` is a convex function of one variable; it runs as ``mul`` does, ``r`` being its second."""

_CONVEX = frozenset({"reciprocal", "rsqrt", "exp"})


def mark_quotients(graph: Graph) -> Graph:
    """``x / y``, ``x / sqrt(y)`` and ``x exp(y)`` get a name of their own; no answer changes."""
    editor = Editor(graph)
    for node in graph.nodes:
        order = _order(graph, node) if node.kind is Kind.PRODUCT else None
        if order is None:
            editor.keep(node)
            continue
        editor.keep(replace(node, op=OPERATOR, inputs=order))
    return editor.finish()


def _order(graph: Graph, node: Node) -> tuple[int, ...] | None:
    if len(set(node.inputs)) != 2:
        return None
    for first, second in (node.inputs, node.inputs[::-1]):
        source = graph.nodes[second]
        while source.op in COPYING and len(source.inputs) == 1:
            source = graph.nodes[source.inputs[0]]
        if source.op in _CONVEX:
            return first, second
    return None
