"""The witness search: points of the box only, every clause served, the same with the same seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attacks.property_search import PropertySearch, float32_box
from robust.errors import PropertyError
from robust.properties import Box, Halfspaces, L2Ball, UnsafeSet


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def box(*ends: tuple[float, float]) -> Box:
    lower, upper = zip(*ends, strict=True)
    return Box(torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64))


def below(*rows: tuple[list[float], float]) -> Halfspaces:
    matrix, offset = zip(*rows, strict=True)
    return Halfspaces(torch.tensor(matrix, dtype=torch.float64), torch.tensor(offset, dtype=torch.float64))


def bumpy(x: Tensor) -> Tensor:
    """Two outputs of two inputs; the first is at least -1, reached where x0 = 0.3 and x1 = -0.6 only."""
    return torch.stack([(x[:, 0] - 0.3).abs() + (x[:, 1] + 0.6).abs() - 1, x.sum(1)], 1)


def test_a_small_target_inside_the_box_is_found() -> None:
    unsafe = UnsafeSet((below(([1.0, 0.0], -0.995)),))
    found = PropertySearch(restarts=16, steps=60)(bumpy, box((-1, 1), (-1, 1)), unsafe, generator=generator())
    assert found.hit
    assert torch.allclose(found.points[0], torch.tensor([0.3, -0.6]), atol=0.006)
    assert bool((found.distances[:-1] <= found.distances[1:]).all())


def test_what_cannot_be_reached_is_not_hit_and_the_best_point_is_near() -> None:
    unsafe = UnsafeSet((below(([1.0, 0.0], -1.5)),))
    found = PropertySearch(restarts=8, steps=80)(bumpy, box((-1, 1), (-1, 1)), unsafe, generator=generator())
    assert not found.hit
    assert 0.5 <= float(found.distances[0]) <= 0.52


def test_a_clause_behind_easier_looking_ones_is_served() -> None:
    hopeless = [below(([0.0, 1.0], -2.5 - place)) for place in range(30)]
    unsafe = UnsafeSet((*hopeless, below(([-1.0, 0.0], -1.85), ([0.0, 1.0], 0.0))))
    found = PropertySearch(restarts=6, steps=60)(bumpy, box((-1, 1), (-1, 1)), unsafe, generator=generator())
    assert found.hit  # |x0 - .3| + |x1 + .6| >= 2.85 and x0 + x1 <= 0: near (-1, 1) only
    assert unsafe.clauses[-1].contains(bumpy(found.points[:1])).item()


def test_points_never_leave_the_decimal_box() -> None:
    inside = box((0.1, 0.3), (-0.7, -0.1))  # no end is a float32 number
    unsafe = UnsafeSet((below(([1.0, 1.0], -9.0)),))
    found = PropertySearch(restarts=32, steps=10)(bumpy, inside, unsafe, generator=generator())
    points = found.points.double()
    assert bool(((points >= inside.lower) & (points <= inside.upper)).all())
    with pytest.raises(PropertyError, match="no float32 number"):
        float32_box(box((0.1, 0.1)))


def test_points_outside_of_a_set_that_is_no_box_are_not_returned() -> None:
    ball = L2Ball(torch.zeros(2), 0.5, box((-1, 1), (-1, 1)))
    unsafe = UnsafeSet((below(([0.0, 1.0], -0.9)),))  # corners of the bounding box only: x0 + x1 <= -0.9
    found = PropertySearch(restarts=16, steps=30)(lambda x: bumpy(x), ball, unsafe, generator=generator())
    assert not found.hit
    assert bool(ball.contains(found.points).all())


def test_the_same_seed_finds_the_same_and_starts_are_tried_first() -> None:
    unsafe, inside = UnsafeSet((below(([1.0, 0.0], -0.9999999)),)), box((-1, 1), (-1, 1))
    search = PropertySearch(restarts=5, steps=7)
    one, two = (search(bumpy, inside, unsafe, generator=generator(3)) for _ in range(2))
    assert torch.equal(one.points, two.points)
    given = torch.tensor([[0.3, -0.6]])
    found = search(bumpy, inside, unsafe, generator=generator(), starts=given)
    assert torch.equal(found.points[0], given[0])


def test_no_time_is_no_step_and_a_black_box_is_sampled() -> None:
    unsafe, inside = UnsafeSet((below(([0.0, 1.0], -1.0)),)), box((-1, 1), (-1, 1))
    stopped = PropertySearch()(bumpy, inside, unsafe, generator=generator(), expired=lambda: True)
    assert not stopped.hit
    assert len(stopped.points) == 0
    blind = PropertySearch(restarts=8, steps=20, gradients=False)
    found = blind(lambda x: bumpy(x.detach()), inside, unsafe, generator=generator())
    assert found.hit
