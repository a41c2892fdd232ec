"""What the rounding of the model's own float32 arithmetic may be worth, to first order.

A proof about real numbers says nothing about a model whose float32 run drowns its answer in rounding. So a bound must
exceed an estimate of that noise: every node commits an error of about ``UNITS`` roundings of the magnitudes that it
adds up, and what the error does to the question is told by the sensitivity of the question to that node.

The sensitivity is an interval, ``centre +- radius``, because the slope of an open neuron is one: between the two
slopes of a ReLU, say. Without the radius a network that folds a number, ``-|g|``, would cancel the error of ``g``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robust.graph import BatchConstant, Kind, Node, Operand
from robust.graph.operators import REARRANGING
from verifiers.adjoint import adjoint
from verifiers.interval import Bounds
from verifiers.linear_bounds import LinearBounds
from verifiers.relaxations.maximum import maximum_rule

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
    collected = {index: _Sensitivity(coefficients, None)}
    for node in reversed(graph.nodes[1 : index + 1]):
        current = collected.pop(node.index, None)
        if current is None:
            continue
        operands = [linear.bounds[source] for source in node.inputs]
        added = _magnitude(node, operands, batch)
        if added is not None:
            noise = noise + unit * torch.bmm(current.largest, added.reshape(batch, -1, 1))[:, :, 0]
        parts = _affine(linear, node, current) if node.kind is Kind.AFFINE else [_nonlinear(linear, node, current)]
        for source, part in zip(node.inputs, parts, strict=True):
            collected[source] = collected[source].plus(part) if source in collected else part
    return noise


@dataclass(frozen=True, eq=False)
class _Sensitivity:
    """``centre +- radius``, each ``[n, m, elements]``; a radius of None is zero."""

    centre: Tensor
    radius: Tensor | None

    @property
    def largest(self) -> Tensor:
        """The largest absolute value."""
        return self.centre.abs() if self.radius is None else self.centre.abs() + self.radius

    def plus(self, other: _Sensitivity) -> _Sensitivity:
        radii = [radius for radius in (self.radius, other.radius) if radius is not None]
        return _Sensitivity(self.centre + other.centre, sum(radii[1:], radii[0]) if radii else None)


def _affine(linear: LinearBounds, node: Node, current: _Sensitivity) -> list[_Sensitivity]:
    graph = linear.network.graph
    centres = adjoint(graph, node, current.centre)
    if current.radius is None:
        return [_Sensitivity(centre, None) for centre in centres]
    positive = replace(node, arguments={name: _absolute(value) for name, value in node.arguments.items()})
    radii = adjoint(graph, positive, current.radius)
    return [_Sensitivity(centre, radius) for centre, radius in zip(centres, radii, strict=True)]


def _nonlinear(linear: LinearBounds, node: Node, current: _Sensitivity) -> _Sensitivity:
    lower, upper = linear.bounds[node.inputs[0]].flat(len(linear.region))
    if node.kind is Kind.MAXIMUM:
        return _maximum(node, lower, upper, current)
    least, most = _slopes(node, lower, upper)
    middle, half = ((most + least) / 2)[:, None], ((most - least) / 2)[:, None]
    open_ = half * current.centre.abs()
    radius = (
        open_ if current.radius is None else open_ + torch.maximum(most.abs(), least.abs())[:, None] * current.radius
    )
    return _Sensitivity(middle * current.centre, radius if bool((radius != 0).any()) else None)


def _slopes(node: Node, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest slope of a function between its operand's bounds."""
    if node.op in ("relu", "leaky_relu"):
        bend = float(node.arguments["negative_slope"]) if node.op == "leaky_relu" else 0.0
        return torch.where(lower >= 0, 1.0, bend).to(lower), torch.where(upper <= 0, bend, 1.0).to(lower)
    steepest = torch.full_like(lower, STEEPEST.get(node.op, 1.0))
    return torch.zeros_like(lower), steepest


def _maximum(node: Node, lower: Tensor, upper: Tensor, current: _Sensitivity) -> _Sensitivity:
    """A decided window passes on to its largest element; an open one to each that may be it, with a radius."""
    rule, windows = maximum_rule(node, lower, upper), node.windows
    decided = rule.decided[:, None]
    passed = current.centre * decided
    centre = current.centre.new_zeros(*current.centre.shape[:2], lower.shape[1])
    centre = centre.scatter_add_(2, rule.picked[:, None].expand_as(passed), passed)
    if windows is None or (current.radius is None and bool((decided == 1).all())):
        return _Sensitivity(centre, None)
    wide = current.centre.abs() * (1 - decided) + (0 if current.radius is None else current.radius)
    radius = wide.new_zeros(*wide.shape[:2], lower.shape[1] + 1)
    for column in range(windows.shape[1]):
        places = windows[:, column].where(windows[:, column] >= 0, torch.full_like(windows[:, column], lower.shape[1]))
        radius.scatter_add_(2, places.expand_as(wide), wide)
    return _Sensitivity(centre, radius[:, :, :-1])


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
