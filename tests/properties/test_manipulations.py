"""Sets of manipulated pictures, member by member, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from robust.errors import PropertyError
from robust.properties import Box
from robust.properties.manipulations import Blur, Camera, Light, Manipulation, Occlusion, Pixels, Scratch

SHAPE = (2, 3, 4)
BOX = Box(torch.full(SHAPE, -1.0), torch.full(SHAPE, 3.0))
X = torch.linspace(-0.9, 2.9, 24).reshape(SHAPE)
SETS: list[Manipulation] = [
    Pixels(1), Pixels(2), Scratch(2), Occlusion(2, 3), Light(brightness=(-0.5, 0.0, 0.5)),
    Light(contrast=(0.5, 1.0, 1.5)), Camera(angles=(-10.0, 0.0, 10.0)), Camera("shift", rows=(-1.0, 0.0, 1.0)), Blur(),
]  # fmt: skip


def everything(made: Manipulation) -> torch.Tensor:
    return made.pictures(X, torch.arange(made.count(SHAPE)), BOX)


@pytest.mark.parametrize("made", SETS, ids=repr)
def test_every_member_is_a_picture_in_the_box_with_words_of_its_own(made: Manipulation) -> None:
    pictures = everything(made)
    assert pictures.shape == (made.count(SHAPE), *SHAPE)
    assert bool(BOX.contains(pictures).all())
    words = [made.words(number, SHAPE) for number in range(len(pictures))]
    assert len(set(words)) == len(words)
    assert isinstance(made, Manipulation)
    for number, text in enumerate(words):
        if text == "no change":
            assert torch.equal(pictures[number], X)


def test_two_pixels_are_all_choices_once() -> None:
    made = Pixels(2)
    assert made.count(SHAPE) == math.comb(12, 2) * 4
    pictures = everything(made)
    changed = (pictures != X).all(1).flatten(1)
    assert changed.sum(1).tolist() == [2] * len(pictures)
    seen = {tuple(picture.flatten().tolist()) for picture in pictures}
    assert len(seen) == len(pictures)
    assert {
        float(picture[place]) for picture, place in zip(pictures[:, 0].flatten(1), changed.int().argmax(1), strict=True)
    } == {-1.0, 3.0}


def test_words_of_a_pixel_name_its_place() -> None:
    made = Pixels(1)
    for number in range(made.count(SHAPE)):
        picture = made.pictures(X, torch.tensor([number]), BOX)[0]
        place = int((picture != X).all(0).flatten().int().argmax())
        assert f"row {place // 4 + 1}, column {place % 4 + 1} becomes" in made.words(number, SHAPE)


def test_a_scratch_is_a_line_of_its_length() -> None:
    made = Scratch(3, (1.0,))
    counts = (everything(made) == 3.0).all(1).flatten(1).sum(1)
    assert int(counts.max()) == 3
    first = made.pictures(X, torch.tensor([0]), BOX)[0]
    assert (first == 3.0).all(0).tolist() == [[True, True, True, False], [False] * 4, [False] * 4]
    assert made.words(0, SHAPE) == "a scratch of 3 pixels from row 1, column 1 to the right, at its highest value"


def test_light_is_the_formula() -> None:
    bright = everything(Light(brightness=(-0.25, 0.25)))
    assert torch.allclose(bright[1], (X + 1.0).clamp(-1, 3))
    strong = everything(Light(contrast=(0.5,)))[0]
    assert torch.allclose(strong, 1 + 0.5 * (X - 1))


def test_a_whole_shift_moves_pixels() -> None:
    down = Camera("shift", rows=(1.0,)).pictures(X, torch.tensor([0]), BOX)[0]
    assert torch.allclose(down[:, 1:], X[:, :-1], atol=1e-5)
    assert float(down[:, 0].abs().max()) < 1e-5


def test_a_blur_keeps_a_constant_picture_and_flattens_others() -> None:
    constant = torch.full(SHAPE, 0.5)
    assert torch.allclose(Blur((1.0,)).pictures(constant, torch.tensor([0]), BOX)[0], constant, atol=1e-6)
    spread = everything(Blur((0.0, 1.0, 3.0))).flatten(1).std(1)
    assert spread.tolist() == sorted(spread.tolist(), reverse=True)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(PropertyError, match="does not fit"):
        Occlusion(4, 1).count(SHAPE)
    with pytest.raises(PropertyError, match="needs a picture"):
        Pixels().count((5,))
