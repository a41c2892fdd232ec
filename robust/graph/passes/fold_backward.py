"""Folds a scale and a shift per channel, batch normalisation say, into the convolution or linear layer before it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robust.graph.graph import Graph, Inexact, Node
from robust.graph.passes.editing import Editor, added_up, constant_operand, rounded, share_of, wide


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
        constant = constant_operand(node, op)
        row = None if constant is None else _per_channel(constant, layer)
        if row is not None:
            made = {**layer.arguments, **_merged(layer, op, wide(row), weight, bias)}
            return replace(layer, arguments=made, inexact=_inexact(editor.graph, layer, node, op, row, bias))
    return None


def _inexact(graph: Graph, layer: Node, node: Node, op: str, row: Tensor, bias: Tensor | None) -> Inexact | None:
    """A product's share grows by the factor's; a sum's is the larger, of the magnitudes that are added."""
    if op == "add" and bias is None and layer.inexact is None and node.inexact is None:
        return None
    before = added_up(layer, bias)
    if op == "mul":
        return rounded(graph, share_of(layer, node), None if before is None else before * row.abs())
    own = added_up(node, row)
    own = None if own is None else own.reshape(-1).expand(len(row))
    share = max(share_of(layer), share_of(node))
    return rounded(graph, share, own if before is None else before if own is None else before + own)


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
        return {"bias": (row if bias is None else wide(bias) + row).to(weight.dtype)}
    scaled = None if bias is None else (wide(bias) * row).to(weight.dtype)
    if not layer.arguments.get("transposed", False):
        return {"weight": (wide(weight) * _over(row, 0, weight.ndim)).to(weight.dtype), "bias": scaled}
    groups = layer.arguments["groups"]
    grouped = wide(weight).reshape(groups, -1, *weight.shape[1:]) * _over(row.reshape(groups, -1), 2, weight.ndim + 1)
    return {"weight": grouped.reshape(weight.shape).to(weight.dtype), "bias": scaled}


def _over(row: Tensor, axis: int, rank: int) -> Tensor:
    """``[channels]`` along an axis of a tensor of some rank; of ``[groups, channels]`` the groups go first."""
    shape = [1] * rank
    shape[axis] = row.shape[-1]
    if row.ndim == 2:
        shape[0] = row.shape[0]
    return torch.reshape(row, shape)
