"""Ranges of derivatives of elementwise functions between bounds of their operand. An unknown function is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import Node

WIDER = 1e-9
"""Operand bounds are moved apart by this share of the largest in their node, so that rounding hides no kink."""


def derivative_range(node: Node, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest derivative (at a kink: all between both sides) of an elementwise node.

    Args:
        node: of kind ELEMENTWISE, with one operand.
        lower: ``[n, elements]``, of the operand.
        upper: likewise.

    Raises:
        UnsupportedOperatorError: no range is known.
    """
    if node.op not in DERIVATIVES:
        raise UnsupportedOperatorError(
            f"no range of the derivative of {node.op} is known, at {node.place}", wanted=", ".join(DERIVATIVES)
        )
    slack = WIDER * torch.maximum(lower.abs(), upper.abs()).amax(1, keepdim=True)
    return DERIVATIVES[node.op](node, lower - slack, upper + slack)


def _bent(bend: float, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    left, right = torch.full_like(lower, bend), torch.ones_like(lower)
    some, other = torch.where(lower > 0, right, left), torch.where(upper < 0, left, right)
    return torch.minimum(some, other), torch.maximum(some, other)


def _peaked(derivative: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """A derivative that rises up to 0 and falls from there."""
    at_lower, at_upper = derivative(lower), derivative(upper)
    nearest = derivative(torch.minimum(torch.maximum(torch.zeros_like(lower), lower), upper))
    slack = 8 * torch.finfo(lower.dtype).eps
    return (torch.minimum(at_lower, at_upper) - slack).clamp_min(0), nearest + slack


def _sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)


def _tanh(x: Tensor) -> Tensor:
    return 4 * _sigmoid(2 * x)


Range = Callable[[Node, Tensor, Tensor], tuple[Tensor, Tensor]]

DERIVATIVES: Mapping[str, Range] = {
    "relu": lambda node, lower, upper: _bent(0.0, lower, upper),
    "leaky_relu": lambda node, lower, upper: _bent(float(node.arguments["negative_slope"]), lower, upper),
    "sigmoid": lambda node, lower, upper: _peaked(_sigmoid, lower, upper),
    "tanh": lambda node, lower, upper: _peaked(_tanh, lower, upper),
}
"""Operator -> range of its derivative."""
