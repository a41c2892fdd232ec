"""Knows an activation that was written out as ``x`` times a gate of ``x``: one function of one variable has far
tighter bounds than a product of two."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from robust.graph.graph import Graph, Node, Operand
from robust.graph.operators import Kind
from robust.graph.passes.editing import Editor, constant_operand

aten = torch.ops.aten


def fuse_gates(graph: Graph) -> Graph:
    """``x sigmoid(x)`` is ``silu``, ``x tanh(softplus(x))`` is ``mish``, ``x (1 + erf(x / sqrt 2))`` twice ``gelu``."""
    editor = Editor(graph)
    for node in graph.nodes:
        found = _gate(editor, node) if node.kind is Kind.PRODUCT else None
        if found is None:
            editor.keep(node)
            continue
        operand, target, arguments, factor = found
        function = replace(
            node,
            op=target.overloadpacket.__name__,
            kind=Kind.ELEMENTWISE,
            target=target,
            arguments={"self": Operand(0), **arguments},
            inputs=(editor.at[operand],),
        )
        place = editor.emit(function)
        if factor != 1:
            constant = torch.tensor(factor, dtype=graph.dtype, device=graph.device)
            made = {"self": Operand(0), "other": constant}
            place = editor.emit(replace(node, kind=Kind.AFFINE, arguments=made, inputs=(place,)))
        editor.at[node.index] = place
    return editor.finish()


def _gate(editor: Editor, node: Node) -> tuple[int, Any, dict[str, object], float] | None:
    for operand, gate in (node.inputs, node.inputs[::-1]):
        found = _activation(editor, operand, editor.graph.nodes[gate])
        if found is not None:
            return operand, *found
        scaled = constant_operand(editor.graph.nodes[operand], "mul")
        if scaled is not None and scaled.numel() == 1:
            inner = editor.graph.nodes[operand].inputs[0]
            found = _activation(editor, inner, editor.graph.nodes[gate])
            if found is not None:
                return inner, found[0], found[1], found[2] * float(scaled)
    return None


def _activation(editor: Editor, operand: int, gate: Node) -> tuple[Any, dict[str, object], float] | None:
    if gate.op == "sigmoid" and gate.inputs == (operand,):
        return aten.silu.default, {}, 1.0
    if gate.op == "tanh":
        inner = editor.source(gate)
        if inner.op == "softplus" and inner.inputs == (operand,) and inner.arguments["beta"] == 1:
            return aten.mish.default, {}, 1.0
    one = constant_operand(gate, "add")
    if one is None or not _is(one, 1.0) or editor.source(gate).op != "erf":
        return None
    scaled = editor.source(editor.source(gate))
    factor = constant_operand(scaled, "mul")
    if factor is not None and _is(factor, 1 / math.sqrt(2)) and scaled.inputs == (operand,):
        return aten.gelu.default, {"approximate": "none"}, 2.0
    return None


def _is(constant: torch.Tensor, value: float) -> bool:
    """Equal to a number as the arithmetic of the constant can say it."""
    near = torch.finfo(torch.float32).eps * abs(value)
    return constant.numel() == 1 and abs(float(constant) - value) <= near
