"""Where a linear function is minimal over a ball cut to a box, for whole batches: the move from the centre.

Every function takes coefficients ``[n or 1, m, e]`` and the room around the centres ``low <= 0 <= high``, each
``[n, 1, e]``, and gives moves or gains for ``n`` sets times ``m`` functions. No loops over coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor

L2_STEPS = 8
"""Rounds of ``l2_move``; each fills the budget that clipping left over, and it stays feasible throughout."""


def room(coefficients: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far each coordinate may go in the direction that lowers the function: ``[n, m, e]``, at least 0."""
    return torch.where(coefficients > 0, -low, high)


def l1_gain(coefficients: Tensor, low: Tensor, high: Tensor, budget: Tensor) -> Tensor:
    """By how much ``<a, d>`` can fall below 0 for ``low <= d <= high`` and ``||d||_1 <= budget``: exact, ``[n, m]``.

    A fractional knapsack (Dantzig, Discrete-variable extremum problems, 1957): a unit of budget spent on coordinate
    ``i`` earns ``|a_i|`` until the box stops it, so the dearest coordinates are filled first.

    Args:
        coefficients: ``[n or 1, m, e]``.
        low: ``[n, 1, e]``, at most 0.
        high: ``[n, 1, e]``, at least 0.
        budget: ``[n]``.
    """
    earned, _, spent = _knapsack(coefficients, low, high, budget)
    return (earned * spent).sum(2)


def l1_move(coefficients: Tensor, low: Tensor, high: Tensor, budget: Tensor) -> Tensor:
    """The move ``[n, m, e]`` that attains ``l1_gain``."""
    _, order, spent = _knapsack(coefficients, low, high, budget)
    return torch.zeros_like(spent).scatter_(2, order, spent) * -coefficients.sign()


def _knapsack(coefficients: Tensor, low: Tensor, high: Tensor, budget: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    caps = room(coefficients, low, high)
    earned, order = coefficients.abs().expand_as(caps).sort(dim=2, descending=True)
    caps = caps.gather(2, order)
    before = caps.cumsum(2) - caps
    spent = torch.minimum((budget[:, None, None] - before).clamp_min(0), caps)
    return earned, order, spent


def l0_gain(coefficients: Tensor, low: Tensor, high: Tensor, pixels: Tensor, groups: int, most: int) -> Tensor:
    """By how much ``<a, d>`` can fall below 0 when at most ``pixels`` pixels differ from 0: exact, ``[n, m]``.

    Pixels gain independently of each other, so the ``pixels`` largest gains add up.

    Args:
        coefficients: ``[n or 1, m, e]``.
        low: ``[n, 1, e]``, at most 0.
        high: ``[n, 1, e]``, at least 0.
        pixels: int64 ``[n]``.
        groups: channels that count as one pixel; coordinate ``i`` belongs to pixel ``i % (e / groups)``.
        most: the largest of ``pixels``.
    """
    best, _ = _best_pixels(coefficients, low, high, pixels, groups, most)
    return best.sum(2)


def l0_move(coefficients: Tensor, low: Tensor, high: Tensor, pixels: Tensor, groups: int, most: int) -> Tensor:
    """The move ``[n, m, e]`` that attains ``l0_gain``."""
    best, places = _best_pixels(coefficients, low, high, pixels, groups, most)
    caps = room(coefficients, low, high)
    chosen = torch.zeros_like(caps[:, :, : caps.shape[2] // groups]).scatter_(2, places, (best > 0).to(caps))
    return caps * -coefficients.sign() * chosen.repeat(1, 1, groups)


def _best_pixels(
    coefficients: Tensor, low: Tensor, high: Tensor, pixels: Tensor, groups: int, most: int
) -> tuple[Tensor, Tensor]:
    """Gains and places of the best pixels, ``[n, m, most]`` each; gains beyond a set's own ``pixels`` are 0."""
    gains = coefficients.abs() * room(coefficients, low, high)
    best, places = by_pixel(gains, groups).sum(2).topk(most, dim=2)
    allowed = torch.arange(most, device=pixels.device) < pixels[:, None]
    return best * allowed[:, None], places


def by_pixel(values: Tensor, groups: int) -> Tensor:
    """``[..., e]`` to ``[..., groups, e / groups]``: the channels of a pixel under each other."""
    return values.reshape(*values.shape[:-1], groups, -1)


def l2_move(coefficients: Tensor, low: Tensor, high: Tensor, radius: Tensor) -> Tensor:
    """A feasible move ``[n, m, e]`` with ``low <= d <= high``, ``||d||_2 <= radius`` and ``<a, d>`` close to minimal.

    The minimum is at ``clip(-t a)`` for the largest ``t`` within the radius. Starting at ``radius / ||a||``, each round
    scales the coordinates that are not clipped so that they alone would fill what is left; ``t`` only grows, and the
    length never exceeds the radius but for rounding, which a last scaling removes.
    """
    tiny, largest = torch.finfo(coefficients.dtype).tiny, torch.finfo(coefficients.dtype).max
    norm: Tensor = torch.linalg.vector_norm(coefficients, dim=2)
    step: Tensor = (radius[:, None] / norm.clamp_min(tiny)).clamp_max(largest)
    squared = radius[:, None] ** 2
    for _ in range(L2_STEPS):
        wish = coefficients * -step[:, :, None]
        move = torch.minimum(torch.maximum(wish, low), high)
        inside = torch.where(move == wish, wish, 0.0).square().sum(2)
        left = (squared - (move * move).sum(2)).clamp_min(0)
        step = (step * (1 + left / inside.clamp_min(tiny)).sqrt().clamp_max(1e3)).clamp_max(largest)
    move = torch.minimum(torch.maximum(coefficients * -step[:, :, None], low), high)
    length: Tensor = torch.linalg.vector_norm(move, dim=2).clamp_min(tiny)
    shrink: Tensor = (radius[:, None] / length).clamp_max(1.0)
    return move * shrink[:, :, None]
