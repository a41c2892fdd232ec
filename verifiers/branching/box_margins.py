"""How far boxes are from the unsafe set, for real numbers and for float32 runs."""

from __future__ import annotations

import torch
from torch import Tensor

from verifiers.branching.questions import Questions
from verifiers.linear_bounds import LinearBounds
from verifiers.rounding import execution_noise


def box_margins(
    questions: Questions, linear: LinearBounds, reals: Tensor, runs: Tensor | None, owner: Tensor
) -> tuple[Tensor, Tensor]:
    """The distance of each clause from boxes ``[n, c]``, and which boxes are proved for runs, bool ``[n]``.

    What is proved for runs is proved for real numbers. Real numbers alone have to exceed what rounding typically does
    to a run, which is estimated only where that decides.

    Args:
        questions: of all cases.
        linear: bounds of ``n`` boxes.
        reals: ``[n, m]``, what the constraints' left sides are at least.
        runs: the same in float32 runs; None: that is not known.
        owner: int64 ``[n]``, the case of each box.
    """
    far = questions.margins(questions.excess(reals, owner), owner)
    margins, sure = far.clamp_max(0.0), torch.zeros(len(owner), dtype=torch.bool, device=owner.device)
    if runs is not None:
        near = questions.margins(questions.excess(runs, owner), owner)
        margins, sure = torch.maximum(margins, near), (near > 0).all(1)
    rows = torch.nonzero((far > 0).all(1) & ~sure)[:, 0]
    if len(rows):
        noise = execution_noise(
            linear.take(rows), linear.network.graph.output, questions.matrix[owner[rows]], typical=True
        )
        less = questions.margins(questions.excess(reals[rows] - noise, owner[rows]), owner[rows])
        margins[rows] = torch.maximum(margins[rows], less)
    return margins, sure
