"""Drops what changes nothing: a product with ones, a sum with zeros, a reshape to the same shape."""

from __future__ import annotations

from robust.graph.graph import Graph, Node
from robust.graph.passes.editing import Editor, constant_operand

_SAME_SHAPE = {"reshape", "expand"}


def drop_identities(graph: Graph) -> Graph:
    """The graph without nodes whose value is their operand's."""
    editor = Editor(graph)
    for node in graph.nodes:
        if _changes_nothing(editor, node):
            editor.at[node.index] = editor.at[node.inputs[0]]
        else:
            editor.keep(node)
    return editor.finish()


def _changes_nothing(editor: Editor, node: Node) -> bool:
    if len(node.inputs) != 1:
        return False
    source = editor.source(node)
    if (source.factor, source.rest) != (node.factor, node.rest):
        return False
    if node.op in _SAME_SHAPE:
        return True
    if node.op == "permute":
        axes = node.arguments["dims"]
        return [axis % len(axes) for axis in axes] == list(range(len(axes)))
    for op, neutral in (("mul", 1), ("add", 0)):
        constant = constant_operand(node, op)
        if constant is not None and bool((constant == neutral).all()):
            return True
    return False
