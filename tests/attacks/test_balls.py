from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.balls import check_epsilon, distance, inside, project, uniform_in_ball
from robust.errors import PropertyError
from robust.properties import Box, L2Ball, linf_ball

UNIT = st.floats(-1, 1, width=32)
WIDE = st.floats(-300, 300, width=32)


@settings(max_examples=150, deadline=None)
@given(
    centre=st.lists(UNIT, min_size=3, max_size=3),
    candidate=st.lists(WIDE, min_size=3, max_size=3),
    epsilon=st.floats(1e-9, 2.5),
)
def test_a_projected_point_lies_in_the_linf_ball_over_the_reals(
    centre: list[float], candidate: list[float], epsilon: float
) -> None:
    box = Box(-torch.ones(3), torch.ones(3))
    x, y = torch.tensor([centre]), torch.tensor([candidate])
    near = project(x, y, epsilon, "linf", box)
    for a, b in zip(x[0].tolist(), near[0].tolist(), strict=True):
        assert abs(Fraction(b) - Fraction(a)) <= Fraction(epsilon)
        assert -1 <= b <= 1
    assert bool(inside(x, near, epsilon, "linf", box))
    assert bool(linf_ball(x[0], epsilon, box).contains(near))


@settings(max_examples=150, deadline=None)
@given(
    centre=st.lists(UNIT, min_size=3, max_size=3),
    candidate=st.lists(WIDE, min_size=3, max_size=3),
    epsilon=st.floats(1e-9, 2.5),
)
def test_a_projected_point_lies_in_the_l2_ball(centre: list[float], candidate: list[float], epsilon: float) -> None:
    box = Box(-torch.ones(3), torch.ones(3))
    x, y = torch.tensor([centre]), torch.tensor([candidate])
    near = project(x, y, epsilon, "l2", box)
    squares = sum((Fraction(b) - Fraction(a)) ** 2 for a, b in zip(x[0].tolist(), near[0].tolist(), strict=True))
    assert squares <= Fraction(epsilon) ** 2
    assert bool(inside(x, near, epsilon, "l2", box))
    assert bool(L2Ball(x[0], epsilon, box).contains(near))


def test_points_already_inside_are_left_alone() -> None:
    x = torch.tensor([[0.25, 0.5]])
    y = torch.tensor([[0.3, 0.45]])
    box = Box(torch.zeros(2), torch.ones(2))
    for norm in ("linf", "l2"):
        assert torch.equal(project(x, y, 0.1, norm, box), y)


def test_one_ulp_outside_is_outside() -> None:
    box = Box(torch.zeros(1), torch.ones(1))
    x = torch.tensor([[0.5]])
    edge = torch.tensor([[0.75]])
    beyond = torch.nextafter(edge, torch.tensor(2.0))
    for norm in ("linf", "l2"):
        assert bool(inside(x, edge, 0.25, norm, box))
        assert not bool(inside(x, beyond, 0.25, norm, box))
        assert not bool(inside(x, torch.full_like(x, math.nan), 0.25, norm, box))
    assert not bool(inside(torch.tensor([[1.0]]), torch.tensor([[1.0000001]]), 0.25, "linf", box))


def test_nan_candidates_become_the_centre() -> None:
    x = torch.tensor([[0.5, 0.5]])
    y = torch.tensor([[math.nan, math.inf]])
    assert torch.equal(project(x, y, 0.1, "linf", Box(torch.zeros(2), torch.ones(2))), x)


def test_distances_by_hand() -> None:
    x, y = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0]]])
    assert distance(x, y, "linf").tolist() == [4.0]
    assert distance(x, y, "l2").tolist() == [5.0]


def test_the_unit_balls_are_filled_uniformly() -> None:
    generator = torch.Generator().manual_seed(0)
    cube = uniform_in_ball(4000, (2,), "linf", generator)
    assert cube.abs().max() <= 1
    assert cube.abs().amax(1).pow(2).mean() == pytest.approx(0.5, abs=0.02)  # P(max <= r) = r^2 in two dimensions
    disc = uniform_in_ball(4000, (2,), "l2", generator)
    radii = torch.linalg.vector_norm(disc, dim=1)
    assert radii.max() <= 1 + 1e-6
    assert radii.pow(2).mean() == pytest.approx(0.5, abs=0.02)  # P(|x| <= r) = r^2


@pytest.mark.parametrize("epsilon", [-0.1, math.nan, math.inf])
def test_a_radius_that_is_none_is_refused(epsilon: float) -> None:
    with pytest.raises(PropertyError, match="radius"):
        check_epsilon(epsilon)
