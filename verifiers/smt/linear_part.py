"""The matrix of one affine operator, entry by entry exact.

``robust.graph.affine.affine_map`` subtracts the offset from each column, which rounds where a weight and a bias differ
in magnitude. Here the additive constants are taken out before the operator is run on unit vectors in float64, so that
every entry of ``linear``, ``convolution``, ``mul``, ``bmm``, ``add`` and the operators that only move elements is the
stored float32 number itself. The coefficients that an operator makes itself (averages, interpolation) are those
that float64 gives; for a window of a power of two they are exact too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import Argument, BatchConstant, Graph, Node

BLOCK = 128
"""Unit vectors that are run at once."""


def columns(graph: Graph, node: Node, position: int) -> Iterator[tuple[int, int, float]]:
    """Nonzero entries ``(output, operand element, coefficient)`` of an affine node for one of its operands.

    Args:
        graph: in float64.
        node: of kind affine.
        position: which of ``node.inputs``.

    Raises:
        UnsupportedOperatorError: what is left without additive constants does not map zero to zero.
    """
    linear = _without_constants(node)
    source = graph.nodes[node.inputs[position]]
    for start in range(0, source.elements, BLOCK):
        size = min(BLOCK, source.elements - start)
        units = torch.zeros(size, source.elements, dtype=graph.dtype, device=graph.device)
        units[torch.arange(size), start + torch.arange(size)] = 1.0
        image = _apply(graph, node, linear, {position: units}, size).cpu()
        places = image.nonzero()
        for (row, output), value in zip(places.tolist(), image[places[:, 0], places[:, 1]].tolist(), strict=True):
            yield output, start + row, value


def offsets(graph: Graph, node: Node) -> list[float]:
    """What the node gives where all its operands are zero: its additive constants, ``[elements]``.

    Raises:
        UnsupportedOperatorError: the constants cannot be told from the linear part.
    """
    constant = _apply(graph, node, {}, {}, 1).flatten().tolist()
    left = _apply(graph, node, _without_constants(node), {}, 1)
    if bool((left.nan_to_num(nan=0.0) != 0).any()):
        raise UnsupportedOperatorError(
            f"the constants of operator {node.op} cannot be told from its linear part, at {node.place}",
            hint="disable the SMT check for this model",
        )
    return [float(value) for value in constant]


def _apply(graph: Graph, node: Node, replaced: dict[str, Argument], given: dict[int, Tensor], batch: int) -> Tensor:
    operands = []
    for position, index in enumerate(node.inputs):
        shape = graph.nodes[index].batched(batch)
        tensor = given.get(position)
        operands.append(
            torch.zeros(shape, dtype=graph.dtype, device=graph.device) if tensor is None else tensor.reshape(shape)
        )
    with torch.no_grad():
        without = dataclasses.replace(node, arguments={**node.arguments, **replaced})
        return without.apply(operands, batch).reshape(batch, -1)


def _without_constants(node: Node) -> dict[str, Argument]:
    arguments = node.arguments
    if node.op in ("linear", "convolution"):
        return {"bias": None}
    if node.op == "add":
        return {name: _zeroed(arguments[name]) for name in ("self", "other")}
    if node.op in ("cat", "stack"):
        return {"tensors": [_zeroed(item) for item in arguments["tensors"]]}
    if node.op in ("constant_pad_nd", "masked_fill"):
        value = arguments["value"]
        return {"value": torch.zeros_like(value) if isinstance(value, Tensor) else 0.0}
    return {}


def _zeroed(value: Any) -> Argument:
    if isinstance(value, BatchConstant):
        return BatchConstant(torch.zeros_like(value.rows))
    return torch.zeros_like(value) if isinstance(value, Tensor) else value
