"""Folds a scale and a shift before a linear layer or convolution, normalisation of the input say, into that layer."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.graph.graph import Graph, Node
from robust.graph.passes.editing import Editor, added_up, per_sample, precise_constant, precisely, remade, wide


def fold_forward(graph: Graph) -> Graph:
    """``W (scale x) + b`` becomes ``(W scale) x + b``, and ``W (x + shift) + b`` becomes ``W x + (W shift + b)``.

    Through a reshape as well. A shift before a convolution that pads with zeros stays where it is: the pads are not
    shifted.
    """
    folded = _once(graph)
    while len(folded.nodes) < len(graph.nodes):
        graph, folded = folded, _once(folded)
    return graph


def _once(graph: Graph) -> Graph:
    editor = Editor(graph)
    skipped: dict[int, int] = {}
    changed: dict[int, Node] = {}
    for node in graph.nodes:
        found = _before(editor, node) if node.op in ("linear", "convolution") else None
        if found is not None and found[0].index not in skipped:
            scaling, merged = found
            skipped[scaling.index] = scaling.inputs[0]
            changed[node.index] = merged
    for node in graph.nodes:
        if node.index in skipped:
            editor.at[node.index] = editor.at[skipped[node.index]]
        else:
            editor.keep(changed.get(node.index, node))
    return editor.finish()


def _before(editor: Editor, layer: Node) -> tuple[Node, Node] | None:
    """The node that scales or shifts what a layer reads, and the layer with it inside."""
    weight, bias = layer.arguments["weight"], layer.arguments["bias"]
    if len(layer.inputs) != 1 or not isinstance(weight, Tensor) or not (bias is None or isinstance(bias, Tensor)):
        return None
    operand = node = editor.source(layer)
    while node.op == "reshape" and editor.is_read_once(node):
        node = editor.source(node)
    if not editor.is_read_once(node) or not node.inputs or editor.source(node).rest != node.rest:
        return None
    for op in ("mul", "add"):
        constant = precise_constant(node, op)
        spread = None if constant is None else per_sample(constant, node)
        before = precisely(layer, "weight")
        if constant is None or spread is None or before is None or operand.factor != 1:
            continue
        made = _merged(layer, op, spread.reshape(operand.rest), before, precisely(layer, "bias"))
        added = added_up(layer, bias)
        if made is not None and op == "add":  # the shift's own magnitudes go through the layer
            sizes = added_up(node, constant)
            through = None if sizes is None else per_sample(sizes.reshape(constant.shape), node)
            if through is None:
                continue
            sums = _merged(layer, op, wide(through.reshape(operand.rest)), before.abs(), added)
            if sums is None:
                continue
            added = sums["bias"]
        if made is not None:
            return node, remade(editor.graph, layer, made, (layer, node), added)
    return None


def _merged(layer: Node, op: str, value: Tensor, weight: Tensor, bias: Tensor | None) -> dict[str, Tensor] | None:
    """New weight or bias; None where the constant ``[*operand's shape]`` cannot be said in them."""
    linear = layer.op == "linear"
    row = value.reshape(-1, value.shape[-1]) if linear else value.reshape(value.shape[0], -1).T
    if not bool((row == row[:1]).all()) or (not linear and layer.arguments["transposed"]):
        return None
    row = row[0]
    if op == "mul":
        return {"weight": weight * row} if linear else {"weight": weight * _grouped(layer, row, weight)}
    if not linear and any(layer.arguments["padding"]) and bool((row != 0).any()):
        return None
    added = weight @ row if linear else (weight * _grouped(layer, row, weight)).flatten(1).sum(1)
    return {"bias": added if bias is None else bias + added}


def _grouped(layer: Node, row: Tensor, weight: Tensor) -> Tensor:
    """Input channels ``[c]`` as they meet a weight ``[outputs, c / groups, ...]``."""
    groups = layer.arguments["groups"]
    rows = row.reshape(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
    return torch.reshape(rows, (*rows.shape, *[1] * (weight.ndim - 2)))
