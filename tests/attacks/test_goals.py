from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from attacks.goals import Goal, Reach, Targeted, Untargeted, as_goal
from attacks.losses import Loss, coefficients, rivals, value
from robust.errors import LabelError, PropertyError
from robust.properties import Halfspaces, UnsafeSet

LOGITS = torch.tensor([[3.0, 1.0, 2.5, 0.0], [0.0, 4.0, 1.0, -2.0], [1.0, math.nan, 0.0, 0.0]])
LABELS = torch.tensor([0, 2, 0])


def above(limit: float) -> UnsafeSet:
    """Class 3 above a limit: ``-y3 <= -limit``."""
    return UnsafeSet((Halfspaces(torch.tensor([[0.0, 0.0, 0.0, -1.0]]), torch.tensor([-limit])),))


def test_margins_by_hand() -> None:
    assert Untargeted(LABELS).margin(LOGITS).tolist() == pytest.approx([0.5, -3.0, -math.inf])
    assert Untargeted(LABELS).reached(LOGITS).tolist() == [False, True, True]
    goal = Targeted(LABELS, torch.tensor([2, 1, 1]))
    assert goal.margin(LOGITS).tolist() == pytest.approx([0.5, -3.0, math.inf])
    assert goal.reached(LOGITS).tolist() == [False, True, False]
    assert Reach(above(-1.0), 3).reached(LOGITS).tolist() == [True, False, False]
    assert Reach(above(-1.0), 3).margin(LOGITS)[:2].tolist() == pytest.approx([-1.0, 1.0])
    assert Reach(above(-1.0), 3).margin(LOGITS)[2] == math.inf


def test_losses_by_hand() -> None:
    logits, goal, toward = LOGITS[:1].double(), Untargeted(LABELS[:1]), torch.tensor([1])
    expected: dict[Loss, float] = {
        "log-odds": math.log(math.exp(1.0) + math.exp(2.5) + 1) - 3,
        "margin": -0.5,
        "dlr": -0.5 / (3 - 1),
        "difference": 1 - 3,
        "targeted-dlr": (1 - 3) / (3 - (1 + 0) / 2),
    }
    for loss, wanted in expected.items():
        assert value(loss, logits, goal, toward).item() == pytest.approx(wanted, abs=1e-9), loss
    assert value("log-odds", logits, Targeted(LABELS[:1], toward)).item() == pytest.approx(
        1 - math.log(math.exp(3) + math.exp(2.5) + 1)
    )
    assert value("dlr", logits, Reach(above(-1.0), 1)).item() == pytest.approx(1.0)


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_have_losses_too(classes: int) -> None:
    """Below four classes the denominator is the spread of what there is; with two it is 1."""
    logits = torch.tensor([[3.0, 1.0, 0.5][:classes]])
    goal, toward = Untargeted(torch.tensor([0])), torch.tensor([1])
    wanted = {2: -2.0, 3: -2 / (3 - 0.5)}[classes]
    for loss in ("dlr", "targeted-dlr"):
        assert value(loss, logits, goal, toward).item() == pytest.approx(wanted)  # type: ignore[arg-type]


def test_the_log_odds_have_the_direction_of_the_cross_entropy() -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    labels = torch.arange(20) % 5
    entropy = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    (gradient,) = torch.autograd.grad(entropy.sum(), logits)
    worth, push = coefficients("log-odds", logits, Untargeted(labels))
    wrong = 1 - torch.softmax(logits.detach(), 1).gather(1, labels[:, None])
    assert torch.allclose(push * wrong, gradient, atol=1e-12)
    assert torch.allclose(torch.nn.functional.softplus(worth), entropy.detach(), atol=1e-12)


def test_they_do_not_vanish_where_the_cross_entropy_does() -> None:
    logits = torch.tensor([[5000.0, 10.0, 10.0]])
    worth, push = coefficients("log-odds", logits, Untargeted(torch.tensor([0])))
    assert push[0].tolist() == pytest.approx([-1.0, 0.5, 0.5], abs=1e-6)
    assert worth.item() == pytest.approx(-4990 + math.log(2), abs=1e-3)


def test_rivals_come_strongest_first() -> None:
    assert rivals(LOGITS[:2], Untargeted(LABELS[:2]), 9).tolist() == [[2, 1, 3], [1, 0, 3]]
    assert rivals(LOGITS[:2], Untargeted(LABELS[:2]), 2).tolist() == [[2, 1], [1, 0]]
    assert rivals(LOGITS[:2], Targeted(LABELS[:2], torch.tensor([3, 3])), 9).tolist() == [[3], [3]]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (torch.tensor([0, 4, 0]), LabelError),
        (torch.tensor([0.0, 1.0, 0.0]), LabelError),
        (torch.tensor([0, 1]), LabelError),
        (Reach(UnsafeSet((Halfspaces(torch.ones(1, 3), torch.ones(1)),)), 3), PropertyError),
    ],
)
def test_goals_that_do_not_fit_are_refused(wanted: Tensor | Goal, error: type[Exception]) -> None:
    with pytest.raises(error):
        as_goal(wanted, 4, 3, torch.device("cpu"))


def test_a_target_that_is_the_label_is_refused() -> None:
    with pytest.raises(LabelError, match="own label"):
        Targeted(LABELS, LABELS)
    with pytest.raises(LabelError):
        Targeted(LABELS, LABELS[:2])
