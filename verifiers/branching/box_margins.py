"""Margins for rounding that the bounds of boxes have to exceed."""

from __future__ import annotations

import torch
from torch import Tensor

from verifiers.branching.questions import Questions
from verifiers.certify import MARGIN
from verifiers.linear_bounds import LinearBounds
from verifiers.rounding import execution_noise


def rounding(questions: Questions, linear: LinearBounds, minimum: Tensor, owner: Tensor) -> Tensor:
    """What a bound must exceed: ``[n, m]``; estimated where a bound is near to counting.

    Args:
        questions: of all cases.
        linear: bounds of ``n`` boxes.
        minimum: ``[n, m]``, what the constraints' left sides are at least.
        owner: int64 ``[n]``, the case of each box.
    """
    output, matrices, offset = linear.network.graph.output, questions.matrix[owner], questions.offset[owner]
    low, high = linear.bounds[output].flat(len(owner))
    size = torch.maximum(low.abs(), high.abs())
    need = MARGIN * (torch.bmm(matrices.abs(), size[:, :, None])[:, :, 0] + offset.abs())
    near = questions.margins(questions.excess(minimum, owner), owner)
    rows = torch.nonzero((near > 0).all(1))[:, 0]
    if len(rows):
        part = linear if len(rows) == len(owner) else linear.take(rows)
        need[rows] += execution_noise(part, output, matrices[rows], typical=True)
    return need
