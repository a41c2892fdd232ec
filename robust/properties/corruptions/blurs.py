"""Blurs (Hendrycks and Dietterich 2019, section 3): out of focus, frosted glass, motion, zoom.

Lengths are given for pictures of 224 pixels a side and scaled to the picture (``resampling.pixels``).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from robust.properties.corruptions.resampling import filtered, gaussian_kernel, kernel_of, pixels, read_at

DISKS = (3.0, 4.0, 6.0, 8.0, 10.0)
"""Radii of the disk that a point becomes."""

SHARDS = ((1.0, 2.0), (1.4, 3.0), (1.8, 4.5), (2.2, 6.0), (3.0, 8.0))
"""Frosted glass: deviation of the blur, and how far a pixel may come from."""

PATHS = (10.0, 15.0, 20.0, 28.0, 36.0)
"""Lengths of the camera's path."""

ZOOMS = (1.11, 1.16, 1.21, 1.26, 1.31)
"""How much closer the camera comes."""


def defocus_blur(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """The mean over a disk around each pixel."""
    return filtered(x, disk_kernel(pixels(DISKS[severity - 1], x)))


def disk_kernel(radius: float) -> Tensor:
    """Uniform over a disk of a radius in pixels, float64 ``[k, k]``."""
    line = torch.linspace(-1, 1, 41, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    return kernel_of(radius * points[points.norm(dim=1) <= 1])


def glass_blur(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """Blurred, each pixel taken from a random place nearby, blurred again."""
    deviation, reach = (pixels(length, x) for length in SHARDS[severity - 1])
    kernel = gaussian_kernel(deviation)
    rows, columns = reach * (2 * torch.rand(2, len(x), *x.shape[-2:], generator=generator) - 1)
    return filtered(read_at(filtered(x, kernel), rows, columns), kernel)


def motion_blur(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """The mean along a straight path, in a direction up to 45 degrees from level, one per picture."""
    angles = (torch.rand(len(x), generator=generator) - 0.5) * math.pi / 2
    return filtered(x, path_kernels(pixels(PATHS[severity - 1], x), angles))


def path_kernels(length: float, angles: Tensor) -> Tensor:
    """Uniform along a path of a length in pixels, one kernel per angle ``[n]`` in radians: float64 ``[n, k, k]``."""
    line = length / 2 * torch.linspace(-1, 1, 2 * math.ceil(length) + 1, dtype=torch.float64)
    side = 2 * max(1, math.ceil(length / 2)) + 1
    made = torch.zeros(len(angles), side, side, dtype=torch.float64)
    for place, angle in enumerate(angles.tolist()):
        kernel = kernel_of(torch.stack([-math.sin(angle) * line, math.cos(angle) * line], 1))
        rim = (side - len(kernel)) // 2
        made[place, rim : side - rim, rim : side - rim] = kernel
    return made


def zoom_blur(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """The mean of the picture and eight enlargements of it about its centre."""
    height, width = x.shape[-2:]
    down = (torch.arange(height) - (height - 1) / 2)[:, None].expand(len(x), height, width)
    right = (torch.arange(width) - (width - 1) / 2).expand(len(x), height, width)
    total = x.clone()
    for scale in torch.linspace(1, ZOOMS[severity - 1], 9)[1:].tolist():
        total += read_at(x, down * (1 / scale - 1), right * (1 / scale - 1))
    return total / 9
