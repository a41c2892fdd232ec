"""Sigmoid and tanh."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.rule import Interval, Lines, Relaxation

Function = Callable[[Tensor], Tensor]


def _tanh_slope(x: Tensor) -> Tensor:
    return 1 / torch.cosh(x.clamp(-40, 40)) ** 2


def _sigmoid_slope(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)


FUNCTIONS: dict[str, tuple[Function, Function, float]] = {
    "sigmoid": (torch.sigmoid, _sigmoid_slope, 0.25),
    "tanh": (torch.tanh, _tanh_slope, 1.0),
}
"""Operator -> function, derivative, largest slope."""


class SShaped:
    """Increasing, convex left of 0 and concave right of it (Singh et al., DeepPoly, 2019, section 4.4).

    On one side of 0: the chord and the tangent in the middle. Across 0: through each end a line with the smaller of
    the two end slopes, which the function, steeper everywhere between, cannot cross. Narrow intervals: constants.
    """

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """The function is monotone: ends go to ends."""
        f, _, _ = FUNCTIONS[node.op]
        lower, upper = operands[0]
        return f(lower), f(upper)

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """Two lines."""
        f, derivative, _ = FUNCTIONS[node.op]
        lower, upper = operands[0]
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
        return Relaxation(Lines((below,), below_at - slack), Lines((above,), above_at + slack))

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """Between 0 and the steepest."""
        lower, _ = operands[0]
        return [(torch.zeros_like(lower), torch.full_like(lower, FUNCTIONS[node.op][2]))]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Everywhere."""
        lower, upper = operands[0]
        return upper > lower
