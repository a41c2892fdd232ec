"""``|x|`` as ``relu(x) + relu(-x)``, for engines that know no other bend."""

from __future__ import annotations

from dataclasses import replace

import torch

from robust.graph.graph import Graph, Operand
from robust.graph.operators import Kind
from robust.graph.passes.editing import Editor

aten = torch.ops.aten


def absolute_as_relu(graph: Graph) -> Graph:
    """The same function without ``abs`` nodes."""
    if all(node.op != "abs" for node in graph.nodes):
        return graph
    editor = Editor(graph)
    minus = torch.tensor(-1.0, dtype=graph.dtype, device=graph.device)
    for node in graph.nodes:
        if node.op != "abs":
            editor.keep(node)
            continue
        x = (editor.at[node.inputs[0]],)
        relu = replace(node, op="relu", target=aten.relu.default, arguments={"self": Operand(0)}, inputs=x)
        turned = {"self": Operand(0), "other": minus}
        negative = replace(node, op="mul", kind=Kind.AFFINE, target=aten.mul.Tensor, arguments=turned, inputs=x)
        above, below = editor.emit(relu), editor.emit(replace(relu, inputs=(editor.emit(negative),)))
        both = {"self": Operand(0), "other": Operand(1), "alpha": 1}
        total = replace(node, op="add", kind=Kind.AFFINE, target=aten.add.Tensor, arguments=both, inputs=(above, below))
        editor.at[node.index] = editor.emit(total)
    return editor.finish()
