from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from robust.errors import PropertyError
from robust.properties import Box, L2Ball, linf_ball
from verifiers import Region, ball_region, region_of

UNIT = Box(torch.zeros(3), torch.ones(3))


def test_linf_minimum_equals_the_closed_form_for_a_linear_function() -> None:
    # <a, x> over |x - c| <= eps is <a, c> - eps |a|_1 where the box does not cut.
    center, a = torch.tensor([[0.5, 0.4, 0.6]]), torch.tensor([[[1.0, -2.0, 0.5]]])
    region = ball_region(center, 0.1, "linf", UNIT)
    assert float(region.minimum(a.double())) == pytest.approx(0.5 - 0.8 + 0.3 - 0.1 * 3.5, abs=1e-5)


def test_l2_minimum_equals_the_dual_norm_where_the_box_does_not_cut() -> None:
    center, a = torch.tensor([[0.5, 0.4, 0.6]]), torch.tensor([[[1.0, -2.0, 0.5]]])
    region = ball_region(center, 0.1, "l2", UNIT)
    assert float(region.minimum(a.double())) == pytest.approx(0.0 - 0.1 * math.sqrt(5.25), abs=1e-5)


def test_l2_minimum_knows_the_box() -> None:
    # At the corner 0 only upward moves are possible: <(1, 1, -1), x> falls by the third coordinate alone.
    region = ball_region(torch.zeros(1, 3), 0.5, "l2", UNIT)
    a = torch.tensor([[[1.0, 1.0, -1.0]]], dtype=torch.float64)
    assert float(region.minimum(a)) == pytest.approx(-0.5, abs=1e-5)


@given(seed=st.integers(0, 10_000), radius=st.floats(1e-3, 1.5))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_l2_minimum_is_below_the_optimum_and_close_to_it(seed: int, radius: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(4, generator=generator, dtype=torch.float64)
    a = torch.randn(4, generator=generator, dtype=torch.float64)
    ball = L2Ball(center, radius, Box(torch.zeros(4), torch.ones(4)))
    bound = float(region_of([ball]).minimum(a[None, None]))
    solved = optimize.minimize(
        lambda x: float(a.numpy() @ x),
        center.numpy(),
        jac=lambda x: a.numpy(),
        bounds=[(0, 1)] * 4,
        constraints={
            "type": "ineq",
            "fun": lambda x: radius**2 - ((x - center.numpy()) ** 2).sum(),
            "jac": lambda x: -2 * (x - center.numpy()),
        },
        method="SLSQP",
    )
    assert bound <= solved.fun + 1e-6
    assert bound >= float(ball.minimum(a[None])) - 1e-9
    assert bound >= solved.fun - 0.1 * radius * float(a.norm())


def test_casting_never_shrinks_a_region() -> None:
    generator = torch.Generator().manual_seed(0)
    center = torch.rand(50, 3, generator=generator, dtype=torch.float64)
    box = Region(center - 1 / 3, center + 1 / 7).to(torch.float32)
    assert bool((box.lower.double() <= center - 1 / 3).all())
    assert bool((box.upper.double() >= center + 1 / 7).all())
    ball = Region(center - 1, center + 1, center, torch.full((50,), 1 / 3, dtype=torch.float64)).to(torch.float32)
    assert ball.center is not None
    assert ball.radius is not None
    moved = torch.linalg.vector_norm(ball.center.double() - center, dim=1)
    assert bool((ball.radius.double() >= 1 / 3 + moved - 1e-15).all())


def test_a_ball_contains_what_float32_attacks_call_inside() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2000, 3, generator=generator)
    for epsilon in (0.1, 0.3, 1e-3):
        moved = (x + epsilon * torch.ones(3)).clamp(0, 1)
        region = ball_region(x, epsilon, "linf", UNIT)
        assert bool((moved.double() <= region.upper).all())


@pytest.mark.parametrize(
    ("sample", "epsilon", "norm"),
    [(1.5, 0.1, "linf"), (float("nan"), 0.1, "linf"), (0.5, -0.1, "l2"), (0.5, float("nan"), "l2"), (0.5, 0.1, "l1")],
)
def test_nonsense_is_a_typed_error(sample: float, epsilon: float, norm: str) -> None:
    with pytest.raises(PropertyError):
        ball_region(torch.full((1, 3), sample), epsilon, norm, UNIT)


def test_mixed_kinds_are_refused() -> None:
    center = torch.full((3,), 0.5)
    with pytest.raises(PropertyError, match="different kinds"):
        region_of([linf_ball(center, 0.1, UNIT), L2Ball(center, 0.1, UNIT)])
