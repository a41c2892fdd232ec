"""What the corruptions share: lengths in proportion to the picture, kernels, shifted reading, random fields."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

REFERENCE_SIDE = 224
SMALLEST_SIDE = 28


def pixels(length: float, x: Tensor) -> float:
    """A length in a picture of 224 pixels a side, in pixels of ``x`` ``[..., H, W]``.

    In proportion to the shorter side; below 28 pixels a side lengths are those of 28, because less than half a
    pixel would be no change.
    """
    return length * max(SMALLEST_SIDE, min(x.shape[-2:])) / REFERENCE_SIDE


def kernel_of(points: Tensor) -> Tensor:
    """The kernel that averages a picture, read bilinearly, over points around each pixel.

    Args:
        points: ``[k, 2]``, rows and columns, in pixels.

    Returns:
        float64 ``[2 r + 1, 2 r + 1]``, at least 0, sum 1; with one point at 0 it changes nothing.
    """
    points = points.double()
    radius = max(1, math.ceil(float(points.abs().max())))
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    rows, columns = ((1 - (part[:, None] - places).abs()).clamp(min=0) for part in points.unbind(1))
    return rows.T @ columns / len(points)


def gaussian_kernel(deviation: float) -> Tensor:
    """A gaussian cut off beyond three deviations: float64 ``[2 r + 1, 2 r + 1]``, sum 1."""
    radius = max(1, math.ceil(3 * deviation))
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / deviation) ** 2)
    return torch.outer(line, line) / line.sum() ** 2


def filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """``x`` ``[n, c, H, W]`` under a kernel ``[k, k]``, or one per picture ``[n, k, k]``; edges are repeated."""
    count, channels = x.shape[:2]
    side = kernel.shape[-1]
    weights = kernel.to(x).expand(count, side, side).repeat_interleave(channels, 0)[:, None]
    flat = functional.pad(x.reshape(1, count * channels, *x.shape[2:]), (side // 2,) * 4, mode="replicate")
    return functional.conv2d(flat, weights, groups=count * channels).reshape(x.shape)


def read_at(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Each pixel of ``x`` ``[n, c, H, W]`` read bilinearly at its place plus a shift ``[n, H, W]`` in pixels.

    Outside the picture its edge is read.
    """
    height, width = x.shape[-2:]
    down = torch.arange(height).to(x)[:, None] + rows.to(x)
    right = torch.arange(width).to(x) + columns.to(x)
    grid = torch.stack([(2 * right + 1) / width - 1, (2 * down + 1) / height - 1], dim=-1)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def smooth_field(x: Tensor, cells: int, generator: Generator, mode: str = "bicubic") -> Tensor:
    """Random numbers in about [-1, 1], drawn on a grid of ``cells`` a side and interpolated: ``[n, 1, H, W]``."""
    drawn = 2 * torch.rand(len(x), 1, cells + 1, cells + 1, generator=generator) - 1
    return functional.interpolate(drawn, x.shape[-2:], mode=mode, align_corners=True).to(x)


def plasma(x: Tensor, octaves: int, generator: Generator) -> Tensor:
    """Clouds: fields of 2, 4, 8, ... cells, each half as strong as the one before, from 0 to 1: ``[n, 1, H, W]``."""
    fields = [0.5**octave * smooth_field(x, 2 ** (octave + 1), generator, "bilinear") for octave in range(octaves)]
    total = torch.stack(fields).sum(0)
    low, high = total.amin((1, 2, 3), keepdim=True), total.amax((1, 2, 3), keepdim=True)
    return (total - low) / (high - low).clamp(min=1e-6)
