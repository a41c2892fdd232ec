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

    def take(self, samples: Tensor) -> MaximumLines:
        """The planes of some of the samples (not of families)."""
        return MaximumLines(self.weights[samples], self.intercept[samples])


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
        windows: int64 ``[elements, k]``, flat places in the operand; 0 (with weight 0) at padding.
    """

    lower: MaximumLines
    upper: MaximumLines
    eligible: Tensor
    family: MaximumLines
    open: Tensor
    windows: Tensor

    def take(self, samples: Tensor) -> MaximumRelaxation:
        """The planes of some of the samples."""
        family = MaximumLines(self.family.weights[:, samples], self.family.intercept[:, samples])
        lower, upper = self.lower.take(samples), self.upper.take(samples)
        return MaximumRelaxation(lower, upper, self.eligible[samples], family, self.open[samples], self.windows)

    def undecided(self, elements: int) -> Tensor:
        """Operand elements whose bounds, were they tighter, could decide a window: bool ``[n, elements]``."""
        rival = (self.eligible & self.open[:, :, None]).flatten(1)
        flagged = torch.zeros(len(rival), elements, dtype=torch.bool, device=rival.device)
        return flagged.scatter_reduce(1, self.windows.reshape(1, -1).expand_as(rival), rival, reduce="amax")

    def through(self, elements: int, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients ``[n, m, elements]`` on the operand, and the constant ``[n, m]``."""
        rising, falling = coefficients.clamp_min(0), coefficients.clamp_max(0)
        constant = torch.matmul(falling, self.upper.intercept[:, :, None])[:, :, 0]
        result = None
        for k in range(self.windows.shape[1]):
            moved = torch.addcmul(
                rising * self.lower.weights[:, None, :, k], falling, self.upper.weights[:, None, :, k]
            )
            result = moved.new_zeros(*moved.shape[:2], elements) if result is None else result
            result.scatter_add_(2, self.windows[:, k].expand_as(moved), moved)
        return (coefficients.new_zeros(0) if result is None else result), constant

    def values(self, operand: Tensor, rising: Tensor) -> Tensor:
        """Of the lower plane where ``rising [n, m, elements]``, else of the upper, at ``operand [n, m, elements]``."""
        total = torch.where(rising, 0.0, self.upper.intercept[:, None])
        for k in range(self.windows.shape[1]):
            weight = torch.where(rising, self.lower.weights[:, None, :, k], self.upper.weights[:, None, :, k])
            total = torch.addcmul(total, weight, operand[:, :, self.windows[:, k]])
        return total


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
    return MaximumRelaxation(below, upper_plane, eligible, family, open_, windows.clamp_min(0))


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
