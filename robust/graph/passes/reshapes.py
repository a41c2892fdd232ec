"""One reshape instead of several in a row."""

from __future__ import annotations

from dataclasses import replace

from robust.graph.graph import Graph
from robust.graph.passes.editing import Editor


def merge_reshapes(graph: Graph) -> Graph:
    """A reshape of a reshape reads what the first one read: neither changes the order of the elements."""
    editor = Editor(graph)
    for node in graph.nodes:
        source = node
        while source.op == "reshape" and editor.source(source).op == "reshape":
            source = editor.source(source)
        if source is node:
            editor.keep(node)
        else:
            editor.at[node.index] = editor.emit(replace(node, inputs=(editor.at[source.inputs[0]],)))
    return editor.finish()
