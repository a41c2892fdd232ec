"""What gradient attacks climb: functions of the logits that grow towards the goal. Their gradients never underflow.

``log-odds`` is the cross-entropy read otherwise: ``CE = softplus(log-odds)``, so both have the same order and the
same direction, but where the model is sure the cross-entropy is exactly 0 in float32 and the log-odds are not
(Carlini and Wagner 2017, section V, on saturated softmax). DLR: Croce and Hein 2020, section 5 and appendix A; it
needs three classes, its targeted form four; with fewer its denominator is the spread of what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from attacks.goals import Goal, Reach, Targeted, Untargeted

Loss = Literal["log-odds", "margin", "dlr", "targeted-dlr", "difference"]
TINY = 1e-12


def value(loss: Loss, logits: Tensor, goal: Goal, toward: Tensor | None = None) -> Tensor:
    """The loss ``[n]``, to be made large.

    Args:
        loss: which. Where the goal is an unsafe set, all of them are minus the distance to it.
        logits: ``[n, classes]``.
        goal: of ``n`` samples.
        toward: the rival class int64 ``[n]`` that ``targeted-dlr`` and ``difference`` climb to.
    """
    if isinstance(goal, Reach):
        return -goal.unsafe.distance(logits)
    if isinstance(goal, Targeted):
        toward = goal.targets
    return _FORMULAS[loss](logits, goal, toward)


def coefficients(loss: Loss, logits: Tensor, goal: Goal, toward: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Value ``[n]`` and gradient by the logits ``[n, classes]``, both detached; NaN in the gradient becomes 0."""
    with torch.enable_grad():
        leaf = logits.detach().clone().requires_grad_()
        worth = value(loss, leaf, goal, toward)
        (gradient,) = torch.autograd.grad(worth.sum(), leaf)
    return worth.detach(), gradient.nan_to_num(0.0, 0.0, 0.0)


def _log_odds(logits: Tensor, goal: Goal, toward: Tensor | None) -> Tensor:
    at = _index(goal)
    own = logits.gather(1, at[:, None])[:, 0]
    others = torch.logsumexp(logits.scatter(1, at[:, None], -torch.inf), 1)
    return own - others if isinstance(goal, Targeted) else others - own


def _margin(logits: Tensor, goal: Goal, toward: Tensor | None) -> Tensor:
    return -goal.margin(logits)


def _dlr(logits: Tensor, goal: Goal, toward: Tensor | None) -> Tensor:
    best = logits.topk(min(3, logits.shape[1]), 1).values
    spread = best[:, 0] - best[:, -1] if best.shape[1] == 3 else torch.ones_like(best[:, 0])
    return -goal.margin(logits) / (spread + TINY)


def _targeted_dlr(logits: Tensor, goal: Goal, toward: Tensor | None) -> Tensor:
    best = logits.topk(min(4, logits.shape[1]), 1).values
    spread = best[:, 0] - best[:, 2:].mean(1) if best.shape[1] > 2 else torch.ones_like(best[:, 0])
    return _difference(logits, goal, toward) / (spread + TINY)


def _difference(logits: Tensor, goal: Goal, toward: Tensor | None) -> Tensor:
    assert toward is not None
    assert isinstance(goal, Untargeted | Targeted)
    return logits.gather(1, toward[:, None])[:, 0] - logits.gather(1, goal.labels[:, None])[:, 0]


def _index(goal: Goal) -> Tensor:
    assert isinstance(goal, Untargeted | Targeted)
    return goal.targets if isinstance(goal, Targeted) else goal.labels


_FORMULAS: dict[Loss, Callable[[Tensor, Goal, Tensor | None], Tensor]] = {
    "log-odds": _log_odds,
    "margin": _margin,
    "dlr": _dlr,
    "targeted-dlr": _targeted_dlr,
    "difference": _difference,
}


def rivals(logits: Tensor, goal: Goal, count: int) -> Tensor:
    """The ``count`` strongest classes that could be answered instead, the strongest first: int64 ``[n, k]``.

    For a target that is the target alone; for an unsafe set there are none, and ``k`` is 1 with class 0 in it.
    """
    if isinstance(goal, Targeted):
        return goal.targets[:, None]
    if isinstance(goal, Reach):
        return torch.zeros(len(logits), 1, dtype=torch.int64, device=logits.device)
    others = logits.nan_to_num(-torch.inf).scatter(1, _index(goal)[:, None], -torch.inf)
    return others.topk(max(1, min(count, logits.shape[1] - 1)), 1).indices
