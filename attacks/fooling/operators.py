"""Variation operators of real-coded evolution over the unit cube."""

from __future__ import annotations

import torch
from torch import Tensor


def polynomial_mutation(parents: Tensor, rate: float, strength: float, generator: torch.Generator) -> Tensor:
    """Each coordinate is chosen with probability ``rate`` and moved by the polynomial distribution (Deb 2001, 4.1.2).

    ``delta = (2u)^(1/(strength+1)) - 1`` for ``u < 1/2`` and ``1 - (2(1-u))^(1/(strength+1))`` otherwise; the larger
    the strength, the smaller the steps. A row where nobody was chosen gets one coordinate, so no child is a copy.

    Args:
        parents: ``[n, *shape]`` in the unit cube.
        rate: in (0, 1].
        strength: the index eta, above 0.
        generator: owns the randomness; on the CPU, so that the numbers are the same on any device.

    Returns:
        ``[n, *shape]``, clipped to the unit cube.
    """
    flat = parents.flatten(1)
    draws = torch.rand(2, *flat.shape, generator=generator).to(flat)
    chosen = draws[0] < rate
    forced = draws[0] == draws[0].amin(1, keepdim=True)
    u = draws[1]
    power = 1 / (strength + 1)
    delta = torch.where(u < 0.5, (2 * u) ** power - 1, 1 - (2 * (1 - u)) ** power)
    moved = torch.where(chosen | forced, flat + delta, flat)
    return moved.clamp(0, 1).reshape(parents.shape)


def simulated_binary_crossover(
    first: Tensor, second: Tensor, rate: float, index: float, generator: torch.Generator
) -> Tensor:
    """One child of each pair (Deb and Agrawal 1995): ``((1 + b) first + (1 - b) second) / 2``.

    ``b = (2u)^(1/(index+1))`` for ``u < 1/2`` and ``(1 / (2(1-u)))^(1/(index+1))`` otherwise, per coordinate; half of
    the coordinates of a crossed pair are mixed, the others stay the first parent's.

    Args:
        first: ``[n, *shape]`` in the unit cube.
        second: the same.
        rate: probability that a pair is crossed at all.
        index: the distribution index eta_c, above 0.
        generator: owns the randomness, on the CPU.

    Returns:
        ``[n, *shape]``, clipped to the unit cube.
    """
    a, b = first.flatten(1), second.flatten(1)
    draws = torch.rand(2, *a.shape, generator=generator).to(a)
    crossed = torch.rand(len(a), 1, generator=generator).to(a) < rate
    u = draws[0].clamp(max=1 - 1e-7)
    spread = torch.where(u < 0.5, 2 * u, 1 / (2 * (1 - u))) ** (1 / (index + 1))
    mixed = 0.5 * ((1 + spread) * a + (1 - spread) * b)
    child = torch.where(crossed & (draws[1] < 0.5), mixed, a)
    return child.clamp(0, 1).reshape(first.shape)
