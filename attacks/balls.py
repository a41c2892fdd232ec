"""Distances and balls, to the last bit: where a witness may lie, and how a candidate is brought there.

All distances are taken in float64 of float32 points, so that two people who measure the same witness agree.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.input_sets import Box

Norm = Literal["linf", "l2"]
"""The two norms that the gradient attacks and the certificates speak of."""

NORM_NAMES: dict[Norm, str] = {"linf": "L-inf", "l2": "L2"}
"""As people write them."""


def distance(x: Tensor, other: Tensor, norm: Norm) -> Tensor:
    """``[n, *shape]`` twice -> float64 ``[n]`` in input units."""
    difference = (other.double() - x.double()).flatten(1)
    size: Tensor = torch.linalg.vector_norm(difference, ord=math.inf if norm == "linf" else 2, dim=1)
    return size


def inside(x: Tensor, candidates: Tensor, epsilon: float, norm: Norm, box: Box) -> Tensor:
    """Bool ``[n]``: the candidate lies in the box and in the closed ball around its ``x``; NaN lies nowhere.

    For L-inf the comparison is exact (the error of the float64 subtraction is accounted for); for L2 it is that of
    the float64 norm, the same as ``robust.properties.L2Ball.contains``.
    """
    in_box = box.contains(candidates)
    if norm == "l2":
        return in_box & (distance(x, candidates, norm) <= epsilon)
    return in_box & ~_exceeds(candidates, x, epsilon).flatten(1).any(1)


def project(x: Tensor, candidates: Tensor, epsilon: float, norm: Norm, box: Box) -> Tensor:
    """The candidates brought into ball and box: projected in float64, then rounded to float32 *towards* ``x``.

    For L-inf the result also lies between the float32 numbers ``x - epsilon`` and ``x + epsilon``, which is how
    ``robust.properties.linf_ball`` writes the same ball down, so that attack and certificate speak of one set.

    Args:
        x: centres float32 ``[n, *shape]``, inside the box.
        candidates: ``[n, *shape]``; NaN becomes the centre.
        epsilon: radius in input units.
        norm: which ball.
        box: the input box.

    Returns:
        float32 ``[n, *shape]``, for which ``inside`` holds.
    """
    candidates = torch.where(torch.isfinite(candidates), candidates, x)
    delta = candidates.double() - x.double()
    if norm == "linf":
        near = (x.double() + delta.clamp(-epsilon, epsilon)).to(x.dtype)
        near = torch.minimum(torch.maximum(near, x - epsilon), x + epsilon)
        for _ in range(2):
            near = torch.where(_exceeds(near, x, epsilon), torch.nextafter(near, x), near)
        return box.clamp(near)
    size = torch.linalg.vector_norm(delta.flatten(1), dim=1)
    factor = torch.where(size > epsilon, epsilon / size.clamp_min(1e-300) * (1 - 1e-12), torch.ones_like(size))
    wanted = x.double() + delta * factor.reshape(-1, *(1 for _ in x.shape[1:]))
    near = wanted.to(x.dtype)
    too_far = (near.double() - x.double()).abs() > (wanted - x.double()).abs()
    return box.clamp(torch.where(too_far, torch.nextafter(near, x), near))


def uniform_in_ball(count: int, shape: tuple[int, ...], norm: Norm, generator: torch.Generator) -> Tensor:
    """Points drawn uniformly from the unit ball, float32 ``[count, *shape]`` on the CPU.

    L2: a direction from normal numbers times ``u ** (1 / d)`` (Muller 1959).
    """
    if norm == "linf":
        return torch.rand(count, *shape, generator=generator) * 2 - 1
    normal = torch.randn(count, *shape, generator=generator)
    radius = torch.rand(count, generator=generator) ** (1 / max(1, math.prod(shape)))
    size: Tensor = torch.linalg.vector_norm(normal.flatten(1), dim=1).clamp_min(1e-30)
    return normal * (radius / size).reshape(-1, *(1 for _ in shape))


def check_epsilon(epsilon: float) -> float:
    """The radius, if it is one.

    Raises:
        PropertyError: negative, NaN or infinite.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise PropertyError("an attack needs a radius", wanted="a finite epsilon >= 0 in input units", got=epsilon)
    return float(epsilon)


def _exceeds(points: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Elementwise ``|points - x| > epsilon`` over the reals, by the error-free difference of Knuth (TwoSum)."""
    a, b = points.double(), -x.double()
    total = a + b
    back = total - a
    error = (a - (total - back)) + (b - back)
    size = total.abs()
    return (size > epsilon) | ((size == epsilon) & (error * total.sign() > 0))
