"""Nearest points: of an L1 ball cut to a box, and of a half-space cut to a box, in closed form by sorting breakpoints.

Croce and Hein 2021 ("Mind the box", proposition 2.1) for the first, Croce and Hein 2020b (FAB, section 2.2 and
appendix) for the second; both are the same question: how far must a level rise until a sum of clipped ramps is full?
"""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.balls import AnyNorm

NEWTON = 30
"""Steps towards a level at most; more than ten are rare."""


def water_level(slope: Tensor, room: Tensor, weight: Tensor, wanted: Tensor) -> Tensor:
    """The smallest ``t`` with ``sum_i weight_i * min(slope_i * t, room_i) >= wanted``; where none is, enough for all.

    Newton's method from 0: the sum is concave and in pieces linear, so that each step stays below the answer, and the
    last, within its piece, is exact. On a CPU it ends when nothing moves; on an accelerator nobody looks.

    Args:
        slope: ``[n, d]``, at least 0.
        room: ``[n, d]``, at least 0.
        weight: ``[n, d]``, at least 0.
        wanted: ``[n]``.

    Returns:
        ``[n]``, at least 0.
    """
    steep = slope * weight
    most = torch.where(slope > 0, room / slope.clamp_min(1e-30), 0.0).amax(1)
    within = (weight * room).sum(1) >= wanted
    level = torch.zeros_like(wanted)
    for _ in range(NEWTON):
        filled = torch.minimum(slope * level[:, None], room)
        missing = wanted - (weight * filled).sum(1)
        climbing = (steep * (filled < room)).sum(1)
        moved = torch.where(climbing > 0, missing / climbing.clamp_min(1e-30), 0.0).clamp_min(0)
        level = torch.minimum(level + moved, most)
        if level.device.type == "cpu" and not bool((moved > 1e-6 * level).any()):
            break
    return torch.where(within, level, most)


def onto_l1_ball(x: Tensor, point: Tensor, epsilon: float, lower: Tensor, upper: Tensor) -> Tensor:
    """The nearest point (in L2) of ``{z : |z - x|_1 <= epsilon, lower <= z <= upper}``, up to rounding.

    Each coordinate moves by ``min(max(|point - x| - t, 0), room)``; ``t`` is where these sum to epsilon.

    Args:
        x: centres ``[n, *shape]`` inside the box.
        point: ``[n, *shape]``.
        epsilon: radius.
        lower: lower ends of the box, broadcast to ``[n, *shape]``.
        upper: upper ends.
    """
    delta = (point - x).flatten(1)
    side = delta >= 0
    room = torch.where(side, upper - x.flatten(1), x.flatten(1) - lower) if lower.ndim == 2 else None
    if room is None:
        room = torch.where(side, (upper - x).flatten(1), (x - lower).flatten(1))
    size = delta.abs()
    move = torch.minimum(size, room)
    reserve = (size - room).clamp_min(0)
    excess = move.sum(1) - epsilon
    # lowering by t takes min(max(t - reserve, 0), move) off each coordinate: ramps that begin at ``reserve``
    level = _lowering(reserve, move, excess.clamp_min(0))
    less = torch.minimum((level[:, None] - reserve).clamp_min(0), move)
    kept = torch.where((excess > 0)[:, None], move - less, move)
    return x + (torch.where(side, kept, -kept)).reshape(x.shape)


def _lowering(start: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """The ``t`` with ``sum_i min(max(t - start_i, 0), room_i) = wanted``: breaks at both ends of every ramp."""
    breaks, order = torch.cat([start, start + room], 1).sort(1)
    change = torch.cat([torch.ones_like(start), -torch.ones_like(start)], 1).gather(1, order)
    slope = change.cumsum(1)
    steps = (breaks[:, 1:] - breaks[:, :-1]) * slope[:, :-1]
    reached = torch.cat([torch.zeros_like(wanted[:, None]), steps.cumsum(1)], 1)
    place = ((reached < wanted[:, None]).sum(1, keepdim=True) - 1).clamp_min(0)
    missing = wanted[:, None] - reached.gather(1, place)
    return (breaks.gather(1, place) + missing / slope.gather(1, place).clamp_min(1.0))[:, 0]


def onto_plane(x: Tensor, normal: Tensor, gap: Tensor, norm: AnyNorm, lower: Tensor, upper: Tensor) -> Tensor:
    """The smallest step ``[n, d]``, in ``norm``, from ``x`` onto ``{z : <normal, z - x> = gap}`` inside the box.

    Where the box does not reach the plane, the step that comes nearest to it.

    Args:
        x: ``[n, d]``, inside the box.
        normal: ``[n, d]``.
        gap: ``[n]``.
        norm: ``linf``, ``l2`` or ``l1``.
        lower: lower ends, broadcast to ``[n, d]``.
        upper: upper ends.
    """
    way = normal * gap.sign()[:, None]
    room = torch.where(way > 0, upper - x, x - lower).clamp_min(0)
    weight, wanted = normal.abs(), gap.abs()
    if norm == "l1":
        order = weight.argsort(1, descending=True)
        gain = (weight * room).gather(1, order)
        before = gain.cumsum(1) - gain
        share = ((wanted[:, None] - before) / gain.clamp_min(1e-30)).clamp(0, 1)
        size = torch.zeros_like(room).scatter(1, order, share) * room
    else:
        slope = torch.ones_like(weight) if norm == "linf" else weight
        size = torch.minimum(slope * water_level(slope, room, weight, wanted)[:, None], room)
    return size * way.sign()
