"""Input sets and unsafe sets against their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robust.errors import PropertyError
from robust.properties import Box, Halfspaces, L2Ball, UnsafeSet, linf_ball, misclassification

UNIT = Box(torch.zeros(3), torch.ones(3))


def test_minimum_over_a_box_by_hand() -> None:
    box = Box(torch.tensor([0.0, -1.0]), torch.tensor([1.0, 2.0]))
    coefficients = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [2.0, -3.0]])
    assert box.minimum(coefficients).tolist() == [-1.0, -3.0, -6.0]


def test_minimum_over_a_ball_inside_the_box_by_hand() -> None:
    ball = L2Ball(torch.tensor([0.5, 0.5, 0.5]), 0.25, UNIT)
    assert ball.minimum(torch.tensor([[3.0, 4.0, 0.0]])).item() == pytest.approx(3.5 - 0.25 * 5)


def test_linf_ball_is_cut_to_the_box() -> None:
    ball = linf_ball(torch.tensor([0.0, 0.5, 1.0]), 0.2, UNIT)
    assert ball.lower.tolist() == pytest.approx([0.0, 0.3, 0.8])
    assert ball.upper.tolist() == pytest.approx([0.2, 0.7, 1.0])


@given(st.integers(0, 10_000), st.floats(0, 1.5))
def test_no_point_of_a_ball_is_below_its_minimum(seed: int, radius: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(3, generator=generator)
    ball = L2Ball(center, radius, UNIT)
    direction = torch.randn(64, 3, generator=generator)
    direction /= direction.norm(dim=1, keepdim=True)
    points = UNIT.clamp(center + radius * torch.rand(64, 1, generator=generator) * direction)
    coefficients = torch.randn(5, 3, generator=generator)
    assert bool((points @ coefficients.T >= ball.minimum(coefficients) - 1e-5).all())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Box(torch.ones(2), torch.zeros(2)),
        lambda: Box(torch.zeros(2), torch.zeros(3)),
        lambda: Box(torch.tensor([float("nan")]), torch.ones(1)),
        lambda: linf_ball(torch.full((3,), 0.5), -0.1, UNIT),
        lambda: linf_ball(torch.full((3,), 1.5), 0.1, UNIT),
        lambda: L2Ball(torch.zeros(3), float("nan"), UNIT),
        lambda: L2Ball(torch.zeros(2), 0.1, UNIT),
        lambda: Halfspaces(torch.zeros(2, 3), torch.zeros(3)),
        lambda: UnsafeSet(()),
        lambda: misclassification(UNIT, 3, 3),
        lambda: misclassification(UNIT, 0, 1),
    ],
)
def test_nonsense_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(PropertyError):
        make()


@given(st.integers(2, 6), st.integers(0, 10_000))
def test_misclassification_means_that_a_rival_reaches_the_label(classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    label = seed % classes
    logits = torch.randint(-2, 3, (40, classes), generator=generator).float()
    unsafe = misclassification(UNIT, label, classes).unsafe
    rivals = logits.clone()
    rivals[:, label] = -torch.inf
    expected = rivals.amax(1) >= logits[:, label]
    assert torch.equal(unsafe.contains(logits), expected)
    assert torch.equal(unsafe.distance(logits) <= 0, expected)


def test_nan_is_nowhere_inside() -> None:
    assert not misclassification(UNIT, 0, 2).unsafe.contains(torch.tensor([[float("nan"), 1.0]])).any()
