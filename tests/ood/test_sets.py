from __future__ import annotations

import torch

from robust.ood.sets import (
    gaussian_noise,
    is_picture,
    mixtures,
    permuted_columns,
    permuted_pixels,
    quarter_turns,
    uniform_noise,
)
from robust.properties import Box


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_noise_fills_the_box_and_stays_inside() -> None:
    box = Box(torch.tensor([-1.0, 0.0, 5.0]), torch.tensor([1.0, 0.0, 9.0]))
    for maker, deviation in ((uniform_noise, 2 / 12**0.5), (gaussian_noise, None)):
        drawn = maker(box, 4000, rng())
        assert drawn.dtype == torch.float32
        assert bool(box.contains(drawn).all())
        assert drawn.mean(0).tolist()[1] == 0.0
        assert abs(drawn[:, 2].mean().item() - 7.0) < 0.1
        if deviation:
            assert abs(drawn[:, 0].std().item() - deviation) < 0.02
        assert torch.equal(drawn, maker(box, 4000, rng()))


def test_permuted_pixels_keep_every_pixel_whole() -> None:
    samples = torch.rand(7, 3, 4, 5, generator=rng(1))
    permuted = permuted_pixels(samples, rng())
    before = {tuple(pixel) for pixel in samples[2].reshape(3, -1).T.tolist()}
    after = {tuple(pixel) for pixel in permuted[2].reshape(3, -1).T.tolist()}
    assert before == after
    assert not torch.equal(samples[2], permuted[2])
    grey = permuted_pixels(samples[:, 0], rng())
    assert torch.equal(grey.flatten(1).sort(1).values, samples[:, 0].flatten(1).sort(1).values)


def test_permuted_columns_keep_every_column() -> None:
    samples = torch.rand(50, 6, generator=rng(1))
    permuted = permuted_columns(samples, rng())
    assert torch.equal(permuted.sort(0).values, samples.sort(0).values)
    assert not torch.equal(permuted.sum(1), samples.sum(1))


def test_mixtures_are_of_two_classes() -> None:
    labels = torch.tensor([0, 0, 0, 4])
    samples = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    assert mixtures(samples, labels, 30, rng()).unique().tolist() == [0.5]
    assert len(mixtures(samples, labels * 0, 30, rng())) == 0


def test_quarter_turns_and_what_a_picture_is() -> None:
    square = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert quarter_turns(square)[0, 0].tolist() == [[1.0, 3.0], [0.0, 2.0]]
    wide = torch.arange(6.0).reshape(1, 2, 3)
    assert quarter_turns(wide)[0].tolist() == [[5.0, 4.0, 3.0], [2.0, 1.0, 0.0]]
    shapes = {(1, 8, 8): True, (3, 32, 32): True, (8, 8): True, (13,): False, (2, 8, 8): False, (1, 1, 64): False}
    assert {shape: is_picture(shape) for shape in shapes} == shapes
