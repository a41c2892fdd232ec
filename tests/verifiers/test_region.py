from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from torch import Tensor

from robust.errors import PropertyError
from robust.properties import Box, InputSet, L0Ball, L1Ball, L2Ball, linf_ball
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
    move = torch.from_numpy(solved.x) - center  # the solver may leave the ball by its tolerance
    reached = float(a @ (center + move * min(1.0, radius / float(move.norm().clamp_min(1e-12)))))
    assert bound <= reached + 1e-9
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
    [
        (1.5, 0.1, "linf"),
        (float("nan"), 0.1, "linf"),
        (0.5, -0.1, "l2"),
        (0.5, float("nan"), "l2"),
        (0.5, 0.1, "l0"),
        (0.5, 0.1, "l3"),
    ],
)
def test_nonsense_is_a_typed_error(sample: float, epsilon: float, norm: str) -> None:
    with pytest.raises(PropertyError):
        ball_region(torch.full((1, 3), sample), epsilon, norm, UNIT)


def test_mixed_kinds_are_refused() -> None:
    center = torch.full((3,), 0.5)
    with pytest.raises(PropertyError, match="different kinds"):
        region_of([linf_ball(center, 0.1, UNIT), L2Ball(center, 0.1, UNIT)])


def ball_sets(seed: int, size: int = 6, groups: int = 1) -> tuple[Tensor, Box, Tensor, torch.Generator]:
    """A centre in a random box, and functions with zeros and ties among their coefficients."""
    generator = torch.Generator().manual_seed(seed)
    lower = -torch.rand(size, generator=generator, dtype=torch.float64)
    upper = torch.rand(size, generator=generator, dtype=torch.float64)
    share = torch.rand(size, generator=generator, dtype=torch.float64)
    share = torch.where(torch.rand(size, generator=generator) < 0.3, share.round(), share)
    center = lower + share * (upper - lower)
    center = torch.minimum(torch.maximum(center, lower), upper)
    functions = torch.randint(-3, 4, (5, size), generator=generator).double()
    functions[3:] = torch.randn(2, size, generator=generator, dtype=torch.float64)
    return center, Box(lower, upper), functions, generator


@given(seed=st.integers(0, 10_000), radius=st.floats(0, 4))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_l1_minimum_equals_that_of_a_linear_programme(seed: int, radius: float) -> None:
    center, box, functions, _ = ball_sets(seed)
    ball = L1Ball(center, radius, box)
    found = region_of([ball]).minimum(functions[None])[0]
    c, low, high = center.numpy(), box.lower.numpy(), box.upper.numpy()
    for row, a in enumerate(functions.numpy()):
        # x = c + p - q with p, q >= 0, sum(p + q) <= radius
        solved = optimize.linprog(
            [*a, *-a],
            A_ub=[[1.0] * 12],
            b_ub=[radius],
            bounds=[(0, room) for room in [*(high - c), *(c - low)]],
        )
        assert float(found[row]) == pytest.approx(
            float(a @ c) + solved.fun, abs=1e-6
        )  # the solver's own tolerance is 1e-7
    torch.testing.assert_close(ball.minimum(functions), found)


@given(seed=st.integers(0, 10_000), pixels=st.integers(0, 3), groups=st.sampled_from([1, 2]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_l0_minimum_equals_the_best_of_all_subsets(seed: int, pixels: int, groups: int) -> None:
    center, box, functions, _ = ball_sets(seed)
    shape = (2, 3) if groups == 2 else (6,)
    ends = Box(box.lower.reshape(shape), box.upper.reshape(shape))
    ball = L0Ball(center.reshape(shape), pixels, ends, groups)
    found = region_of([ball]).minimum(functions[None])[0]
    expected = torch.full((5,), torch.inf, dtype=torch.float64)
    for subset in itertools.combinations(range(6 // groups), pixels):
        free = torch.zeros(groups, 6 // groups, dtype=torch.bool)
        free[:, list(subset)] = True
        lower = torch.where(free.flatten(), box.lower, center)
        upper = torch.where(free.flatten(), box.upper, center)
        expected = torch.minimum(expected, Box(lower, upper).minimum(functions))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ball.minimum(functions.reshape(5, *shape)), expected)


def sets_of(norm: str, seed: int) -> tuple[Region, list[InputSet], Tensor]:
    """Three sets of one norm, as a region and one by one, and functions for each."""
    items: list[InputSet] = []
    functions = []
    for place in range(3):
        center, box, rows, generator = ball_sets(seed + place)
        radius = float(torch.rand(1, generator=generator)) * 2
        kinds: dict[str, InputSet] = {
            "linf": linf_ball(center, radius, box),
            "l2": L2Ball(center, radius, box),
            "l1": L1Ball(center, radius, box),
            "l0": L0Ball(center, (seed + place) % 4, box),
        }
        items.append(kinds[norm])
        functions.append(rows)
    return region_of(items), items, torch.stack(functions)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_minimisers_lie_inside_and_attain_the_minimum(norm: str, seed: int) -> None:
    region, items, functions = sets_of(norm, seed)
    assert region.norm == norm
    points, bounds = region.minimiser(functions), region.minimum(functions)
    values = (points * functions).sum(2)
    assert bool((values >= bounds - 1e-9).all())
    # The Lagrangian bound and the feasible point enclose the optimum; for the other norms they meet.
    allowed = 1e-9 if norm != "l2" else 0.1 * functions.abs().sum(2)
    assert bool((values <= bounds + allowed).all())
    for place, item in enumerate(items):
        inward = points[place]
        if isinstance(item, L1Ball | L2Ball):  # rounding may leave the surface by a little
            inward = item.center + (inward - item.center) * (1 - 1e-12)
        assert bool(item.contains(inward).all())


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shared_functions_and_single_sets_give_the_same(norm: str, dtype: torch.dtype) -> None:
    region, items, functions = sets_of(norm, 7)
    region, shared = region.to(dtype), functions[:1].to(dtype)
    torch.testing.assert_close(region.minimum(shared), region.minimum(shared.expand(3, -1, -1)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(region.minimiser(shared), region.minimiser(shared.expand(3, -1, -1)))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    for place in range(3):
        alone = region.take(torch.tensor([place]))
        torch.testing.assert_close(alone.minimum(shared)[0], region.minimum(shared)[place], rtol=1e-6, atol=1e-6)
        if norm != "l2":
            single = items[place].minimum(shared[0].double()).to(dtype)
            torch.testing.assert_close(alone.minimum(shared)[0], single, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("norm", ["l2", "l1", "l0"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_cast_region_is_never_above_the_exact_minimum(norm: str, seed: int) -> None:
    # float16 makes casts coarse: its centres move by up to 5e-4.
    region, _, functions = sets_of(norm, seed)
    cast = region.to(torch.float16).to(torch.float64)
    assert bool((cast.lower <= region.lower).all() and (cast.upper >= region.upper).all())
    slack = 0.15 if norm == "l2" else 1e-9  # both sides of l2 are bounds, not optima
    assert bool((cast.minimum(functions) <= region.minimum(functions) + slack).all())
    points = region.minimiser(functions)
    assert bool((cast.minimum(functions) <= (points * functions).sum(2) + 1e-9).all())


@pytest.mark.parametrize("norm", ["l1", "l0"])
def test_every_ball_lies_in_its_l2_ball_and_box(norm: str) -> None:
    region, _, functions = sets_of(norm, 3)
    assert region.center is not None
    assert region.radius is not None
    points = region.minimiser(functions)
    distance = torch.linalg.vector_norm(points - region.center[:, None], dim=2)
    assert bool((distance <= region.radius[:, None] + 1e-12).all())
    assert bool(((points >= region.lower[:, None]) & (points <= region.upper[:, None])).all())


def test_ball_region_and_region_of_speak_of_one_set() -> None:
    center = torch.tensor([[[0.25, 0.5, 0.75]], [[0.0, 0.5, 1.0]]])
    box = Box(torch.zeros(1, 3), torch.ones(1, 3))
    a = torch.tensor([[[1.0, -2.0, 4.0]]], dtype=torch.float64)
    # <a, x> at the centres is 2.25 and 3; the budget of 0.5 goes to the coordinate worth 4.
    found = ball_region(center, 0.5, "l1", box).minimum(a)
    assert found[:, 0].tolist() == pytest.approx([0.25, 1.0], abs=1e-4)
    # One pixel: the third falls to 0, worth 3 and 4. Two pixels: the second rises to 1 as well, worth 1.
    assert ball_region(center, 1, "l0", box).minimum(a)[:, 0].tolist() == [-0.75, -1.0]
    assert ball_region(center, 2, "l0", box).minimum(a)[:, 0].tolist() == [-1.75, -2.0]
    assert ball_region(center, 0, "l0", box).minimum(a)[:, 0].tolist() == [2.25, 3.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: ball_region(x, 1.5, "l0", UNIT),
        lambda x: ball_region(x, 4, "l0", UNIT),
        lambda x: ball_region(x, 1, "l0", UNIT, groups=2),
        lambda x: ball_region(x, -1.0, "l1", UNIT),
        lambda x: ball_region(x[:, :2], 0.1, "l1", UNIT),
        lambda x: Region(x, x, norm="l1"),
        lambda x: Region(x, x, x, x[:, 0], norm="l0"),
        lambda x: Region(x, x, x, x[:, 0], norm="linf"),
        lambda x: Region(x, x, x, x[:, 0], norm="l7"),
        lambda x: region_of([]),
        lambda x: region_of([UNIT, Box(torch.zeros(2), torch.ones(2))]),
    ],
)
def test_impossible_regions_are_refused(make: Callable[[Tensor], object]) -> None:
    with pytest.raises(PropertyError):
        make(torch.full((1, 3), 0.5))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_pixels_of_several_channels_move_together(seed: int) -> None:
    center, box, functions, _ = ball_sets(seed)
    ball = L0Ball(center.reshape(2, 3), 1, Box(box.lower.reshape(2, 3), box.upper.reshape(2, 3)), groups=2)
    region = region_of([ball])
    points = region.minimiser(functions[None])
    assert bool(ball.contains(points.reshape(5, 2, 3)).all())
    torch.testing.assert_close((points * functions).sum(2), region.minimum(functions[None]))


@pytest.mark.parametrize("norm", ["l2", "l1", "l0"])
@given(
    seed=st.integers(0, 10_000), size=st.sampled_from([1, 3, 40, 600]), scale=st.sampled_from([1e-30, 1e-4, 1.0, 1e6])
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_float32_minima_less_their_rounding_lie_below_the_minimum(
    norm: str, seed: int, size: int, scale: float
) -> None:
    region, a = _rounded_balls(norm, seed, size, scale)
    value, loss = region.valued(a, lambda terms: terms * 2.0**-24 * 1.1)
    assert loss is not None
    assert bool((loss >= 0).all())
    products = (a.abs() * torch.maximum(region.lower.abs(), region.upper.abs())[:, None]).sum(2)
    bound = (value - loss - 1.1 * (size + 8) * 2.0**-24 * products).double()
    wide = region.to(torch.float64)
    moved = (a.double() * wide.minimiser(a.double())).sum(2)  # a point of the set: no minimum is above it
    assert bool((bound <= moved + 1e-13 * products.double()).all())
    if norm != "l2":
        assert bool((bound <= wide.minimum(a.double()) + 1e-13 * products.double()).all())


@pytest.mark.parametrize("norm", ["l2", "l1", "l0"])
def test_without_their_rounding_float32_minima_do_not(norm: str) -> None:
    above = 0
    for seed in range(20):
        region, a = _rounded_balls(norm, seed, 600, 1.0)
        wide = region.to(torch.float64)
        reached = (a.double() * wide.minimiser(a.double())).sum(2)
        above += bool((region.minimum(a).double() > reached + 1e-9).any())
    assert above > 3


def _rounded_balls(norm: str, seed: int, size: int, scale: float) -> tuple[Region, Tensor]:
    """Four float32 balls and functions, some of whose coefficients are zero or all alike."""
    generator = torch.Generator().manual_seed(seed)
    center = scale * torch.randn(4, size, generator=generator)
    room = scale * torch.rand(2, 4, size, generator=generator) * (torch.rand(2, 4, 1, generator=generator) * 3).exp2()
    radius = scale * torch.rand(4, generator=generator) * math.sqrt(size)
    pixels = torch.randint(0, size + 1, (4,), generator=generator) if norm == "l0" else None
    a = torch.randn(4, 3, size, generator=generator)
    a[:, 1] *= torch.rand(4, size, generator=generator) > 0.5
    a[:, 2] = 1
    return Region(center - room[0], center + room[1], center, radius, norm, pixels), a
