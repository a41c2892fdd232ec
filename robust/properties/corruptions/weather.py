"""Weather (Hendrycks and Dietterich 2019, section 3): snow, frost, fog, brightness. All of it is drawn, none of it is a
photograph: frost is made of ridges of noise, where the paper pastes pictures of it.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from robust.properties.corruptions.blurs import path_kernels
from robust.properties.corruptions.resampling import filtered, pixels, plasma, smooth_field

SNOW = ((1.45, 0.10), (1.2, 0.17), (1.05, 0.24), (0.9, 0.32), (0.75, 0.40))
"""Threshold, in deviations, above which there is a flake; how much the picture whitens."""

FROST = (0.35, 0.45, 0.55, 0.65, 0.75)
"""How much the ice covers where it is thickest."""

FOG = (0.5, 0.75, 1.0, 1.5, 2.0)
"""How much fog is added before the range is restored."""

BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""What is added to the value of a pixel (V of HSV), as a share of the range."""


def snow(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """The picture whitened, and flakes that fall steeply, drawn out by their motion."""
    threshold, white = SNOW[severity - 1]
    cells = max(8, round(min(x.shape[-2:]) / max(1.0, pixels(3, x))))
    drawn = torch.randn(len(x), 1, cells, cells, generator=generator)
    field = torch.nn.functional.interpolate(drawn, x.shape[-2:], mode="bilinear", align_corners=False).to(x)
    angles = math.pi / 2 + (torch.rand(len(x), generator=generator) - 0.5) * math.pi / 3
    flakes = filtered((2 * (field - threshold)).clamp(0, 1), path_kernels(pixels(12, x), angles))
    grey = x.mean(1, keepdim=True)
    return (1 - white) * x + white * torch.maximum(x, 0.5 + 0.5 * grey) + flakes


def frost(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """Ice: bright ridges of noise over the picture, thicker where a cloud says so and towards the edges."""
    thick = FROST[severity - 1]
    fields = [smooth_field(x, cells, generator, "bilinear") for cells in (5, 9, 17)]
    ridges = sum((1 - field.abs()) ** 3 for field in fields) / 3
    height, width = x.shape[-2:]
    down, right = torch.linspace(-1, 1, height).to(x)[:, None], torch.linspace(-1, 1, width).to(x)
    cover = (0.4 + 0.4 * plasma(x, 3, generator) + 0.4 * torch.maximum(down.abs(), right.abs()) ** 2).clamp(max=1)
    ice = thick * cover
    return (1 - ice) * x + ice * (0.4 + 0.6 * ridges)


def fog(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """``(x + c clouds) / (1 + c)``."""
    amount = FOG[severity - 1]
    return (x + amount * plasma(x, 5, generator)) / (1 + amount)


def brightness(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """The value of each pixel raised, its hue and saturation as they were: grey pixels stay grey."""
    value = x.amax(1, keepdim=True)
    raised = (value + BRIGHTNESS[severity - 1]).clamp(max=1)
    return torch.where(value > 1e-6, x * (raised / value.clamp(min=1e-6)), raised.expand_as(x))
