"""The exact range of bilinear interpolation over rectangles of coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 2**21
"""Corners that are evaluated at once."""


def bilinear_range(image: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of the interpolant over rectangles; 0 outside the image (zero padding).

    Between neighbouring pixel centres the interpolant is bilinear, so over the part of a rectangle that lies between
    them its extrema are at corners. Lines through pixel centres cut a rectangle into such parts; all their corners
    are evaluated at once.

    Args:
        image: ``[C, H, W]``, float64.
        top: ``[p]``, the smaller row coordinate; pixel centres are at integers, the first at 0.
        bottom: ``[p]``, the larger one.
        left: ``[p]``, the smaller column coordinate.
        right: ``[p]``, the larger one.

    Returns:
        Two of ``[C, p]``, exact up to rounding.
    """
    lows, highs = [], []
    spans = (bottom - top + 2).clamp_max(image.shape[1] + 2) * (right - left + 2).clamp_max(image.shape[2] + 2)
    size = max(1, int(CHUNK / (float(spans.max()) * len(image))))
    for ends in zip(*(torch.split(part, size) for part in (top, bottom, left, right)), strict=True):
        rows, columns = _cuts(ends[0], ends[1], image.shape[1]), _cuts(ends[2], ends[3], image.shape[2])
        shape = (len(rows), rows.shape[1], columns.shape[1])
        flat = bilinear(image, rows[:, :, None].expand(shape), columns[:, None].expand(shape)).flatten(2)
        lows.append(flat.amin(2))
        highs.append(flat.amax(2))
    return torch.cat(lows, 1), torch.cat(highs, 1)


def bilinear(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The interpolant of ``[C, H, W]`` at coordinates of any one shape ``[...]``: ``[C, ...]``; 0 outside."""
    height, width = image.shape[1:]
    padded = torch.nn.functional.pad(image, (1, 2, 1, 2))
    y, x = rows.clamp(-1, height), columns.clamp(-1, width)
    top, left = y.floor(), x.floor()
    down, over = y - top, x - left
    place = ((top + 1) * (width + 3) + left + 1).long()
    flat = padded.flatten(1)
    upper = flat[:, place] * (1 - over) + flat[:, place + 1] * over
    lower = flat[:, place + width + 3] * (1 - over) + flat[:, place + width + 4] * over
    return upper * (1 - down) + lower * down


def _cuts(low: Tensor, high: Tensor, size: int) -> Tensor:
    """Both ends and all integers between, ``[p, k]``, padded with the upper end; beyond the image all is 0."""
    low, high = low.clamp(-1, size), high.clamp(-1, size)
    first = low.floor()
    most = int((high - first).max().ceil()) if len(low) else 0
    inner = first[:, None] + torch.arange(1, most + 1, dtype=low.dtype, device=low.device)
    return torch.cat([low[:, None], torch.minimum(inner, high[:, None]), high[:, None]], 1)
