"""Maxima over windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import Node


@dataclass(eq=False)
class MaximumRule:
    """Bounds of maxima over windows, for one batch of operand bounds.

    From below: the operand element with the largest lower bound. From above: that same element where no other of the
    window can exceed it, else the largest upper bound, a constant.

    Attributes:
        picked: int64 ``[n, elements]``, flat place of that element.
        decided: ``[n, elements]``, 1 where no other can exceed it, else 0.
        ceiling: ``[n, elements]``, largest upper bound where undecided, else 0.
        undecided: bool ``[n, operand elements]``: elements whose bounds, were they tighter, could decide a window.
    """

    picked: Tensor
    decided: Tensor
    ceiling: Tensor
    undecided: Tensor

    def take(self, samples: Tensor) -> MaximumRule:
        """The rule of some of the samples."""
        parts = (self.picked, self.decided, self.ceiling, self.undecided)
        return MaximumRule(*[part[samples] for part in parts])


def maximum_rule(node: Node, lower: Tensor, upper: Tensor) -> MaximumRule:
    """Relax a ``Kind.MAXIMUM`` node from bounds ``[n, operand elements]``."""
    windows = node.windows
    if windows is None:
        raise UnsupportedOperatorError(f"{node.op} has no windows, at {node.place}")
    nothing = torch.full_like(lower[:, :1], -torch.inf)
    low = torch.cat([lower, nothing], 1)[:, windows]
    high = torch.cat([upper, nothing], 1)[:, windows]
    best, place = low.max(2)
    others = high.scatter(2, place[:, :, None], -torch.inf).amax(2)
    decided = others <= best
    picked = windows[None].expand(len(lower), -1, -1).gather(2, place[:, :, None])[:, :, 0]
    rival = (~decided)[:, :, None] & (high > best[:, :, None])
    flagged = torch.zeros(len(lower), lower.shape[1] + 1, dtype=torch.bool, device=lower.device)
    target = torch.where(windows < 0, lower.shape[1], windows)[None].expand_as(rival).reshape(len(lower), -1)
    flagged = flagged.scatter_reduce(1, target, rival.reshape(len(lower), -1), reduce="amax")
    ceiling = torch.where(decided, torch.zeros_like(best), high.amax(2))
    return MaximumRule(picked, decided.to(lower), ceiling, flagged[:, :-1])


def through_maximum(elements: int, rule: MaximumRule, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients on the operand's ``elements``, and the constant."""
    rising, falling = coefficients.clamp_min(0), coefficients.clamp_max(0)
    constant = torch.matmul(falling, rule.ceiling[:, :, None])[:, :, 0]
    moved = rising + falling * rule.decided[:, None]
    result = moved.new_zeros(*moved.shape[:2], elements)
    return result.scatter_add_(2, rule.picked[:, None].expand_as(moved), moved), constant
