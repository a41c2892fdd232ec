"""What processing does (Hendrycks and Dietterich 2019, section 3): contrast, elastic transform, pixelate, JPEG."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from robust.properties.corruptions.jpeg import compressed
from robust.properties.corruptions.resampling import pixels, read_at, smooth_field

CONTRASTS = (0.4, 0.3, 0.2, 0.1, 0.05)
"""What is left of the distance to the channel's mean."""

STRETCHES = (4.0, 7.0, 10.0, 14.0, 18.0)
"""How far a pixel moves at most, about, in a picture of 224 pixels a side."""

RESOLUTIONS = (0.6, 0.5, 0.4, 0.3, 0.25)
"""Share of the pixels a side that is left."""

QUALITIES = (25, 18, 15, 10, 7)
"""Of JPEG."""


def contrast(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """Each channel drawn towards its mean."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + CONTRASTS[severity - 1] * (x - mean)


def elastic_transform(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """Pixels read from places that a smooth random field moves (Simard et al. 2003), six cells a side."""
    reach = pixels(STRETCHES[severity - 1], x)
    rows, columns = (reach * smooth_field(x, 6, generator)[:, 0] for _ in range(2))
    return read_at(x, rows, columns)


def pixelate(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """Averaged onto fewer pixels, and each of these drawn as a block; a pixel between blocks mixes them by area."""
    share = RESOLUTIONS[severity - 1]
    for axis in (2, 3):
        side = x.shape[axis]
        overlap = shared_lengths(max(1, round(share * side)), side).to(x)
        merged = torch.tensordot(x, overlap / overlap.sum(1, keepdim=True), dims=([axis], [1]))
        x = torch.tensordot(merged, overlap / overlap.sum(0), dims=([3], [0])).movedim(3, axis)
    return x


def shared_lengths(coarse: int, fine: int) -> Tensor:
    """How long each of ``coarse`` equal parts of a line overlaps each of ``fine``: float64 ``[coarse, fine]``."""
    ends = [torch.arange(count + 1, dtype=torch.float64) / count for count in (coarse, fine)]
    upper = torch.minimum(ends[0][1:, None], ends[1][1:])
    lower = torch.maximum(ends[0][:-1, None], ends[1][:-1])
    return (upper - lower).clamp(min=0)


def jpeg_compression(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """Compressed and read again."""
    return compressed(x, QUALITIES[severity - 1])
