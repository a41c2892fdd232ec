"""One constant instead of several added, or multiplied, in a row."""

from __future__ import annotations

from dataclasses import replace

from robust.graph.graph import Graph, Node, Operand
from robust.graph.passes.editing import Editor, added_up, precise_constant, remade


def merge_constants(graph: Graph) -> Graph:
    """``(x + a) + b`` becomes ``x + (a + b)``, and ``(x * a) * b`` becomes ``x * (a * b)``."""
    editor = Editor(graph)
    merged: dict[int, Node] = {}
    for old in graph.nodes:
        node = old
        for op in ("add", "mul"):
            second = precise_constant(node, op)
            first = merged.get(node.inputs[0], editor.source(node)) if second is not None else node
            before = precise_constant(first, op) if first is not node else None
            if second is not None and before is not None and editor.is_read_once(editor.source(node)):
                sizes = (added_up(first, before), added_up(node, second)) if op == "add" else (None, None)
                added = None if sizes[0] is None or sizes[1] is None else sizes[0] + sizes[1]
                name = "other" if isinstance(node.arguments["self"], Operand) else "self"
                both = before + second if op == "add" else before * second
                node = replace(remade(graph, node, {name: both}, (first, node), added), inputs=first.inputs)
                merged[old.index] = node
        editor.keep(node)
    return editor.finish()
