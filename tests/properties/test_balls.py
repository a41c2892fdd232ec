"""L1 and L0 balls: membership and errors. Their minima are checked with those of regions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from robust.errors import PropertyError
from robust.properties import Box, L0Ball, L1Ball, L2Ball

UNIT = Box(torch.zeros(2, 1, 2), torch.ones(2, 1, 2))
HALF = torch.full((2, 1, 2), 0.5)


def image(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, 2, 1, 2)


def test_l1_membership_to_the_last_bit() -> None:
    ball = L1Ball(HALF, 0.5, UNIT)
    assert bool(ball.contains(image(0.75, 0.25, 0.5, 0.5)))
    assert not bool(ball.contains(image(0.75, 0.25, 0.5, math.nextafter(0.5, 0))))
    assert not bool(ball.contains(image(0.5, 0.5, 0.5, float("nan"))))
    assert not bool(L1Ball(HALF, 5.0, UNIT).contains(image(0.5, 0.5, 0.5, 1.0000001)))


def test_l0_counts_all_channels_of_a_pixel_once() -> None:
    both_channels, two_pixels = image(1, 0.5, 0, 0.5), image(1, 0, 0.5, 0.5)
    assert bool(L0Ball(HALF, 1, UNIT, groups=2).contains(both_channels))
    assert not bool(L0Ball(HALF, 1, UNIT, groups=2).contains(two_pixels))
    assert not bool(L0Ball(HALF, 1, UNIT).contains(both_channels))
    assert bool(L0Ball(HALF, 2, UNIT).contains(torch.cat([both_channels, two_pixels])).all())
    nudged = image(0.5, 0.5, 0.5, math.nextafter(0.5, 1))
    assert not bool(L0Ball(HALF, 0, UNIT).contains(nudged))


def test_bounding_boxes_round_outwards() -> None:
    # 1/3 as a float32 plus a radius of 1/10 is not a float32: the ends must enclose the exact sums.
    center = torch.full((1,), 1 / 3)
    for ball in (L1Ball, L2Ball):
        box = ball(center, 0.1, Box(torch.zeros(1), torch.ones(1))).bounding_box()
        assert float(box.lower) <= float(center) - 0.1 < math.nextafter(float(box.lower), 1) + 1e-7
        assert float(box.upper) >= float(center) + 0.1
    assert L0Ball(HALF, 0, UNIT).bounding_box().upper.tolist() == HALF.tolist()


def test_box_membership_compares_in_float64() -> None:
    box = Box(torch.zeros(1, dtype=torch.float64), torch.tensor([0.1], dtype=torch.float64))
    # The float32 nearest to 0.1 is 0.100000001490116: outside.
    assert not bool(box.contains(torch.tensor([[0.1]])))
    assert bool(box.contains(torch.tensor([[0.1]], dtype=torch.float64)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: L1Ball(HALF, -1.0, UNIT),
        lambda: L1Ball(HALF, math.nan, UNIT),
        lambda: L1Ball(HALF + 1, 0.1, UNIT),
        lambda: L1Ball(HALF[0], 0.1, UNIT),
        lambda: L2Ball(HALF + 1, 0.1, UNIT),
        lambda: L0Ball(HALF, 5, UNIT),
        lambda: L0Ball(HALF, 3, UNIT, groups=2),
        lambda: L0Ball(HALF, 1, UNIT, groups=4),
        lambda: L0Ball(HALF, -1, UNIT),
        lambda: L0Ball(HALF * math.nan, 1, UNIT),
        lambda: Box(torch.zeros(0), torch.zeros(0)),
    ],
)
def test_impossible_balls_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(PropertyError):
        make()
