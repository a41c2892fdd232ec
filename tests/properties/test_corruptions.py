"""The fifteen corruptions against what is known of them without their code: identities, moments, a plain DCT."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties import Box
from robust.properties.corruptions import CORRUPTIONS, GROUPS, SEVERITIES, corrupt, corrupt_inputs
from robust.properties.corruptions.blurs import disk_kernel, path_kernels
from robust.properties.corruptions.jpeg import compressed, cosine_transform, inverse_transform
from robust.properties.corruptions.resampling import gaussian_kernel, pixels

NAMES = tuple(CORRUPTIONS)
SHAPES = ((1, 28, 28), (3, 32, 32), (3, 40, 60), (1, 8, 8))
KEEP_CONSTANTS = (
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "elastic_transform",
    "pixelate",
    "contrast",
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scenes(count: int, shape: tuple[int, int, int]) -> Tensor:
    """Smooth shapes with edges and fine grain, in [0.05, 0.95]."""
    channels, height, width = shape
    down = torch.linspace(0, 1, height)[:, None]
    right = torch.linspace(0, 1, width)
    made = torch.zeros(count, *shape)
    for place in range(count):
        for channel in range(channels):
            waves = torch.sin((6 + place) * right + 3 * channel) * torch.cos((5 + channel) * down + place)
            disk = ((down - 0.5) ** 2 + (right - 0.4) ** 2 < 0.02 * (1 + place % 4)).float()
            made[place, channel] = 0.45 + 0.2 * waves + 0.25 * disk
    return (made + 0.05 * torch.rand(made.shape, generator=seeded(9))).clamp(0.05, 0.95)


def test_there_are_fifteen_in_four_groups() -> None:
    assert [len(group) for group in GROUPS.values()] == [3, 4, 4, 4]
    assert len(NAMES) == 15


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_inside_the_box_seeded_and_of_the_same_shape(name: str, shape: tuple[int, int, int]) -> None:
    x = torch.cat([scenes(2, shape), torch.zeros(1, *shape), torch.ones(1, *shape)])
    kept = x.clone()
    before = torch.get_rng_state()
    for severity in SEVERITIES:
        made = corrupt(x, name, severity, seeded())
        assert made.shape == x.shape
        assert made.dtype == x.dtype
        assert float(made.min()) >= 0
        assert float(made.max()) <= 1
        assert torch.equal(made, corrupt(x, name, severity, seeded()))
    assert torch.equal(x, kept)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_severity_zero_is_the_picture(name: str) -> None:
    x = scenes(2, (3, 32, 32))
    assert torch.equal(corrupt(x, name, 0, seeded()), x)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_each_severity_changes_more_on_average(name: str, shape: tuple[int, int, int]) -> None:
    x = scenes(12, shape)
    distances = [float((corrupt(x, name, s, seeded()) - x).double().square().mean().sqrt()) for s in SEVERITIES]
    assert distances[0] == 0
    assert all(low < high for low, high in itertools.pairwise(distances)), distances


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", KEEP_CONSTANTS)
def test_a_constant_picture_stays(name: str, level: float) -> None:
    x = torch.full((2, 3, 30, 34), level)
    for severity in SEVERITIES:
        assert torch.allclose(corrupt(x, name, severity, seeded()), x, atol=2e-6)


@pytest.mark.parametrize("radius", [0.2, 0.5, 1.3, 4.0])
def test_kernels_are_means_without_shift_and_as_wide_as_they_say(radius: float) -> None:
    """Second moments: a disk has radius**2 / 4 per axis, a line length**2 / 12; reading bilinearly adds at most 1/4."""
    disk = disk_kernel(radius)
    path = path_kernels(2 * radius, torch.tensor([0.3, -0.5]))
    for kernel in (disk, *path, gaussian_kernel(radius)):
        assert float(kernel.min()) >= 0
        assert float(kernel.sum()) == pytest.approx(1, abs=1e-12)
        assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-12)
    places = torch.arange(len(disk)) - len(disk) // 2
    spread = float((disk.sum(0) * places**2).sum())
    assert 0.95 * radius**2 / 4 <= spread <= radius**2 / 4 + 0.25


def test_a_level_path_is_a_row() -> None:
    """Four pixels long, by hand: nine points half a pixel apart; the ends give half of one point to a neighbour."""
    kernel = path_kernels(4.0, torch.zeros(1))[0]
    assert torch.allclose(kernel[2], torch.tensor([1.5, 2, 2, 2, 1.5], dtype=torch.float64) / 9)
    assert float(kernel.sum() - kernel[2].sum()) == pytest.approx(0, abs=1e-12)


def test_lengths_follow_the_picture() -> None:
    assert pixels(10.0, torch.zeros(1, 1, 224, 300)) == 10
    assert pixels(10.0, torch.zeros(1, 1, 56, 56)) == 2.5
    assert pixels(8.0, torch.zeros(1, 1, 8, 8)) == 1


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.08), (2, 0.12), (3, 0.18)])
def test_gaussian_noise_has_its_deviation(severity: int, deviation: float) -> None:
    noise = CORRUPTIONS["gaussian_noise"](torch.full((4, 3, 100, 100), 0.5), severity, seeded()) - 0.5
    assert abs(float(noise.mean())) < 5 * deviation / math.sqrt(noise.numel())
    assert float(noise.std()) == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize(("severity", "photons"), [(1, 60), (3, 12), (5, 3)])
def test_shot_noise_varies_with_the_light(severity: int, photons: int) -> None:
    for level in (0.1, 0.6):
        made = CORRUPTIONS["shot_noise"](torch.full((4, 3, 100, 100), level), severity, seeded())
        assert float(made.mean()) == pytest.approx(level, rel=0.03)
        assert float(made.var()) == pytest.approx(level / photons, rel=0.05)
        assert torch.allclose(made * photons, (made * photons).round(), atol=1e-4)


@pytest.mark.parametrize(("severity", "share"), [(1, 0.03), (5, 0.27)])
def test_impulse_noise_hits_its_share(severity: int, share: float) -> None:
    made = corrupt(torch.full((4, 3, 100, 100), 0.5), "impulse_noise", severity, seeded())
    assert float((made == 0).float().mean()) == pytest.approx(share / 2, rel=0.06)
    assert float((made == 1).float().mean()) == pytest.approx(share / 2, rel=0.06)
    assert set(made.unique().tolist()) == {0.0, 0.5, 1.0}


def test_brightness_and_contrast_by_hand() -> None:
    x = torch.tensor([0.2, 0.4, 0.1]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    bright = corrupt(x, "brightness", 2, seeded())
    assert torch.allclose(bright[0, :, 0, 0], torch.tensor([0.3, 0.6, 0.15]))
    black = corrupt(torch.zeros(1, 3, 2, 2), "brightness", 5, seeded())
    assert torch.allclose(black, torch.full_like(black, 0.5))
    halves = torch.tensor([[0.0, 1.0], [0.0, 1.0]])[None, None]
    assert torch.allclose(corrupt(halves, "contrast", 3, seeded())[0, 0, 0], torch.tensor([0.4, 0.6]))


def test_pixelate_by_hand() -> None:
    x = torch.tensor([[0.0, 1.0, 0.2, 0.4], [1.0, 0.0, 0.4, 0.6], [0.1, 0.1, 0.8, 0.8], [0.1, 0.1, 0.8, 0.8]])
    made = corrupt(x[None, None], "pixelate", 2, seeded())[0, 0]
    assert torch.allclose(made[::2, ::2], torch.tensor([[0.5, 0.4], [0.1, 0.8]]))
    assert torch.equal(made[:2, :2], made[0, 0].expand(2, 2))


def direct_cosine_sum(block: Tensor) -> Tensor:
    """DCT-II of one 8x8 block from its definition (ITU-T T.81, A.3.3), term by term."""
    made = torch.zeros(8, 8, dtype=torch.float64)
    for u in range(8):
        for v in range(8):
            scale = (math.sqrt(0.5) if u == 0 else 1) * (math.sqrt(0.5) if v == 0 else 1) / 4
            made[u, v] = scale * sum(
                float(block[i, j]) * math.cos((2 * i + 1) * u * math.pi / 16) * math.cos((2 * j + 1) * v * math.pi / 16)
                for i in range(8)
                for j in range(8)
            )
    return made


def test_the_cosine_transform_is_the_cosine_sum() -> None:
    blocks = 255 * torch.rand(2, 8, 8, generator=seeded(), dtype=torch.float64) - 128
    made = cosine_transform(blocks)
    for block, found in zip(blocks, made, strict=True):
        assert torch.allclose(found, direct_cosine_sum(block), atol=1e-9)
    assert torch.allclose(inverse_transform(made), blocks, atol=1e-9)


def test_jpeg_rounds_the_cosine_sum() -> None:
    """One block at quality 50, where the step of the mean is 16 and that of the first ripple 11."""
    level = torch.full((1, 1, 8, 8), 0.7, dtype=torch.float64)
    mean = round(8 * (255 * 0.7 - 128) / 16) * 16 / 8
    assert torch.allclose(compressed(level, 50), torch.full_like(level, (mean + 128) / 255), atol=1e-9)
    ripple = 0.5 + 0.01 * torch.cos((2 * torch.arange(8) + 1) * math.pi / 16).expand(1, 1, 8, 8).double()
    coefficient = float(direct_cosine_sum(255 * ripple[0, 0] - 128)[0, 1])
    kept = round(coefficient / 11) * 11
    assert float(direct_cosine_sum(255 * compressed(ripple, 50)[0, 0] - 128)[0, 1]) == pytest.approx(kept, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 37, 21)], ids=str)
def test_jpeg_at_quality_100_loses_rounding_only(shape: tuple[int, int, int]) -> None:
    """Steps of 1 err by at most 1/2 per coefficient, which the orthonormal inverse keeps on the average of squares."""
    x = scenes(3, shape).double()
    error = 255 * (compressed(x, 100) - x)
    assert float(error.square().mean().sqrt()) < (0.5 if shape[0] == 1 else 0.5 * 1.8)
    assert float(error.abs().max()) < 3


def test_inputs_of_any_layout_and_box() -> None:
    x = scenes(2, (3, 20, 24))
    wanted = corrupt(x, "motion_blur", 3, seeded())
    low, high = torch.tensor([-2.0, -1.0, 0.0])[:, None, None], torch.tensor([2.0, 3.0, 255.0])[:, None, None]
    box = Box(low.expand(3, 20, 24), high.expand(3, 20, 24))
    made = corrupt_inputs(box.clamp(low + x * (high - low)), box, "motion_blur", 3, seeded())
    assert torch.allclose((made - low) / (high - low), wanted, atol=1e-5)
    unit = Box(torch.zeros(20, 24, 3), torch.ones(20, 24, 3))
    last = corrupt_inputs(x.movedim(1, -1), unit, "motion_blur", 3, seeded())
    assert torch.allclose(last, wanted.movedim(1, -1), atol=1e-6)
    plane = Box(torch.zeros(20, 24), torch.ones(20, 24))
    flat = corrupt_inputs(x[:, 0], plane, "pixelate", 3, seeded())
    assert torch.equal(flat, corrupt(x[:, :1], "pixelate", 3, seeded())[:, 0])


def test_224_pixels_and_a_batch_of_none() -> None:
    x = scenes(1, (3, 224, 224))
    for name in NAMES:
        made = corrupt(x, name, 5, seeded())
        assert bool(torch.isfinite(made).all())
        assert not torch.equal(made, x)
        assert corrupt(x[:0], name, 3, seeded()).shape == (0, 3, 224, 224)


@pytest.mark.parametrize(
    ("x", "name", "severity", "words"),
    [
        (torch.zeros(1, 1, 8, 8), "rain", 1, "no such corruption"),
        (torch.zeros(1, 1, 8, 8), "fog", 6, "severity"),
        (torch.zeros(1, 2, 8, 8), "fog", 1, "pictures"),
        (torch.zeros(1, 1, 1, 8), "fog", 1, "pictures"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), "fog", 1, "pictures"),
        (torch.full((1, 1, 8, 8), 1.5), "fog", 1, "0 <= x <= 1"),
        (torch.full((1, 1, 8, 8), math.nan), "fog", 1, "NaN"),
    ],
)
def test_bad_input_is_refused(x: Tensor, name: str, severity: int, words: str) -> None:
    with pytest.raises(PropertyError, match=words):
        corrupt(x, name, severity, seeded())


def test_an_impossible_quality_is_refused() -> None:
    with pytest.raises(PropertyError, match="quality"):
        compressed(torch.zeros(1, 1, 8, 8), 0)
    with pytest.raises(PropertyError, match="channels"):
        compressed(torch.zeros(1, 2, 8, 8), 50)
