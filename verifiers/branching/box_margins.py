"""Margins for rounding that the bounds of boxes have to exceed."""

from __future__ import annotations

from torch import Tensor

from verifiers.branching.questions import Questions
from verifiers.linear_bounds import LinearBounds
from verifiers.rounding import needed


def rounding(questions: Questions, linear: LinearBounds, minimum: Tensor, owner: Tensor) -> Tensor:
    """What a bound must exceed: ``[n, m]``; estimated where a bound is near to counting.

    Args:
        questions: of all cases.
        linear: bounds of ``n`` boxes.
        minimum: ``[n, m]``, what the constraints' left sides are at least.
        owner: int64 ``[n]``, the case of each box.
    """
    return needed(
        linear,
        questions.matrix[owner],
        questions.offset[owner],
        lambda _: (questions.margins(questions.excess(minimum, owner), owner) > 0).all(1),
    )
