"""Closed-form projections against linear and quadratic programmes, and against points drawn from the sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from attacks.balls import AnyNorm, inside, project, uniform_in_ball
from attacks.projections import onto_l1_ball, onto_plane
from robust.errors import PropertyError
from robust.properties import Box

SIZE = 6


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), epsilon=st.floats(0.05, 3.0))
def test_the_l1_projection_is_the_nearest_point(seed: int, epsilon: float) -> None:
    """The set is convex: z is nearest if no point q of it has <point - z, q - z> above 0; the largest by an LP."""
    x, point = drawn(seed, 1, SIZE), drawn(seed + 1, 1, SIZE) * 3 - 1
    zero, one = torch.zeros(1, SIZE).double(), torch.ones(1, SIZE).double()
    z = onto_l1_ball(x, point, epsilon, zero, one)
    assert float((z - x).abs().sum()) <= epsilon + 1e-9
    assert bool(((z >= -1e-12) & (z <= 1 + 1e-12)).all())
    towards = (point - z)[0].numpy()
    a = np.concatenate([towards, -towards])  # q = x + u - v, u, v >= 0: a linear programme over the set
    rows = np.vstack([np.ones((1, 2 * SIZE)), np.hstack([np.eye(SIZE), -np.eye(SIZE)])])
    rows = np.vstack([rows, -rows[1:]])
    limits = np.concatenate([[epsilon], (1 - x)[0].numpy(), x[0].numpy()])
    best = optimize.linprog(-a, A_ub=rows, b_ub=limits)
    assert -best.fun + float(towards @ (x - z)[0].numpy()) <= 1e-6


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), gap=st.floats(-2.0, 2.0))
def test_the_step_onto_a_plane_is_the_smallest(norm: AnyNorm, seed: int, gap: float) -> None:
    x, normal = drawn(seed, 1, SIZE), drawn(seed + 1, 1, SIZE) * 4 - 2
    zero, one = torch.zeros(1, SIZE).double(), torch.ones(1, SIZE).double()
    step = onto_plane(x, normal, torch.tensor([gap]).double(), norm, zero, one)
    moved, w, centre = step[0].numpy(), normal[0].numpy(), x[0].numpy()
    assert ((centre + moved >= -1e-9) & (centre + moved <= 1 + 1e-9)).all()
    farthest = np.where(w * np.sign(gap) > 0, 1 - centre, -centre)
    if abs(w @ farthest) < abs(gap):
        assert w @ moved == pytest.approx(w @ farthest, abs=1e-6)
        return
    assert w @ moved == pytest.approx(gap, abs=1e-6)
    bounds = list(zip(-centre, 1 - centre, strict=True))
    if norm == "l2":
        plane = {"type": "eq", "fun": lambda d: w @ d - gap, "jac": lambda d: w}
        best = (
            optimize.minimize(
                lambda d: d @ d, moved, jac=lambda d: 2 * d, bounds=bounds, constraints=plane, method="SLSQP"
            ).fun
            ** 0.5
        )
        assert np.linalg.norm(moved) <= best + 1e-5
        return
    count = 1 if norm == "linf" else SIZE  # one bound for all, or one each
    cost = np.concatenate([np.zeros(SIZE), np.ones(count)])
    size = np.ones((SIZE, 1)) if norm == "linf" else np.eye(SIZE)
    rows = np.block([[np.eye(SIZE), -size], [-np.eye(SIZE), -size]])
    found = optimize.linprog(
        cost,
        A_ub=rows,
        b_ub=np.zeros(2 * SIZE),
        A_eq=np.concatenate([w, np.zeros(count)])[None],
        b_eq=[gap],
        bounds=[*bounds, *[(0, None)] * count],
    )
    mine = np.abs(moved).max() if norm == "linf" else np.abs(moved).sum()
    assert mine <= found.fun + 1e-6


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), epsilon=st.floats(1e-6, 4.0), norm=st.sampled_from(["l1", "l2"]))
def test_a_projected_point_lies_in_the_ball_by_an_exact_sum(seed: int, epsilon: float, norm: AnyNorm) -> None:
    from fractions import Fraction

    x = drawn(seed, 2, 7).float()
    near = project(x, (drawn(seed + 1, 2, 7) * 9 - 4).float(), epsilon, norm, Box(torch.zeros(7), torch.ones(7)))
    assert bool(inside(x, near, epsilon, norm, Box(torch.zeros(7), torch.ones(7))).all())
    for a, b in zip(x.tolist(), near.tolist(), strict=True):
        moves = [abs(Fraction(q) - Fraction(p)) for p, q in zip(a, b, strict=True)]
        total = sum(moves) if norm == "l1" else sum(m * m for m in moves)
        assert total <= (Fraction(epsilon) if norm == "l1" else Fraction(epsilon) ** 2)


def test_an_l0_projection_keeps_the_largest_moves() -> None:
    box = Box(torch.zeros(4), torch.ones(4))
    x, y = torch.full((1, 4), 0.5), torch.tensor([[0.6, 0.1, 0.5, 2.0]])
    assert project(x, y, 2, "l0", box).tolist() == [[0.5, pytest.approx(0.1), 0.5, 1.0]]
    assert bool(inside(x, project(x, y, 2, "l0", box), 2, "l0", box))
    assert not bool(inside(x, y.clamp(0, 1), 2, "l0", box))
    with pytest.raises(PropertyError, match="L0"):
        uniform_in_ball(3, (4,), "l0", torch.Generator())


def test_the_l1_ball_is_filled_uniformly() -> None:
    points = uniform_in_ball(6000, (2,), "l1", torch.Generator().manual_seed(0))
    radii = points.abs().sum(1)
    assert radii.max() <= 1 + 1e-6
    assert radii.pow(2).mean() == pytest.approx(0.5, abs=0.02)  # P(|x|_1 <= r) = r^2 in two dimensions
    assert (points > 0).float().mean() == pytest.approx(0.5, abs=0.02)
