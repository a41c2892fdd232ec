"""Motions: every sampled image lies in the box of its cell, boxes shrink with cells, and signs are as stated."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.errors import PropertyError
from robust.properties import Box, Motion, moved, rotation, scaling, transformed, translation
from robust.properties.interpolation import bilinear, bilinear_range


def picture(height: int, width: int, seed: int, channels: int = 1) -> tuple[torch.Tensor, Box]:
    x = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed))
    return x, Box(torch.zeros_like(x), torch.ones_like(x))


def test_signs_by_hand() -> None:
    # One bright pixel right of the centre of a 3 x 3 picture.
    x = torch.zeros(1, 3, 3, dtype=torch.float64)
    x[0, 1, 2] = 1.0
    turned = transformed(x, 90.0)
    assert float(turned[0, 0, 1]) == pytest.approx(1.0)  # counter-clockwise: it goes up
    assert float(transformed(x, 0.0, rows=1.0)[0, 2, 2]) == pytest.approx(1.0)  # down
    assert float(transformed(x, 0.0, columns=-1.0)[0, 1, 1]) == pytest.approx(1.0)  # left
    shifted = transformed(x, 0.0, columns=-0.5)[0, 1]
    assert shifted.tolist() == pytest.approx([0.0, 0.5, 0.5])
    wide = torch.zeros(1, 1, 5, dtype=torch.float64)
    wide[0, 0, 3] = 1.0
    assert float(transformed(wide, 0.0, scale=2.0)[0, 0, 4]) == pytest.approx(1.0)  # away from the centre


@pytest.mark.parametrize(
    ("motion", "cells"),
    [
        (Motion(angle=(-40.0, 200.0)), (7, 1, 1, 1)),
        (Motion(angle=(-5.0, 5.0)), (40, 1, 1, 1)),
        (Motion(scale=(0.6, 1.7)), (1, 9, 1, 1)),
        (Motion(rows=(-2.0, 1.3), columns=(-0.5, 3.0)), (1, 1, 5, 6)),
        (Motion((-20.0, 30.0), (0.8, 1.2), (-1.0, 1.0), (0.0, 2.0)), (4, 3, 2, 3)),
        (Motion((-180.0, 180.0), (0.3, 3.0), (-9.0, 9.0), (-9.0, 9.0)), (1, 1, 1, 1)),
    ],
)
@pytest.mark.parametrize("size", [(6, 6), (4, 7)])
def test_every_sampled_image_lies_in_the_box_of_its_cell(
    motion: Motion, cells: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    x, box = picture(*size, seed=3, channels=2)
    boxes = moved(x, motion, cells, box).pieces()
    parts = motion.cells(cells)
    generator = torch.Generator().manual_seed(5)
    assert len(boxes) == len(parts) == math.prod(cells)
    for cell, piece in zip(parts, boxes, strict=True):
        draws = torch.rand(max(12, 2400 // len(boxes)), 4, generator=generator, dtype=torch.float64)
        draws[::3] = draws[::3].round()  # corners of the cell
        images = []
        for row in draws.tolist():
            values = [low + (high - low) * share for (low, high), share in zip(cell.ranges, row, strict=True)]
            images.append(transformed(x.double(), *values))
        assert bool(piece.contains(torch.stack(images).clamp(0, 1)).all())
        single = transformed(x, *[high for _, high in cell.ranges]).clamp(0, 1)  # in float32 as well
        assert bool(piece.contains(single[None]).all())


def test_boxes_shrink_to_the_image_with_the_cells() -> None:
    x, box = picture(8, 8, seed=1)
    for make in (
        lambda n: rotation(x, -30, 30, cells=n, box=box),
        lambda n: scaling(x, 0.8, 1.2, cells=n, box=box),
        lambda n: translation(x, (-1, 1), (0, 0), cells=(n, 1), box=box),
    ):
        widths = []
        for count in (4, 40, 400):
            ends = [piece.bounding_box() for piece in make(count).pieces()]
            widths.append(max(float((end.upper - end.lower).max()) for end in ends))
        assert widths[1] < widths[0] / 4
        assert widths[2] < widths[1] / 5
        assert widths[2] < 0.03


def test_cells_of_a_rotation_are_tight() -> None:
    # The interpolant's path is an arc: over a small cell the box is hardly wider than what dense sampling finds.
    x, box = picture(9, 9, seed=2)
    (piece,) = rotation(x, 10.0, 10.5, cells=1, box=box).pieces()
    images = torch.stack([transformed(x.double(), 10.0 + 0.5 * i / 200) for i in range(201)])
    sampled = images.amax(0) - images.amin(0)
    end = piece.bounding_box()
    width = (end.upper - end.lower).double()
    assert bool((width >= sampled - 1e-9).all())
    assert float(width.mean()) < 2.0 * float(sampled.mean())


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_bilinear_ranges_are_those_of_a_dense_grid(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(1, 3, 4, generator=generator, dtype=torch.float64)
    low = torch.rand(2, generator=generator, dtype=torch.float64) * 7 - 2.5
    high = low + torch.rand(2, generator=generator, dtype=torch.float64) * 3
    found = bilinear_range(image, low[:1], high[:1], low[1:], high[1:])
    # 3001 points per axis miss an extremum at a kink by at most a step times the slope.
    axes = [torch.linspace(float(a), float(b), 301, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    values = bilinear(image, axes[0][:, None].expand(-1, 301), axes[1].expand(301, -1))
    assert float(found[0]) <= float(values.min()) + 1e-12
    assert float(found[1]) >= float(values.max()) - 1e-12
    slope = 4 * float(image.abs().max()) * 3 / 300
    assert float(found[0]) >= float(values.min()) - slope
    assert float(found[1]) <= float(values.max()) + slope


SMALL, UNIT = picture(3, 3, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rotation(SMALL, 5, -5, cells=1, box=UNIT),
        lambda: rotation(SMALL, float("nan"), 5, cells=1, box=UNIT),
        lambda: rotation(SMALL, -5, 5, cells=0, box=UNIT),
        lambda: scaling(SMALL, 0.0, 1.0, cells=1, box=UNIT),
        lambda: moved(SMALL, Motion(), (1, 1, 1), UNIT),
        lambda: moved(SMALL + 1, Motion(), (1, 1, 1, 1), UNIT),
        lambda: moved(torch.zeros(3), Motion(), (1, 1, 1, 1), Box(torch.zeros(3), torch.ones(3))),
        lambda: moved(SMALL + 1, Motion(), (1, 1, 1, 1), Box(UNIT.lower + 0.5, UNIT.upper + 1)),
        lambda: rotation(SMALL, -5, 5, cells=10**7, box=UNIT),
    ],
)
def test_impossible_motions_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(PropertyError):
        make()
