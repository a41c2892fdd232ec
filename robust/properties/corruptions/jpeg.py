"""What JPEG loses: cosine transform of blocks, rounding, and back (ITU-T T.81, annexes A and K).

Like JPEG, not JPEG: colours keep their full resolution, and the coding that loses nothing is left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from robust.errors import PropertyError

BLOCK = 8

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Steps of brightness at quality 50 (table K.1)."""

CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""Steps of colour at quality 50 (table K.2)."""

TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Red, green and blue to brightness and two differences of colour (JFIF)."""


def compressed(x: Tensor, quality: int) -> Tensor:
    """Pictures in [0, 1], after compression; not clamped.

    Args:
        x: ``[n, c, H, W]``, one channel (brightness) or three (red, green, blue).
        quality: 1 to 100, scaled as the Independent JPEG Group does; at 100 all steps are 1 of 255.

    Raises:
        PropertyError: an impossible quality, or other channels.
    """
    if not 1 <= quality <= 100:
        raise PropertyError("JPEG has no such quality", wanted="1 to 100", got=quality)
    if x.shape[1] not in (1, 3):
        raise PropertyError("JPEG is of grey or coloured pictures", wanted="1 or 3 channels", got=x.shape[1])
    turn = torch.tensor(TO_YCC, dtype=torch.float64)
    levels = 255 * x.double()
    if x.shape[1] == 3:
        levels = torch.einsum("ij,njhw->nihw", turn.to(x.device), levels)
    levels[:, 0] -= 128
    coefficients = cosine_transform(_blocks(levels))
    tables = (LUMINANCE, CHROMINANCE, CHROMINANCE)[: x.shape[1]]
    steps = torch.stack([_steps(table, quality) for table in tables]).to(x.device)[:, None, None]
    kept = inverse_transform((coefficients / steps).round() * steps)
    levels = kept.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., : x.shape[2], : x.shape[3]].clone()
    levels[:, 0] += 128
    if x.shape[1] == 3:
        levels = torch.einsum("ij,njhw->nihw", torch.linalg.inv(turn).to(x.device), levels)
    return (levels / 255).to(x.dtype)


def cosine_transform(blocks: Tensor) -> Tensor:
    """The orthonormal two-dimensional cosine transform (DCT-II) of blocks ``[..., 8, 8]``."""
    turn = _cosines().to(blocks)
    return turn @ blocks @ turn.T


def inverse_transform(coefficients: Tensor) -> Tensor:
    """The inverse of ``cosine_transform``."""
    turn = _cosines().to(coefficients)
    return turn.T @ coefficients @ turn


def _cosines() -> Tensor:
    place = torch.arange(BLOCK, dtype=torch.float64)
    turn = torch.cos(math.pi / BLOCK * (place + 0.5) * place[:, None]) * math.sqrt(2 / BLOCK)
    turn[0] /= math.sqrt(2)
    return turn


def _blocks(levels: Tensor) -> Tensor:
    """``[n, c, H, W]`` to ``[n, c, rows, columns, 8, 8]``, edges repeated to whole blocks."""
    down, right = (-side % BLOCK for side in levels.shape[-2:])
    padded = functional.pad(levels, (0, right, 0, down), mode="replicate")
    return padded.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)


def _steps(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = torch.tensor(table, dtype=torch.int64)
    return ((steps * scale + 50) // 100).clamp(1, 255).double()
