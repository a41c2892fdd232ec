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
"""The two norms that attacks and certificates both speak of."""

AnyNorm = Literal["linf", "l2", "l1", "l0"]
"""All norms of attacks; ``l0`` is the number of coordinates that differ."""

NORM_NAMES: dict[AnyNorm, str] = {"linf": "L-inf", "l2": "L2", "l1": "L1", "l0": "L0"}
"""As people write them."""

_ORDERS: dict[AnyNorm, float] = {"linf": math.inf, "l2": 2, "l1": 1, "l0": 0}


def distance(x: Tensor, other: Tensor, norm: AnyNorm) -> Tensor:
    """``[n, *shape]`` twice -> float64 ``[n]`` in input units."""
    difference = (other.double() - x.double()).flatten(1)
    size: Tensor = torch.linalg.vector_norm(difference, ord=_ORDERS[norm], dim=1)
    return size


def inside(x: Tensor, candidates: Tensor, epsilon: float, norm: AnyNorm, box: Box) -> Tensor:
    """Bool ``[n]``: the candidate lies in the box and in the closed ball around its ``x``; NaN lies nowhere.

    For L-inf and L0 the comparison is exact (the error of the float64 subtraction is accounted for); for L2 it is that
    of the float64 norm, the same as ``robust.properties.L2Ball.contains``; for L1 the float64 sum must stay below the
    radius by more than its own rounding.
    """
    in_box = box.contains(candidates)
    if norm == "l1":
        size = distance(x, candidates, norm)
        return in_box & ((size * (1 + _summing(x)) <= epsilon) | (size == 0))
    if norm != "linf":
        return in_box & (distance(x, candidates, norm) <= epsilon)
    return in_box & ~_exceeds(candidates, x, epsilon).flatten(1).any(1)


def project(x: Tensor, candidates: Tensor, epsilon: float, norm: AnyNorm, box: Box) -> Tensor:
    """The candidates brought into ball and box: projected in float64, then rounded to float32 *towards* ``x``.

    For L-inf the result also lies between the float32 numbers ``x - epsilon`` and ``x + epsilon``, which is how
    ``robust.properties.linf_ball`` writes the same ball down, so that attack and certificate speak of one set. L2 and
    L1: along the ray to the candidate. L0: the largest moves stay.

    Args:
        x: centres float32 ``[n, *shape]``, inside the box.
        candidates: ``[n, *shape]``; NaN becomes the centre.
        epsilon: radius in input units; for L0 a number of coordinates.
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
    if norm == "l0":
        return box.clamp(torch.where(_largest(delta, int(epsilon)), candidates.to(x.dtype), x))
    delta = box.clamp(candidates.to(x.dtype)).double() - x.double() if norm == "l1" else delta
    size = torch.linalg.vector_norm(delta.flatten(1), ord=_ORDERS[norm], dim=1)
    slack = max(1e-12, 2 * _summing(x))
    factor = torch.where(size > epsilon * (1 - slack), epsilon / size.clamp_min(1e-300) * (1 - slack), 1.0)
    wanted = x.double() + delta * factor.clamp_max(1.0).reshape(-1, *(1 for _ in x.shape[1:]))
    near = wanted.to(x.dtype)
    too_far = (near.double() - x.double()).abs() > (wanted - x.double()).abs()
    return box.clamp(torch.where(too_far, torch.nextafter(near, x), near))


def _summing(x: Tensor) -> float:
    """Relative error of a float64 sum over one sample, whatever its order."""
    return 2.0**-52 * (math.prod(x.shape[1:]) + 2)


def _largest(delta: Tensor, count: int) -> Tensor:
    """Bool ``[n, *shape]``: the ``count`` largest entries of each row, exactly so many."""
    flat = delta.abs().flatten(1)
    places = flat.topk(min(max(count, 0), flat.shape[1]), 1).indices
    return torch.zeros_like(flat, dtype=torch.bool).scatter(1, places, True).reshape(delta.shape)


def uniform_in_ball(count: int, shape: tuple[int, ...], norm: AnyNorm, generator: torch.Generator) -> Tensor:
    """Points drawn uniformly from the unit ball, float32 ``[count, *shape]`` on the CPU.

    L2: a direction from normal numbers times ``u ** (1 / d)`` (Muller 1959). L1: exponential numbers with random
    signs over their sum with one more (Barthe et al. 2005).

    Raises:
        PropertyError: L0, whose ball is a union of planes.
    """
    if norm == "l0":
        raise PropertyError("nothing is drawn uniformly from an L0 ball", wanted="linf, l2 or l1", got=norm)
    if norm == "linf":
        return torch.rand(count, *shape, generator=generator) * 2 - 1
    if norm == "l1":
        sizes = torch.empty(count, math.prod(shape) + 1).exponential_(generator=generator)
        signs = torch.randint(2, (count, math.prod(shape)), generator=generator) * 2 - 1
        return (signs * sizes[:, :-1] / sizes.sum(1, keepdim=True)).reshape(count, *shape)
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
