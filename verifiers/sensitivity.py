"""How much linear functions of a node change with every node below it, over whole regions: intervals of derivatives.

A backward pass with an interval for each coefficient, ``centre +- radius``. An affine node maps the centre by its
adjoint and the radius by the adjoint of its absolute coefficients; a nonlinear node multiplies by the range of its
derivative between its operand's bounds (Weng et al., Towards Fast Computation of Certified Robustness for ReLU
Networks, 2018, section 3.3, Fast-Lip). At a kink the range holds every generalised derivative (Clarke), so that what
reaches the input encloses every slope, and by the mean value theorem every secant, of the functions over a convex set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import BatchConstant, Graph, Kind, Node, Operand
from verifiers.adjoint import adjoint
from verifiers.interval import Bounds
from verifiers.relaxations import Interval, Rule
from verifiers.relaxations.maximum import maximum_lines


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """``centre +- radius``, each ``[n, m, elements]``; a radius of None is zero."""

    centre: Tensor
    radius: Tensor | None = None

    @property
    def largest(self) -> Tensor:
        """The largest absolute value."""
        return self.centre.abs() if self.radius is None else self.centre.abs() + self.radius

    def plus(self, other: Sensitivity) -> Sensitivity:
        """The sum of two intervals."""
        radii = [radius for radius in (self.radius, other.radius) if radius is not None]
        return Sensitivity(self.centre + other.centre, sum(radii[1:], radii[0]) if radii else None)


def sensitivities(
    graph: Graph,
    bounds: Mapping[int, Bounds],
    batch: int,
    index: int,
    coefficients: Tensor,
    rules: Mapping[str, Rule],
    *,
    wider: float = 0.0,
) -> Iterator[tuple[Node, Sensitivity]]:
    """Node after node from ``index`` down to the input, each with the functions' derivative by it.

    Args:
        graph: the network.
        bounds: of every node below ``index``.
        batch: ``n``, the number of regions.
        index: the node that the functions are of, usually the output.
        coefficients: ``[n, m, elements]``.
        rules: of nonlinear operators, for the ranges of their derivatives.
        wider: operand bounds are moved apart by this share of the largest in their node, so that rounding hides no
            kink.

    Raises:
        UnsupportedOperatorError: an operator without a rule.
    """
    collected = {index: Sensitivity(coefficients)}
    for node in reversed(graph.nodes[: index + 1]):
        current = collected.pop(node.index, None)
        if current is None:
            continue
        yield node, current
        if node.kind is Kind.INPUT:
            continue
        if node.kind is Kind.AFFINE:
            parts = _affine(graph, node, current)
        else:
            operands = [_widened(bounds[source].flat(batch), wider) for source in node.inputs]
            parts = _nonlinear(node, operands, current, rules)
        for source, part in zip(node.inputs, parts, strict=True):
            collected[source] = collected[source].plus(part) if source in collected else part


def absolute(value: object) -> object:
    """An argument of an affine node with its constants made positive."""
    if isinstance(value, BatchConstant):
        return BatchConstant(value.rows.abs())
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.abs()
    if isinstance(value, list) and not any(isinstance(item, Operand) for item in value):
        return [absolute(item) for item in value]
    return value


def _affine(graph: Graph, node: Node, current: Sensitivity) -> list[Sensitivity]:
    centres = adjoint(graph, node, current.centre)
    if current.radius is None:
        return [Sensitivity(centre) for centre in centres]
    positive = replace(node, arguments={name: absolute(value) for name, value in node.arguments.items()})
    radii = adjoint(graph, positive, current.radius)
    return [Sensitivity(centre, radius) for centre, radius in zip(centres, radii, strict=True)]


def _widened(ends: Interval, wider: float) -> Interval:
    if not wider:
        return ends
    slack = wider * torch.maximum(ends[0].abs(), ends[1].abs()).amax(1, keepdim=True)
    return ends[0] - slack, ends[1] + slack


def _nonlinear(
    node: Node, operands: Sequence[Interval], current: Sensitivity, rules: Mapping[str, Rule]
) -> list[Sensitivity]:
    if node.kind is Kind.MAXIMUM:
        return [_maximum(node, *operands[0], current)]
    if node.op not in rules:
        raise UnsupportedOperatorError(
            f"no range of the derivative of {node.op} is known, at {node.place}", wanted=", ".join(rules)
        )
    return [_scaled(current, *ends) for ends in rules[node.op].slopes(node, operands)]


def _scaled(current: Sensitivity, least: Tensor, most: Tensor) -> Sensitivity:
    """The product of two intervals, the second one ``[n, elements]`` between its ends."""
    middle, half = ((most + least) / 2)[:, None], ((most - least) / 2)[:, None]
    radius = half * current.centre.abs()
    if current.radius is not None:
        radius = radius + torch.maximum(most.abs(), least.abs())[:, None] * current.radius
    return Sensitivity(middle * current.centre, radius if bool((radius != 0).any()) else None)


def _maximum(node: Node, lower: Tensor, upper: Tensor, current: Sensitivity) -> Sensitivity:
    """A decided window passes on to its largest element; an open one to each that may be it, by a share in [0, 1]."""
    rule = maximum_lines(node, lower, upper)
    centre = radius = torch.zeros_like(current.centre[:, :, :1]).expand(-1, -1, lower.shape[1])
    for k in range(rule.windows.shape[1]):
        least = (rule.eligible[:, :, k] & ~rule.open).to(lower)
        part = _scaled(current, least, rule.eligible[:, :, k].to(lower))
        target = rule.windows[:, k].expand_as(part.centre)
        centre = centre.scatter_add(2, target, part.centre)
        if part.radius is not None:
            radius = radius.scatter_add(2, target, part.radius)
    return Sensitivity(centre, radius)
