"""Changes against second methods (the verifier's motion, scipy's blur, arithmetic by hand); the attack by hand too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, ndimage
from torch import Tensor, nn

from attacks import Targeted
from attacks.changes import Blur, Chain, Change, ChangeAttack, Colour, Elastic, Jpeg, Light, Moving, Waves
from attacks.changes.named import AMOUNTS, change_of
from robust.errors import DataShapeError, UsageError
from robust.properties.corruptions.jpeg import compressed
from robust.properties.geometry import transformed
from tests.doubles import ModuleClassifier

EVERY: list[Change] = [
    Moving(angle=(-40, 40), scale=(0.5, 2), rows=(-3, 3), columns=(-3, 3)),
    Elastic(pixels=2.0),
    Light(brightness=(-0.3, 0.3), contrast=(0.5, 2)),
    Colour(hue=(-180, 180), saturation=(0, 2)),
    Blur(sigma=(0, 2)),
    Waves(amount=0.3),
]


def pictures(count: int, seed: int = 0, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, 7, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("change", [*EVERY, Chain(*EVERY)], ids=lambda change: change.name)
def test_neutral_parameters_change_nothing(change: Change) -> None:
    x = pictures(3)
    changed = change.apply(x, change.neutral((3, 7, 6)).expand(3, -1))
    torch.testing.assert_close(changed, x, atol=2e-5, rtol=0)
    ends = change.box((3, 7, 6))
    assert bool((ends[:, 0] <= change.neutral((3, 7, 6))).all() & (change.neutral((3, 7, 6)) <= ends[:, 1]).all())


@settings(max_examples=30, deadline=None)
@given(st.floats(-180, 180), st.floats(0.5, 2), st.floats(-3, 3), st.floats(-3, 3))
def test_a_motion_is_the_one_that_is_verified(angle: float, scale: float, rows: float, columns: float) -> None:
    x = pictures(1)
    moved = Moving().apply(x, torch.tensor([[angle, scale, rows, columns]]))
    torch.testing.assert_close(moved[0], transformed(x[0], angle, scale, rows, columns), atol=2e-4, rtol=0)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_a_blur_is_scipys(sigma: float) -> None:
    x = pictures(1)[0]
    wanted = ndimage.gaussian_filter(x.double().numpy(), (0, sigma, sigma), mode="nearest", radius=round(3 * sigma))
    found = Blur(sigma=(0, sigma)).apply(x[None], torch.tensor([[sigma]]))[0]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


def test_colours_by_hand() -> None:
    red, change = torch.zeros(1, 3, 2, 2), Colour(hue=(-360, 360), saturation=(0, 2))
    red[:, 0] = 0.9
    green = change.apply(red, torch.tensor([[120.0, 1.0]]))
    torch.testing.assert_close(green[0, :, 0, 0], torch.tensor([0.0, 0.9, 0.0]), atol=1e-6, rtol=0)
    blue = change.apply(red, torch.tensor([[-120.0, 1.0]]))
    torch.testing.assert_close(blue[0, :, 0, 0], torch.tensor([0.0, 0.0, 0.9]), atol=1e-6, rtol=0)
    grey = change.apply(red, torch.tensor([[45.0, 0.0]]))
    torch.testing.assert_close(grey, torch.full_like(grey, 0.3), atol=1e-6, rtol=0)
    x = pictures(2)
    turned = change.apply(x, torch.tensor([[77.0, 1.0], [200.0, 1.7]]))
    torch.testing.assert_close(turned.sum(1), x.sum(1), atol=1e-5, rtol=0)


def test_light_by_hand() -> None:
    x = torch.tensor([[[[0.2, 0.4], [0.6, 0.8]]]])
    lit = Light().apply(x, torch.tensor([[0.1, 2.0]]))  # the mean is .5
    torch.testing.assert_close(lit, torch.tensor([[[[0.0, 0.4], [0.8, 1.2]]]]))


def test_the_same_displacement_everywhere_is_a_shift() -> None:
    x, change = pictures(1), Elastic(pixels=2.0, knots=3)
    parameters = torch.cat([torch.full((1, 9), 1.0), torch.full((1, 9), -0.5)], 1)  # reads below and to the left
    wanted = transformed(x[0], 0.0, rows=-1.0, columns=0.5)
    torch.testing.assert_close(change.apply(x, parameters)[0], wanted, atol=1e-5, rtol=0)


def test_waves_are_the_inverse_cosine_transform() -> None:
    """Up to the factors of an orthonormal transform, which scipy knows."""
    x, amounts = torch.zeros(1, 1, 7, 6), torch.rand(1, 9, generator=torch.Generator().manual_seed(2))
    coefficients = np.zeros((7, 6))
    scale = [np.sqrt([size, *[size / 2] * 2]) for size in (7, 6)]
    coefficients[:3, :3] = amounts.reshape(3, 3).double().numpy() * np.outer(*scale)
    wanted = fft.idctn(coefficients, norm="ortho")
    np.testing.assert_allclose(Waves(amount=1.0).apply(x, amounts)[0, 0].numpy(), wanted, atol=1e-5)


def test_a_jpeg_change_is_the_corruption_and_nothing_at_its_neutral() -> None:
    x, change = pictures(3), Jpeg(quality=(5, 100))
    changed = change.apply(x, torch.tensor([[5.0], [50.2], [101.0]]))
    assert torch.equal(changed[0], compressed(x[:1], 5)[0])
    assert torch.equal(changed[1], compressed(x[1:2], 50)[0])
    assert torch.equal(changed[2], x[2])
    subject = brightness(0.6)
    grey = torch.full((1, 1, 4, 4), 0.5)
    attempt = ChangeAttack(change, looks=4, steps=3)(
        subject, grey, torch.zeros(1, dtype=torch.int64), torch.Generator()
    )
    assert not bool(attempt.success.any())  # a flat picture survives


def test_a_chain_hands_each_part_its_own_parameters() -> None:
    x = pictures(2)
    chain = Chain(Moving(), Light())
    parameters = torch.tensor([[10.0, 1.2, 0.5, 0.0, 0.1, 0.8], [-20.0, 0.9, 0.0, 1.0, -0.1, 1.5]])
    wanted = Light().apply(Moving().apply(x, parameters[:, :4]), parameters[:, 4:])
    assert torch.equal(chain.apply(x, parameters), wanted)


class OfMean(nn.Module):
    """Class 0 unless the mean lies within ``width`` of ``target``."""

    def __init__(self, target: float, width: float) -> None:
        super().__init__()
        self.target, self.width = target, width

    def forward(self, x: Tensor) -> Tensor:
        off = (x.flatten(1).mean(1) - self.target).abs()
        return torch.stack([off, torch.full_like(off, self.width)], 1)


def brightness(target: float, **options: bool) -> ModuleClassifier:
    return ModuleClassifier(OfMean(target, 0.002), (1, 4, 4), 2, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("differentiable", [True, False])
def test_what_is_in_reach_is_found_and_nothing_else(differentiable: bool) -> None:
    """Pictures of .5: a mean of .6 is within brightness .11 and not within .09; looks alone would miss it."""
    x, labels = torch.full((3, 1, 4, 4), 0.5), torch.zeros(3, dtype=torch.int64)
    for reach, found in ((0.11, True), (0.09, False)):
        subject = brightness(0.6, differentiable=differentiable)
        attack = ChangeAttack(Light(brightness=(-reach, reach)), looks=6, climbs=2, steps=40)
        attempt = attack(subject, x, labels, torch.Generator().manual_seed(1))
        assert attempt.success.tolist() == [found] * 3
        assert subject.rows == int(attempt.forward.sum()) + differentiable  # one row shows whether there are gradients
        assert bool((attempt.backward == 0).all()) is not differentiable
        changed = x + attempt.parameters[:, :1, None, None]
        torch.testing.assert_close(attempt.adversarials, changed, atol=1e-6, rtol=0)
        if found:
            assert bool(((attempt.adversarials.flatten(1).mean(1) - 0.6).abs() < 0.002 + 1e-6).all())
        else:
            assert bool((attempt.parameters[:, 0] > 0.085).all())  # the best effort goes as far as it may


def test_zero_gradients_do_not_stop_the_search() -> None:
    """The mean is seen in steps of .001 only, so every gradient is zero; a step at random gets there."""

    class Rounded(OfMean):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward((x * 1000).round() / 1000)

    subject = ModuleClassifier(Rounded(0.6, 0.002), (1, 4, 4), 2)
    x, labels = torch.full((3, 1, 4, 4), 0.5), torch.zeros(3, dtype=torch.int64)
    attack = ChangeAttack(Light(brightness=(-0.11, 0.11)), looks=6, climbs=2, steps=40)
    attempt = attack(subject, x, labels, torch.Generator().manual_seed(1))
    assert attempt.success.tolist() == [True] * 3
    assert not bool(attempt.dead.any())


@pytest.mark.parametrize("change", [each for each in EVERY if not isinstance(each, Colour)], ids=lambda each: each.name)
def test_pictures_without_channels_are_those_with_one(change: Change) -> None:
    x = pictures(2, channels=1)
    ends = change.box((7, 6))
    share = torch.rand(2, len(ends), generator=torch.Generator().manual_seed(4))
    parameters = ends[:, 0] + share * (ends[:, 1] - ends[:, 0])
    assert torch.equal(change.apply(x[:, 0], parameters), change.apply(x, parameters)[:, 0])


def test_what_the_box_cuts_off_is_not_counted() -> None:
    x, labels = torch.full((1, 1, 4, 4), 0.9), torch.zeros(1, dtype=torch.int64)
    attempt = ChangeAttack(Light(brightness=(-0.5, 0.5)))(brightness(1.2), x, labels, torch.Generator())
    assert not bool(attempt.success.any())
    assert float(attempt.adversarials.max()) <= 1.0


def test_samples_that_are_wrong_are_left_alone_and_seeds_repeat() -> None:
    x = torch.stack([torch.full((1, 4, 4), value) for value in (0.6, 0.5)])
    labels, attack = torch.zeros(2, dtype=torch.int64), ChangeAttack(Light(brightness=(-0.2, 0.2)), looks=8)
    one, two = (attack(brightness(0.6), x, labels, torch.Generator().manual_seed(5)) for _ in range(2))
    assert one.success[0]
    assert int(one.forward[0]) == 1
    assert torch.equal(one.adversarials[0], x[0])
    assert torch.equal(one.adversarials, two.adversarials)
    assert torch.equal(one.forward, two.forward)
    alone = attack(brightness(0.6), x[:0], labels[:0], torch.Generator())
    assert len(alone) == 0


def test_a_target_is_reached() -> None:
    class Three(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mean = x.flatten(1).mean(1)
            return torch.stack([0.5 - (mean - 0.5).abs(), mean - 0.2, 0.8 - mean], 1)  # 1 when bright, 2 when dark

    subject = ModuleClassifier(Three(), (1, 4, 4), 3)
    x, labels = torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    goal = Targeted(labels, torch.tensor([1, 2]))
    attempt = ChangeAttack(Light(brightness=(-0.3, 0.3)))(subject, x, goal, torch.Generator())
    assert attempt.success.tolist() == [True, True]
    assert subject.replay(attempt.adversarials).argmax(1).tolist() == [1, 2]


def test_words_of_the_command_line() -> None:
    assert change_of("rotation=30, shift=2").words() == {
        "angle": (-30.0, 30.0),
        "scale": (1.0, 1.0),
        "rows": (-2.0, 2.0),
        "columns": (-2.0, 2.0),
    }
    assert change_of("zoom=0.8").words()["scale"] == (0.8, 1.25)
    assert len(change_of(",".join(f"{word}=1.5" for word in AMOUNTS)).box((3, 8, 8))) == 32 + 4 + 1 + 2 + 2 + 9 + 1
    for text in ("rotate=30", "rotation", "rotation=-3", "rotation=nan", "rotation=1,rotation=2"):
        with pytest.raises(UsageError):
            change_of(text)


def test_bad_ranges_and_shapes_are_refused() -> None:
    for make in (
        lambda: Moving(angle=(3, -3)),
        lambda: Moving(scale=(0, 1)),
        lambda: Blur(sigma=(-1, 1)),
        lambda: Elastic(pixels=1, knots=1),
        lambda: Light(contrast=(float("nan"), 1)),
        lambda: Chain(),
        lambda: ChangeAttack(Light(), looks=0),
    ):
        with pytest.raises(UsageError):
            make()
    with pytest.raises(DataShapeError):
        Colour().ranges((1, 8, 8))
    for shape in ((8,), (8, 8, 3), (8, 8, 1)):
        with pytest.raises(DataShapeError):
            Moving().ranges(shape)
