"""Linear relaxations of elementwise functions: two lines per neuron that enclose the function between its bounds.

A relaxation takes the bounds of its operand and gives ``lower_slope * x + lower_intercept <= f(x) <= upper_slope * x +
upper_intercept`` for every ``x`` between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.graph import Node


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Slopes and intercepts, each ``[n, elements]``; an intercept of None is zero everywhere."""

    lower_slope: Tensor
    upper_slope: Tensor
    upper_intercept: Tensor
    lower_intercept: Tensor | None = None

    def take(self, samples: Tensor) -> Relaxation:
        """The lines of some of the samples."""
        below = None if self.lower_intercept is None else self.lower_intercept[samples]
        return Relaxation(self.lower_slope[samples], self.upper_slope[samples], self.upper_intercept[samples], below)


Rule = Callable[[Node, Tensor, Tensor, Tensor | None], Relaxation]
"""From the node, lower and upper bounds ``[n, elements]`` and chosen lower slopes (or None) to two lines."""


def relu(node: Node, lower: Tensor, upper: Tensor, slopes: Tensor | None = None) -> Relaxation:
    """ReLU: the chord above; below, any slope in [0, 1].

    Without ``slopes`` the lower one is 1 where the upper triangle is the larger and else 0, which makes the smaller
    area (CROWN-Ada: Zhang et al., Efficient Neural Network Robustness Certification, 2018, section 3.3).
    """
    return _bent(lower, upper, 0.0, slopes)


def leaky_relu(node: Node, lower: Tensor, upper: Tensor, slopes: Tensor | None = None) -> Relaxation:
    """``max(x, s x)`` with ``0 <= s <= 1``: as ReLU, with lower slopes in [s, 1]."""
    return _bent(lower, upper, float(node.arguments["negative_slope"]), slopes)


def _bent(lower: Tensor, upper: Tensor, bend: float, slopes: Tensor | None) -> Relaxation:
    active, inactive = lower >= 0, upper <= 0
    chosen = torch.where(upper > -lower, 1.0, bend).to(lower) if slopes is None else slopes.clamp(bend, 1.0)
    chord = (upper - bend * lower) / (upper - lower)
    intercept = upper - chord * upper
    below = torch.where(inactive, bend, torch.where(active, 1.0, chosen)).to(lower)
    above = torch.where(inactive, bend, torch.where(active, 1.0, chord)).to(lower)
    return Relaxation(below, above, torch.where(active | inactive, 0.0, intercept).to(lower))


def sigmoid(node: Node, lower: Tensor, upper: Tensor, slopes: Tensor | None = None) -> Relaxation:
    """Logistic function; see ``_s_shaped``."""
    return _s_shaped(torch.sigmoid, lambda x: torch.sigmoid(x) * torch.sigmoid(-x), lower, upper)


def tanh(node: Node, lower: Tensor, upper: Tensor, slopes: Tensor | None = None) -> Relaxation:
    """Hyperbolic tangent; see ``_s_shaped``."""
    return _s_shaped(torch.tanh, lambda x: 1 / torch.cosh(x.clamp(-40, 40)) ** 2, lower, upper)


def _s_shaped(
    f: Callable[[Tensor], Tensor], derivative: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor
) -> Relaxation:
    """Increasing, convex left of 0 and concave right of it (Singh et al., DeepPoly, 2019, section 4.4).

    On one side of 0: the chord and the tangent in the middle. Across 0: through each end a line with the smaller of
    the two end slopes, which the function, steeper everywhere between, cannot cross. Narrow intervals: constants.
    """
    at_lower, at_upper, width = f(lower), f(upper), upper - lower
    middle = (lower + upper) / 2
    tangent, at_middle = derivative(middle), f(middle)
    chord = (at_upper - at_lower) / width
    flat = torch.minimum(derivative(lower), derivative(upper))
    narrow = width < 1e-5
    concave, convex = (lower >= 0) & ~narrow, (upper <= 0) & ~narrow
    zero = torch.zeros_like(flat)
    below = torch.where(narrow, zero, torch.where(concave, chord, torch.where(convex, tangent, flat)))
    above = torch.where(narrow, zero, torch.where(convex, chord, torch.where(concave, tangent, flat)))
    below_at = torch.where(convex, at_middle - below * middle, at_lower - below * lower)
    above_at = torch.where(concave, at_middle - above * middle, at_upper - above * upper)
    slack = 4 * torch.finfo(lower.dtype).eps * (1 + below.abs() * torch.maximum(lower.abs(), upper.abs()))
    return Relaxation(below, above, above_at + slack, below_at - slack)


RELAXATIONS: Mapping[str, Rule] = {"relu": relu, "leaky_relu": leaky_relu, "sigmoid": sigmoid, "tanh": tanh}
"""Operator -> relaxation. Engines take such a table as a parameter."""

PIECEWISE_LINEAR = frozenset({"relu", "leaky_relu"})
"""Functions that are one line where their operand has one sign."""
