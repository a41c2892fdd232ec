"""Boxes cut to where linear functions may still be small enough.

Where every unsafe point of a box satisfies ``<a, x> + c <= 0``, the part of the box beyond that half-space needs no
further look (bound tightening of linear programming; for neural networks e.g. Wang et al., Formal Security Analysis of
Neural Networks using Symbolic Intervals, 2018, section 4).
"""

from __future__ import annotations

import torch
from torch import Tensor

SLACK = 1e-9
"""What a cut stays away from the half-space, as a share of the magnitudes that are added up, in float64."""
ROUNDS = 2


def clipped(lower: Tensor, upper: Tensor, slopes: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes around ``{x : lower <= x <= upper, slopes @ x + constants <= 0}``, the smallest that single rows show.

    Args:
        lower, upper: ``[n, d]``.
        slopes: ``[n, r, d]``.
        constants: ``[n, r]``; minus infinity or NaN: says nothing.

    Returns:
        Lower and upper ends ``[n, d]``; where a lower end exceeds an upper one, nothing is left.
    """
    slack = SLACK if lower.dtype == torch.float64 else 1e-5
    for _ in range(ROUNDS):
        low, high = slopes * lower[:, None], slopes * upper[:, None]
        least, most = torch.minimum(low, high), torch.maximum(low, high)
        magnitude = torch.maximum(low.abs(), high.abs()).sum(2) + constants.abs()
        room = slack * magnitude - constants - least.sum(2)  # at least 0 where anything is left
        reach = (room[:, :, None] + least) / slopes
        bounded = torch.isfinite(reach) & torch.isfinite(room)[:, :, None] & (most > least)
        top = torch.where(bounded & (slopes > 0), reach, torch.inf).amin(1)
        bottom = torch.where(bounded & (slopes < 0), reach, -torch.inf).amax(1)
        lower, upper = torch.maximum(lower, bottom), torch.minimum(upper, top)
    return lower, upper
