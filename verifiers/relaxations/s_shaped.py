"""S-shaped functions: increasing, convex left of 0 and concave right of it. Sigmoid, tanh, error function, arc
tangent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from verifiers.relaxations.curve import Curve, Function, Stretch
from verifiers.relaxations.tangency import Tangency


def s_shaped(f: Function, derivative: Function, limits: tuple[float, float], *, error: float = 0) -> Curve:
    """A curve whose slope is largest at 0 and falls on both sides."""
    right = Tangency(f, derivative, 1.0, -math.inf, 0.0, left=False)
    left = Tangency(f, derivative, -1.0, 0.0, math.inf, left=True)
    return Curve(
        f,
        derivative,
        convex=(Stretch(end=0.0, from_right=right),),
        concave=(Stretch(start=0.0, from_left=left),),
        bends=(0.0,),
        limits=limits,
        value_error=error,
        slope_error=error,
    )


def _sigmoid_slope(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)


SIGMOID = s_shaped(torch.sigmoid, _sigmoid_slope, (0, 1))

TANH = s_shaped(torch.tanh, lambda x: 4 * _sigmoid_slope(2 * x), (-1, 1))

ERROR_FUNCTION = s_shaped(
    torch.erf, lambda x: (2 / math.sqrt(math.pi)) * torch.exp(-(x.clamp(-40, 40) ** 2)), (-1, 1), error=4
)

ARC_TANGENT = s_shaped(torch.atan, lambda x: 1 / (1 + x * x), (-math.pi / 2 * (1 + 1e-6), math.pi / 2 * (1 + 1e-6)))
