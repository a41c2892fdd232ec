"""Unions: patches, few pixels, and the split of a property into pieces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from robust.errors import PropertyError
from robust.properties import (
    Box,
    L0Ball,
    Union,
    few_pixels,
    linf_ball,
    misclassification,
    patch,
    pieces,
    split_property,
)

UNIT = Box(torch.zeros(1, 3, 4), torch.ones(1, 3, 4))
X = torch.full((1, 3, 4), 0.5)


def test_a_patch_has_one_box_per_place() -> None:
    union = patch(X, 2, 3, UNIT)
    assert len(union.pieces()) == 2 * 2
    first = union.pieces()[0]
    assert isinstance(first, Box)
    assert (first.upper > first.lower)[0].int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    inside, outside = X.clone(), X.clone()
    inside[0, 1:, 1:] = 1
    outside[0, 0, 0] = outside[0, 2, 3] = 1
    assert union.contains(torch.stack([inside, outside])).tolist() == [True, False]


@pytest.mark.parametrize("merge", [2, 3])
def test_merged_places_cover_every_place(merge: int) -> None:
    fine, coarse = patch(X, 1, 2, UNIT), patch(X, 1, 2, UNIT, merge=merge)
    assert len(coarse.pieces()) < len(fine.pieces())
    for piece in fine.pieces():
        box = piece.bounding_box()
        assert any(
            bool((box.lower >= other.bounding_box().lower).all() and (box.upper <= other.bounding_box().upper).all())
            for other in coarse.pieces()
        )


def test_few_pixels_are_the_l0_ball() -> None:
    x = torch.rand(2, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    box = Box(torch.zeros(2, 2, 2), torch.ones(2, 2, 2))
    union, ball = few_pixels(x, 2, box, groups=2), L0Ball(x, 2, box, groups=2)
    assert len(union.pieces()) == 6
    functions = torch.randn(20, 2, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(union.minimum(functions), ball.minimum(functions))


def test_a_property_splits_into_its_pieces() -> None:
    left, right = linf_ball(X, 0.1, UNIT), linf_ball(X, 0.2, UNIT)
    nested = Union((Union((left, right)), left))
    assert pieces(nested) == (left, right, left)
    question = misclassification(nested, 0, 2)
    parts = split_property(question)
    assert [part.inputs for part in parts] == [left, right, left]
    assert all(part.unsafe is question.unsafe for part in parts)
    assert "piece 2 of 3" in parts[1].name
    assert split_property(misclassification(left, 0, 2))[0].inputs is left
    torch.testing.assert_close(nested.bounding_box().upper, right.upper.double())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Union(()),
        lambda: Union((UNIT, Box(torch.zeros(1), torch.ones(1)))),
        lambda: patch(X, 4, 1, UNIT),
        lambda: patch(X, 0, 1, UNIT),
        lambda: patch(X, 1, 1, UNIT, merge=0),
        lambda: patch(X + 1, 1, 1, UNIT),
        lambda: patch(torch.zeros(3), 1, 1, Box(torch.zeros(3), torch.ones(3))),
        lambda: few_pixels(X, 13, UNIT),
        lambda: few_pixels(torch.zeros(1, 64, 64), 3, Box(torch.zeros(1, 64, 64), torch.ones(1, 64, 64))),
    ],
)
def test_impossible_unions_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(PropertyError):
        make()
