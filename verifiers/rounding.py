"""What the rounding of the model's own float32 arithmetic may be worth, to first order.

A proof about real numbers says nothing about a model whose float32 run drowns its answer in rounding. So a bound must
exceed an estimate of that noise: every node commits an error of about ``UNITS`` roundings of the magnitudes that it
adds up, and what the error does to the question is told by the sensitivity of the question to that node.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.graph import BatchConstant, Kind, Node, Operand
from robust.graph.operators import REARRANGING
from verifiers.adjoint import adjoint
from verifiers.interval import Bounds
from verifiers.linear_bounds import LinearBounds, maximum_rule

UNITS = 4
"""Roundings of the sum of magnitudes that one node is charged with."""

STEEPEST = {"sigmoid": 0.25}
"""Largest slopes of nonlinear functions; 1 for the others."""


def execution_noise(linear: LinearBounds, index: int, coefficients: Tensor) -> Tensor:
    """First-order estimate of float32 rounding in linear functions of a node, over whole regions.

    Args:
        linear: bounds of all nodes.
        index: the node, usually the output.
        coefficients: ``[n, m, elements]``.

    Returns:
        ``[n, m]``, at least 0.
    """
    graph, batch = linear.network.graph, len(linear.region)
    unit = UNITS * torch.finfo(torch.float32).eps
    noise = torch.zeros_like(coefficients[:, :, 0])
    collected = {index: coefficients}
    for node in reversed(graph.nodes[1 : index + 1]):
        current = collected.pop(node.index, None)
        if current is None:
            continue
        operands = [linear.bounds[source] for source in node.inputs]
        added = _magnitude(node, operands, batch)
        if added is not None:
            noise = noise + unit * torch.bmm(current.abs(), added.reshape(batch, -1, 1))[:, :, 0]
        parts = adjoint(graph, node, current) if node.kind is Kind.AFFINE else [_steepest(linear, node, current)]
        for source, part in zip(node.inputs, parts, strict=True):
            collected[source] = collected[source] + part if source in collected else part
    return noise


def _magnitude(node: Node, operands: list[Bounds], batch: int) -> Tensor | None:
    """The sum of the absolute values that each element of a node adds up; None where nothing is rounded."""
    if node.op in REARRANGING or node.op in ("relu", "cat", "stack", "expand") or node.kind is Kind.MAXIMUM:
        return None
    largest = [torch.maximum(bounds.lower.abs(), bounds.upper.abs()) for bounds in operands]
    return node.apply(largest, batch, **{name: _absolute(value) for name, value in node.arguments.items()}).abs()


def _absolute(value: object) -> object:
    if isinstance(value, BatchConstant):
        return BatchConstant(value.rows.abs())
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.abs()
    if isinstance(value, list) and not any(isinstance(item, Operand) for item in value):
        return [_absolute(item) for item in value]
    return value


def _steepest(linear: LinearBounds, node: Node, coefficients: Tensor) -> Tensor:
    lower, upper = linear.bounds[node.inputs[0]].flat(len(linear.region))
    if node.kind is Kind.MAXIMUM:
        rule = maximum_rule(node, lower, upper)
        result = coefficients.new_zeros(*coefficients.shape[:2], lower.shape[1])
        return result.scatter_add_(2, rule.picked[:, None].expand_as(coefficients), coefficients)
    slope = torch.full_like(lower, STEEPEST.get(node.op, 1.0))
    if node.op == "relu":
        slope = torch.where(upper <= 0, torch.zeros_like(slope), slope)
    return coefficients * slope[:, None]
