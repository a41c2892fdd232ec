"""Planes around the maximum of a few variables, tighter above than the largest upper bound.

Above ``max_j x_j`` over a box ``l <= x <= u``, with weights ``0 <= w <= 1``, the least constant of a plane ``sum_i
w_i (x_i - l_i) + c`` is ``c = max_j [u_j - w_j (u_j - l_j)]``: for a fixed ``j``, ``x_j - sum_i w_i (x_i - l_i)``
rises with ``x_j`` and falls with the others, so it is largest at ``x_j = u_j`` and ``x_i = l_i``. Hence every plane
here is sound, and none with its weights is lower.

Its height in the middle of the box is ``c + sum_i w_i (u_i - l_i) / 2``. A level ``c`` costs ``w_j = (u_j - c) / (u_j
- l_j)`` for each ``u_j > c``; so the height falls with ``c`` down to the second largest upper bound, is level down to
the third, and rises below it. Both ends of that level stretch are given (the constant, in comparison, is ``(u_1 -
u_2) / 2`` higher), but never below the largest lower bound, where a window is decided: there the plane is the
variable itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import Node


@dataclass(frozen=True, eq=False)
class MaximumLines:
    """``sum_j weights[..., j] x_j + intercept`` over the operand elements ``x_j`` that ``node.windows`` names.

    Attributes:
        weights: ``[n, elements, k]`` (families: ``[K, n, elements, k]``), 0 at padding.
        intercept: ``[n, elements]`` (families: ``[K, n, elements]``).
    """

    weights: Tensor
    intercept: Tensor


@dataclass(frozen=True, eq=False)
class MaximumRelaxation:
    """Planes below and above the maximum of every window.

    Attributes:
        lower: the element with the largest lower bound.
        upper: the level in the middle between those of ``family``.
        eligible: bool ``[n, elements, k]``: elements that may be the largest. Any convex combination of elements of the
            window is a valid lower plane; of these, none is superfluous.
        family: upper planes ``[2, n, elements, ...]``, each valid, so are their convex combinations.
        open: bool ``[n, elements]``: windows that are not decided.
    """

    lower: MaximumLines
    upper: MaximumLines
    eligible: Tensor
    family: MaximumLines
    open: Tensor


def maximum_lines(node: Node, lower: Tensor, upper: Tensor) -> MaximumRelaxation:
    """Relax a ``Kind.MAXIMUM`` node from bounds ``[n, operand elements]``.

    Raises:
        UnsupportedOperatorError: the node has no windows.
    """
    windows = node.windows
    if windows is None:
        raise UnsupportedOperatorError(f"{node.op} has no windows, at {node.place}")
    padding = windows < 0
    low = lower[:, windows.clamp_min(0)].masked_fill(padding, -torch.inf)
    high = upper[:, windows.clamp_min(0)].masked_fill(padding, -torch.inf)
    best, place = low.max(2)
    picked = torch.zeros_like(low).scatter_(2, place[:, :, None], 1.0)
    others = high.masked_fill(picked.bool(), -torch.inf).amax(2)
    open_ = others > best
    family = _family(low, high, best, picked, open_)
    upper_plane = MaximumLines(family.weights.mean(0), family.intercept.mean(0))
    eligible = torch.where(open_[:, :, None], high > best[:, :, None], picked.bool())
    below = MaximumLines(picked, torch.zeros_like(best))
    return MaximumRelaxation(below, upper_plane, eligible, family, open_)


def _family(low: Tensor, high: Tensor, best: Tensor, picked: Tensor, open_: Tensor) -> MaximumLines:
    """The planes at the second and the third largest upper bound, or at the largest lower bound."""
    ranked = high.topk(min(3, high.shape[2]), dim=2).values
    levels = [torch.maximum(ranked[:, :, min(i, ranked.shape[2] - 1)], best) for i in (1, 2)]
    levels = [levels[0], levels[1] if ranked.shape[2] > 2 else best]
    planes = [_plane(low, high, level) for level in levels]
    weights = torch.stack([torch.where(open_[:, :, None], plane[0], picked) for plane in planes])
    intercept = torch.stack([torch.where(open_, plane[1], 0.0) for plane in planes])
    return MaximumLines(weights, intercept)


def _plane(low: Tensor, high: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Weights that hold the maximum at ``level``, and the intercept that their rounded values need."""
    eps = torch.finfo(low.dtype).eps
    width = high - low
    weights = ((high - level[:, :, None]) / width).nan_to_num(0.0, 0.0, 0.0).clamp(0, 1)
    usable = torch.isfinite(width)
    weights = weights.where(usable, torch.zeros_like(weights))
    moved = torch.where(weights > 0, weights * low, 0.0)
    rest = torch.where(weights > 0, high - weights * width, high).amax(2)
    reach = torch.where(weights > 0, low.abs() + high.abs(), 0.0).sum(2) + rest.abs()
    slack = (4 + low.shape[2]) * eps * reach + torch.finfo(low.dtype).tiny
    return weights, rest - moved.sum(2) + slack
