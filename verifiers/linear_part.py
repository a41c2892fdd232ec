"""Affine operators without what they add: on many rows per sample, and on radii by absolute coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from robust.graph import BatchConstant, Graph, Node, Operand
from robust.graph.operators import BILINEAR, MONOTONE_AFFINE
from verifiers.interval import absolute_coefficients

FILLS = {"constant_pad_nd": "value", "masked_fill": "value"}
"""Further arguments that are added, beside those that may vary."""


def apply_linear(graph: Graph, node: Node, operands: Sequence[Tensor]) -> Tensor:
    """The linear part of an affine node.

    Args:
        graph: of the node.
        node: of kind AFFINE.
        operands: ``[n, rows, elements]`` of each.

    Returns:
        ``[n, rows, elements]``.
    """
    count, rows, _ = operands[0].shape
    batch = count * rows
    if not batch:
        return operands[0].new_zeros(count, rows, node.elements)
    sources = [graph.nodes[index] for index in node.inputs]
    shaped = [value.reshape(source.batched(batch)) for value, source in zip(operands, sources, strict=True)]
    return node.apply(shaped, batch, **_without_constants(node)).reshape(count, rows, -1)


def apply_absolute(graph: Graph, node: Node, radii: Sequence[Tensor]) -> Tensor:
    """How far an affine node moves at most when its operands move by ``radii``, each ``[n, elements]``."""
    batch = len(radii[0])
    sources = [graph.nodes[index] for index in node.inputs]
    shaped = [value.reshape(source.batched(batch)) for value, source in zip(radii, sources, strict=True)]
    replaced = absolute_coefficients(node) if node.op in BILINEAR else _without_constants(node)
    return node.apply(shaped, batch, **replaced).reshape(batch, -1)


_REPLACED: WeakKeyDictionary[Node, dict[str, Any]] = WeakKeyDictionary()


def _without_constants(node: Node) -> dict[str, Any]:
    """The arguments that make an affine operator linear; made once."""
    if node not in _REPLACED:
        if node.op in BILINEAR:
            replaced: dict[str, Any] = {"bias": None} if "bias" in node.arguments else {}
        else:
            names = (*MONOTONE_AFFINE[node.op], *((FILLS[node.op],) if node.op in FILLS else ()))
            replaced = {name: _zero(node.arguments[name]) for name in names}
        _REPLACED[node] = replaced
    return _REPLACED[node]


def _zero(value: Any) -> Any:
    """A constant as zero; operands as they are."""
    if isinstance(value, Operand):
        return value
    if isinstance(value, BatchConstant):
        return BatchConstant(torch.zeros_like(value.rows))
    if isinstance(value, Tensor):
        return torch.zeros_like(value)
    return [_zero(item) for item in value] if isinstance(value, list | tuple) else 0
