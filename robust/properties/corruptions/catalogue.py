"""The fifteen common corruptions (Hendrycks and Dietterich 2019), by group and name, and how they are applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from robust.errors import PropertyError
from robust.properties.corruptions.blurs import defocus_blur, glass_blur, motion_blur, zoom_blur
from robust.properties.corruptions.digital import contrast, elastic_transform, jpeg_compression, pixelate
from robust.properties.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from robust.properties.corruptions.weather import brightness, fog, frost, snow
from robust.properties.input_sets import Box

Corruption = Callable[[Tensor, int, Generator], Tensor]
"""``(x [n, c, H, W] in [0, 1], severity 1 to 5, generator) -> [n, c, H, W]``; what leaves [0, 1] is clamped later."""

GROUPS: dict[str, dict[str, Corruption]] = {
    "noise": {"gaussian_noise": gaussian_noise, "shot_noise": shot_noise, "impulse_noise": impulse_noise},
    "blur": {
        "defocus_blur": defocus_blur,
        "glass_blur": glass_blur,
        "motion_blur": motion_blur,
        "zoom_blur": zoom_blur,
    },
    "weather": {"snow": snow, "frost": frost, "fog": fog, "brightness": brightness},
    "digital": {
        "contrast": contrast,
        "elastic_transform": elastic_transform,
        "pixelate": pixelate,
        "jpeg_compression": jpeg_compression,
    },
}
CORRUPTIONS: dict[str, Corruption] = {name: made for group in GROUPS.values() for name, made in group.items()}
SEVERITIES = (0, 1, 2, 3, 4, 5)


def corrupt(x: Tensor, name: str, severity: int, generator: Generator) -> Tensor:
    """Pictures under a corruption.

    Args:
        x: floating ``[n, c, H, W]`` in [0, 1], one channel or three; at least 2 pixels a side.
        name: one of ``CORRUPTIONS``.
        severity: 0 (``x`` itself) to 5.
        generator: on the CPU; its draws are the same on any device. The same seed at another severity makes the same
            picture, but stronger, except for shot noise.

    Returns:
        Likewise; in [0, 1].

    Raises:
        PropertyError: another name, severity or shape, integers, or values outside [0, 1] or NaN.
    """
    if name not in CORRUPTIONS:
        raise PropertyError("there is no such corruption", wanted=" or ".join(CORRUPTIONS), got=name)
    if severity not in SEVERITIES:
        raise PropertyError("a corruption has no such severity", wanted="0 to 5", got=severity)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or min(x.shape[2:]) < 2 or not x.is_floating_point():
        raise PropertyError(
            "a corruption needs pictures", wanted="floating [n, 1 or 3, H, W]", got=f"{x.dtype} {tuple(x.shape)}"
        )
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise PropertyError("a corruption needs pictures in [0, 1]", wanted="0 <= x <= 1", got="values outside, or NaN")
    if severity == 0 or not len(x):
        return x.clone()
    return CORRUPTIONS[name](x, severity, generator).clamp(0, 1)


def corrupt_inputs(x: Tensor, box: Box, name: str, severity: int, generator: Generator) -> Tensor:
    """``corrupt`` of a model's inputs: 0 and 1 are the ends of its box.

    Args:
        x: ``[n, *shape]`` inside the box, a sample ``[H, W]``, or with 1 or 3 channels first or last.
        box: the input box.
        name: one of ``CORRUPTIONS``.
        severity: 0 to 5.
        generator: on the CPU.

    Returns:
        ``[n, *shape]``, inside the box.

    Raises:
        PropertyError: as ``corrupt``.
    """
    low, high = box.lower.to(x), box.upper.to(x)
    width = torch.where(high > low, high - low, torch.ones_like(low))
    unit = ((x - low) / width).clamp(0, 1)
    last = _channels_last(x.shape[1:])
    pictures = unit.movedim(-1, 1) if last else unit[:, None] if x.ndim == 3 else unit
    made = corrupt(pictures.contiguous(), name, severity, generator)
    made = made.movedim(1, -1) if last else made.reshape(x.shape)
    return box.clamp(low + made * width)


def _channels_last(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and shape[0] not in (1, 3) and shape[2] in (1, 3)
