"""Functions that bend more than once: GELU, SiLU, Mish, hardswish, ELU.

GELU, SiLU and Mish are concave, convex, concave; hardswish is linear, a parabola, linear; ELU with a left slope above
its right slope (SELU) is convex, then linear after a corner. Turns and bends were computed to 20 digits.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.convex import NOTHING_KNOWN
from verifiers.relaxations.curve import WHOLE, Curve, Function, Stretch
from verifiers.relaxations.tangency import Tangency


def _two_tails(f: Function, derivative: Function, bends: tuple[float, float], turn: float, lowest: float) -> Curve:
    """Concave left of the first bend and right of the second, convex between."""
    first, second = bends
    return Curve(
        f,
        derivative,
        convex=(
            Stretch(
                first,
                second,
                Tangency(f, derivative, 1.0, first, second, left=True),
                Tangency(f, derivative, 1.0, first, second, left=False),
            ),
        ),
        concave=(
            Stretch(end=first, from_right=Tangency(f, derivative, -1.0, -math.inf, first, left=False)),
            Stretch(start=second, from_left=Tangency(f, derivative, -1.0, second, math.inf, left=True)),
        ),
        turns=(turn,),
        bends=bends,
        limits=(lowest, math.inf),
        value_error=4,
        slope_error=4,
    )


def _silu(x: Tensor) -> Tensor:
    y = x.clamp_min(-1e4)
    return y * torch.sigmoid(y)


def _silu_slope(x: Tensor) -> Tensor:
    y = x.clamp(-1e4, 1e4)
    return torch.sigmoid(y) * (1 + y * torch.sigmoid(-y))


def _gelu(x: Tensor) -> Tensor:
    y = x.clamp_min(-40)
    return y * torch.erfc(y * -math.sqrt(0.5)) / 2


def _gelu_slope(x: Tensor) -> Tensor:
    y = x.clamp(-40, 40)
    return torch.erfc(y * -math.sqrt(0.5)) / 2 + y * torch.exp(-y * y / 2) * (1 / math.sqrt(2 * math.pi))


_TWO_K, _CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715


def _tanh_gelu(x: Tensor) -> Tensor:
    y = x.clamp_min(-100)
    return y * torch.sigmoid(_TWO_K * (y + _CUBIC * y**3))


def _tanh_gelu_slope(x: Tensor) -> Tensor:
    y = x.clamp(-100, 100)
    z = _TWO_K * (y + _CUBIC * y**3)
    return torch.sigmoid(z) * (1 + y * torch.sigmoid(-z) * (_TWO_K * (1 + 3 * _CUBIC * y * y)))


def _softplus(x: Tensor) -> Tensor:
    return x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))


def _mish(x: Tensor) -> Tensor:
    y = x.clamp_min(-1e4)
    return y * torch.tanh(_softplus(y))


def _mish_slope(x: Tensor) -> Tensor:
    y = x.clamp(-1e4, 1e4)
    twice = 2 * _softplus(y)
    return torch.tanh(twice / 2) + y * torch.sigmoid(y) * 4 * torch.sigmoid(twice) * torch.sigmoid(-twice)


SILU = _two_tails(_silu, _silu_slope, (-2.3993572805154677, 2.3993572805154677), -1.2784645427610738, -0.2784646)
GELU = _two_tails(_gelu, _gelu_slope, (-math.sqrt(2), math.sqrt(2)), -0.75179152469356446, -0.1699713)
TANH_GELU = _two_tails(
    _tanh_gelu, _tanh_gelu_slope, (-1.4185040087908284, 1.4185040087908284), -0.75246142207101626, -0.1700408
)
MISH = _two_tails(_mish, _mish_slope, (-2.2563763963607931, 1.4905711794854284), -1.1924312145154952, -0.3088435)


def gelu(node: Node) -> Curve:
    """The exact GELU or its approximation by tanh (Hendrycks and Gimpel, Gaussian Error Linear Units, 2016)."""
    return TANH_GELU if node.arguments.get("approximate", "none") == "tanh" else GELU


def _hardswish(x: Tensor) -> Tensor:
    y = x.clamp_min(-3)
    return y * ((y + 3).clamp_max(6) / 6)


def _hardswish_slope(x: Tensor) -> Tensor:
    return torch.where(x.abs() <= 3, (2 * x + 3) / 6, (x > 0).to(x))


HARDSWISH = Curve(
    _hardswish,
    _hardswish_slope,
    convex=(
        Stretch(
            -3.0,
            3.0,
            Tangency(_hardswish, _hardswish_slope, 1.0, -3.0, 3.0, left=True),
            Tangency(_hardswish, _hardswish_slope, 1.0, -3.0, 3.0, left=False),
        ),
    ),
    corners=(-3.0, 3.0),
    turns=(-1.5,),
    bends=(-3.0, 3.0),
    limits=(-0.375000001, math.inf),
    value_error=1,
    slope_error=2,
)
"""``x clamp(x + 3, 0, 6) / 6``. Above, the parabola lies below its chord, so only its two ends matter."""


def elu(node: Node) -> Curve:
    """``scale x`` right of 0, ``scale alpha (exp(input_scale x) - 1)`` left of it. Infinite bounds of a negative
    factor."""
    names = ("alpha", "scale", "input_scale")
    alpha, scale, inner = (float(node.arguments.get(name, 1.0)) for name in names)
    return _elu(alpha, scale, inner)


@lru_cache(maxsize=64)
def _elu(alpha: float, scale: float, inner: float) -> Curve:
    if not (0 <= alpha < math.inf and 0 <= scale < math.inf and 0 < inner < math.inf):
        return NOTHING_KNOWN

    def f(x: Tensor) -> Tensor:
        return scale * (x.clamp_min(0) + alpha * torch.expm1(inner * x.clamp_max(0)))

    def derivative(x: Tensor) -> Tensor:
        return scale * torch.where(x > 0, 1.0, alpha * inner * torch.exp(inner * x.clamp_max(0)))

    largest = scale * max(1.0, alpha, alpha * inner)
    convex, corners = WHOLE, None
    if alpha * inner > 1 + 1e-15:
        tangency = Tangency(f, derivative, 1.0, -math.inf, 0.0, left=False)
        convex, corners = (Stretch(end=0.0, from_right=tangency),), (0.0,)
    return Curve(
        f,
        derivative,
        convex=convex,
        corners=corners,
        bends=(0.0, 1e-30),
        scale=1 / inner,
        value_error=3 * largest,
        slope_error=3 * largest,
    )
