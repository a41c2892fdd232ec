"""One constant instead of several added, or multiplied, in a row."""

from __future__ import annotations

from dataclasses import replace

from robust.graph.graph import Graph, Node
from robust.graph.passes.editing import Editor, added_up, constant_operand, rounded, share_of, wide, with_constant


def merge_constants(graph: Graph) -> Graph:
    """``(x + a) + b`` becomes ``x + (a + b)``, and ``(x * a) * b`` becomes ``x * (a * b)``."""
    editor = Editor(graph)
    merged: dict[int, Node] = {}
    for old in graph.nodes:
        node = old
        for op in ("add", "mul"):
            second = constant_operand(node, op)
            first = merged.get(node.inputs[0], editor.source(node)) if second is not None else node
            before = constant_operand(first, op) if first is not node else None
            if second is not None and before is not None and editor.is_read_once(editor.source(node)):
                both = wide(before) + wide(second) if op == "add" else wide(before) * wide(second)
                mags = (added_up(first, before), added_up(node, second)) if op == "add" else (None, None)
                total = None if mags[0] is None or mags[1] is None else mags[0] + mags[1]
                inexact = rounded(graph, share_of(first, node), total)
                node = replace(with_constant(node, both.to(graph.dtype)), inputs=first.inputs, inexact=inexact)
                merged[old.index] = node
        editor.keep(node)
    return editor.finish()
