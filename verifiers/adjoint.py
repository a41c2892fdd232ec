"""The backward bound of an affine operator: its adjoint, and what it adds at zero."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.graph import Graph, Node
from robust.graph.operators import BILINEAR
from verifiers.transposed import transposed


def adjoint(graph: Graph, node: Node, coefficients: Tensor) -> list[Tensor]:
    """Coefficients of the node's operands from those of the node.

    Args:
        graph: the graph of the node.
        node: of kind AFFINE.
        coefficients: ``[n, m, elements of the node]``.

    Returns:
        For each operand ``[n, m, elements of the operand]``.
    """
    samples, rows, _ = coefficients.shape
    batch = samples * rows
    sources = [graph.nodes[index] for index in node.inputs]
    if node.op == "reshape" or (node.op == "add" and all(source.shape == node.shape for source in sources)):
        return [coefficients] * len(sources)
    gradient = coefficients.reshape(node.batched(batch))
    if node.op == "linear":
        return [(gradient @ node.arguments["weight"]).reshape(samples, rows, -1)]
    if node.op == "convolution":
        return [_convolution(node, sources[0], gradient).reshape(samples, rows, -1)]
    with torch.enable_grad():
        zeros = [
            torch.zeros(source.batched(batch), dtype=graph.dtype, device=graph.device, requires_grad=True)
            for source in sources
        ]
        found = torch.autograd.grad(node.apply(zeros, batch), zeros, gradient)
    return [part.reshape(samples, rows, -1) for part in found]


def offset(graph: Graph, node: Node) -> Tensor | None:
    """The value ``[elements]`` of an affine node where its operands are zero; None where that is surely zero."""
    if node.op in BILINEAR and node.arguments.get("bias") is None:
        return None
    zeros = [torch.zeros(graph.nodes[i].batched(1), dtype=graph.dtype, device=graph.device) for i in node.inputs]
    value = node.apply(zeros, 1).reshape(-1)
    return value if bool((value != 0).any()) else None


def _convolution(node: Node, source: Node, gradient: Tensor) -> Tensor:
    """The adjoint of a convolution is the transposed one with the same weight, and the other way round."""
    a, weight = node.arguments, node.arguments["weight"]
    rank = weight.ndim - 2
    if not a["transposed"]:
        padding = list(a["padding"]) * rank if len(a["padding"]) == 1 else a["padding"]
        return transposed(node, gradient, padding, source.rest[-rank:])
    result: Tensor = torch.ops.aten.convolution(
        gradient, weight, None, a["stride"], a["padding"], a["dilation"], False, [0] * rank, a["groups"]
    )
    return result
