"""What the rounding of the model's own float32 arithmetic may be worth, to first order.

A proof about real numbers says nothing about a model whose float32 run drowns its answer in rounding. So a bound must
exceed an estimate of that noise: every node commits an error of about ``UNITS`` roundings of the magnitudes that it
adds up, and what the error does to the question is told by the sensitivity of the question to that node.

The sensitivity is an interval, ``centre +- radius``, because the slope of an open neuron is one: between the two
slopes of a ReLU, say. Without the radius a network that folds a number, ``-|g|``, would cancel the error of ``g``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.graph import Kind, Node
from robust.graph.operators import REARRANGING, RELATIVE
from verifiers.interval import Bounds
from verifiers.linear_bounds import LinearBounds
from verifiers.sensitivity import absolute, sensitivities

UNITS = 4
"""Roundings of the sum of magnitudes that one node is charged with."""

MARGIN = 1e-6
"""What bounds of unknown rounding must exceed, as a share of the magnitudes that they add up."""

EXACT = frozenset({"relu", "cat", "stack", "expand"})
"""Further operators that round nothing."""


def execution_noise(linear: LinearBounds, index: int, coefficients: Tensor, *, typical: bool = False) -> Tensor:
    """First-order estimate of float32 rounding in linear functions of a node, over whole regions.

    Args:
        linear: bounds of all nodes.
        index: the node, usually the output.
        coefficients: ``[n, m, elements]``.
        typical: roundings of different elements are taken as independent, and add up as the root of their squares
            (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019); else as if all of them
            pulled in the worst direction.

    Returns:
        ``[n, m]``, at least 0.
    """
    dtype, coefficients = coefficients.dtype, coefficients.float()
    linear = _in_single(linear)
    graph, batch = linear.network.graph, len(linear.region)
    unit = UNITS * torch.finfo(torch.float32).eps
    noise = torch.zeros_like(coefficients[:, :, 0])
    for node, current in sensitivities(graph, linear.bounds, batch, index, coefficients, linear.rules):
        added = _magnitude(linear, node, batch)
        if added is not None:
            largest, added = current.largest, unit * added.reshape(batch, -1, 1)
            if typical:
                largest, added = largest.square(), added.square()
            noise = noise + torch.bmm(largest, added)[:, :, 0]
    return (noise.sqrt() if typical else noise).to(dtype)


def _in_single(linear: LinearBounds) -> LinearBounds:
    """The same in float32: an estimate of a few roundings needs no more digits, and costs a fraction."""
    bounds = {index: Bounds(found.lower.float(), found.upper.float()) for index, found in linear.bounds.items()}
    return LinearBounds(linear.network.to(torch.float32), linear.region, bounds, linear.rules)


def _magnitude(linear: LinearBounds, node: Node, batch: int) -> Tensor | None:
    """The sum of the absolute values that each element of a node adds up; None where nothing is rounded.

    Of a nonlinear node: its own value; unless ``RELATIVE``, the larger of this and its operands, which formulas hold.
    """
    if node.kind in (Kind.INPUT, Kind.MAXIMUM) or node.op in REARRANGING or node.op in EXACT:
        return None
    largest = [_largest(linear.bounds[source]) for source in node.inputs]
    if node.op in RELATIVE and node.kind is not Kind.AFFINE:
        return _largest(linear.bounds[node.index])
    if node.kind is not Kind.AFFINE:
        return torch.stack(
            [value.reshape(batch, -1) for value in (_largest(linear.bounds[node.index]), *largest)]
        ).amax(0)
    added = node.apply(largest, batch, **{name: absolute(value) for name, value in node.arguments.items()}).abs()
    absorbed = linear.network.absorbed.get(node.index)
    return added if absorbed is None else added + absorbed.magnitude.to(added)


def _largest(bounds: Bounds) -> Tensor:
    return torch.maximum(bounds.lower.abs(), bounds.upper.abs())
