"""Exhaustive search: a planted pixel is found, and only what was asked is called complete."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.properties import Box
from robust.properties.manipulations import Pixels
from robust.record.answer import Verdict
from verifiers.exhaustive import search

BOX = Box(torch.zeros(1, 6, 6), torch.ones(1, 6, 6))
X = torch.full((1, 6, 6), 0.5)


def backdoor(x: Tensor) -> Tensor:
    """Class 0, but where the pixel in row 5, column 3 is white."""
    score = x[:, 0, 4, 2] - 0.9
    return torch.stack([torch.zeros_like(score), score], 1)


def test_a_planted_pixel_is_found_and_named() -> None:
    found = search(backdoor, X, 0, Pixels(), BOX)
    assert found.verdict is Verdict.FALSIFIED
    assert (found.asked, found.count, found.broken, found.answer) == (72, 72, 1, 1)
    assert found.number is not None
    assert Pixels().words(found.number, (1, 6, 6)).startswith("the pixel in row 5, column 3")
    assert found.witness is not None
    assert int(backdoor(found.witness[None]).argmax()) == 1


def test_complete_is_said_of_complete_searches_only() -> None:
    def same(x: Tensor) -> Tensor:
        return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    assert search(same, X, 0, Pixels(), BOX).verdict is Verdict.VERIFIED
    drawn = search(same, X, 0, Pixels(), BOX, most=71, generator=torch.Generator().manual_seed(0))
    assert (drawn.verdict, drawn.asked, drawn.count) == (Verdict.UNKNOWN, 71, 72)
    many = search(same, X, 0, Pixels(2), BOX, most=100, generator=torch.Generator().manual_seed(0))
    assert many.verdict is Verdict.UNKNOWN
    assert 90 <= many.asked <= 100


def test_nan_keeps_no_answer() -> None:
    found = search(lambda x: backdoor(x) * float("nan"), X, 0, Pixels(), BOX)
    assert found.verdict is Verdict.UNKNOWN
    assert found.broken == 72
