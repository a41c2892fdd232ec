"""Averages and interpolation whose own form has negative coefficients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robust.graph.rewrites.replacement import Rewrites, aten, scalar


def _avg_pool2d(
    a: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """A divisor of its own may be negative; the table of monotone operators has none such."""
    if divisor_override in (None, 1):
        return NotImplemented
    total = aten.avg_pool2d.default(a, kernel, stride, padding, ceil_mode, count_include_pad, 1)
    return aten.mul.Tensor(total, scalar(1 / divisor_override, total))


def _upsample_bicubic2d(a: Tensor, size: list[int], align_corners: bool, *scales: float | None) -> Any:
    """One constant matrix per axis: what the operator does to unit vectors along it."""
    for axis, scale in ((2, scales[0] if scales else None), (3, scales[1] if scales else None)):
        unit = torch.eye(a.shape[axis], dtype=torch.float64)[None, :, :, None]
        rows = aten.upsample_bicubic2d.default(unit, [size[axis - 2], 1], align_corners, scale, None)[0, :, :, 0]
        moved = torch.nn.functional.linear(aten.transpose.int(a, axis, -1), rows.T.to(a))
        a = aten.transpose.int(moved, axis, -1)
    return a


REWRITES: Rewrites = {"avg_pool2d": _avg_pool2d, "upsample_bicubic2d": _upsample_bicubic2d}
