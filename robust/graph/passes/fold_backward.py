"""Folds a scale and a shift per channel, batch normalisation say, into the convolution or linear layer before it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robust.graph.graph import Graph, Node
from robust.graph.passes.editing import Editor, added_up, precise_constant, precisely, remade


def fold_backward(graph: Graph) -> Graph:
    """``scale * (W x + b) + shift`` becomes ``(scale W) x + (scale b + shift)`` where nothing else reads the layer."""
    editor = Editor(graph)
    layers: dict[int, Node] = {}
    for node in graph.nodes:
        folded = _folded(editor, node, layers)
        if folded is None:
            editor.keep(node)
            if node.op in ("linear", "convolution"):
                layers[node.index] = node
            continue
        layers[node.index] = folded
        editor.at[node.index] = editor.emit(replace(folded, inputs=tuple(editor.at[i] for i in folded.inputs)))
    return editor.finish()


def _folded(editor: Editor, node: Node, layers: dict[int, Node]) -> Node | None:
    layer = layers.get(node.inputs[0]) if len(node.inputs) == 1 else None
    if layer is None or not editor.is_read_once(editor.source(node)) or node.rest != layer.rest:
        return None
    weight, bias = layer.arguments["weight"], layer.arguments["bias"]
    if not isinstance(weight, Tensor) or not (bias is None or isinstance(bias, Tensor)):
        return None
    for op in ("mul", "add"):
        constant = precise_constant(node, op)
        row = None if constant is None else _per_channel(constant, layer)
        if row is None:
            continue
        before, after = precisely(layer, "weight"), precisely(layer, "bias")
        assert before is not None
        made = _merged(layer, op, row, before, after)
        if op == "add" and bias is None and layer.inexact is None and node.inexact is None:
            return replace(layer, arguments={**layer.arguments, "bias": row.to(weight.dtype)})
        added = _added(layer, node, op, row, bias)
        return remade(editor.graph, layer, made, (layer, node), added)
    return None


def _added(layer: Node, node: Node, op: str, row: Tensor, bias: Tensor | None) -> Tensor | None:
    """The magnitudes that the new bias is added up from."""
    before = added_up(layer, bias)
    if op == "mul":
        return None if before is None else before * row.abs()
    own = added_up(node, row)
    own = row.abs() if own is None else own.reshape(-1).expand(len(row))
    return own if before is None else before + own


def _per_channel(constant: Tensor, layer: Node) -> Tensor | None:
    """``[channels]`` of a constant that differs along the layer's channels only."""
    rank = len(layer.rest)
    channels = layer.rest[-1] if layer.op == "linear" else layer.rest[0]
    if constant.ndim > rank + 1 or layer.factor != 1:
        return None
    shape = [1] * (rank + 1 - constant.ndim) + list(constant.shape)
    axis = rank if layer.op == "linear" else 1
    if any(size != 1 for place, size in enumerate(shape) if place != axis):
        return None
    return constant.reshape(-1).expand(channels)


def _merged(layer: Node, op: str, row: Tensor, weight: Tensor, bias: Tensor | None) -> dict[str, Tensor | None]:
    if op == "add":
        return {"bias": row if bias is None else bias + row}
    scaled = None if bias is None else bias * row
    if not layer.arguments.get("transposed", False):
        return {"weight": weight * _over(row, 0, weight.ndim), "bias": scaled}
    groups = layer.arguments["groups"]
    grouped = weight.reshape(groups, -1, *weight.shape[1:]) * _over(row.reshape(groups, -1), 2, weight.ndim + 1)
    return {"weight": grouped.reshape(weight.shape), "bias": scaled}


def _over(row: Tensor, axis: int, rank: int) -> Tensor:
    """``[channels]`` along an axis of a tensor of some rank; of ``[groups, channels]`` the groups go first."""
    shape = [1] * rank
    shape[axis] = row.shape[-1]
    if row.ndim == 2:
        shape[0] = row.shape[0]
    return torch.reshape(row, shape)
