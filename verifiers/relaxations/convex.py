"""Functions that bend one way: exponential, logarithm, square roots, softplus, log-sigmoid."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.curve import WHOLE, Curve

EXPONENTIAL = Curve(torch.exp, torch.exp, convex=WHOLE, limits=(0, math.inf))

# Adding 0 turns a negative zero, whose reciprocal is minus infinity, into a positive one.
LOGARITHM = Curve(torch.log, lambda x: torch.reciprocal(x + 0.0), concave=WHOLE, domain=0, relative=True)

SQUARE_ROOT = Curve(
    torch.sqrt, lambda x: 0.5 * torch.rsqrt(x + 0.0), concave=WHOLE, domain=0, limits=(0, math.inf), relative=True
)

INVERSE_ROOT = Curve(
    torch.rsqrt,
    lambda x: -0.5 * torch.rsqrt(x) / x,
    convex=WHOLE,
    domain=0,
    open_domain=True,
    limits=(0, math.inf),
    relative=True,
)

NOTHING_KNOWN = Curve(lambda x: torch.full_like(x, torch.nan), lambda x: torch.full_like(x, torch.nan))
"""Of parameters that no rule is written for: infinite bounds."""


def softplus(node: Node) -> Curve:
    """``log(1 + exp(beta x)) / beta``, or ``x`` where ``beta x`` exceeds the threshold: both are enclosed."""
    return _softplus(float(node.arguments.get("beta", 1)), float(node.arguments.get("threshold", 20)))


@lru_cache(maxsize=64)
def _softplus(beta: float, threshold: float) -> Curve:
    if not 0 < beta < math.inf:
        return NOTHING_KNOWN

    def f(x: Tensor) -> Tensor:
        return x.clamp_min(0) + torch.log1p(torch.exp(-(beta * x).abs())) / beta

    gap = (max(-threshold, 0.0) + math.log1p(math.exp(-abs(threshold)))) / beta
    return Curve(
        f,
        lambda x: torch.sigmoid(beta * x),
        convex=WHOLE,
        limits=(min(0.0, threshold / beta), math.inf),
        scale=1 / beta,
        value_error=2 / beta,
        slope_error=2,
        excess=(0.999 * threshold / beta if threshold > 0 else 1.001 * threshold / beta - 1e-6, gap),
    )


def log_sigmoid(node: Node) -> Curve:
    """``-log(1 + exp(-x))``."""
    return _LOG_SIGMOID


_LOG_SIGMOID = Curve(
    lambda x: x.clamp_max(0) - torch.log1p(torch.exp(-x.abs())),
    lambda x: torch.sigmoid(-x),
    concave=WHOLE,
    limits=(-math.inf, 0),
)
