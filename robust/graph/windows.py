"""Which elements a maximum is taken over, as flat places in one sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError


def windows_of(op: str, arguments: dict[str, Any], shape: Sequence[int], place: str) -> Tensor:
    """Places that each output element is the largest of.

    Args:
        op: an operator of ``Kind.MAXIMUM``.
        arguments: its own, by name.
        shape: of one sample of its operand, without the batch axis.
        place: for the error.

    Returns:
        int64 ``[output elements, k]``; -1 stands for padding (minus infinity).

    Raises:
        UnsupportedOperatorError: a maximum over the batch axis.
    """
    grid = torch.arange(int(torch.Size(shape).numel())).reshape(tuple(shape))
    if op == "amax":
        return _reduced(grid, arguments["dim"], place)
    return (_adaptive if op.startswith("adaptive") else _pooled)(grid, arguments, 3 if "3d" in op else 2)


def _reduced(grid: Tensor, axes: Sequence[int], place: str) -> Tensor:
    rank = grid.ndim + 1
    picked = sorted({axis % rank for axis in axes}) or list(range(rank))
    if 0 in picked:
        raise UnsupportedOperatorError(
            f"a maximum over the batch axis mixes samples, at {place}", hint="reduce over the other axes only"
        )
    kept = [axis - 1 for axis in range(1, rank) if axis not in picked]
    moved = grid.permute(*kept, *[axis - 1 for axis in picked])
    return moved.reshape(int(torch.Size([grid.shape[axis] for axis in kept]).numel()), -1)


def _pooled(grid: Tensor, arguments: dict[str, Any], rank: int) -> Tensor:
    """Windows of equal size that slide along the last axes."""
    given = arguments["kernel_size"]
    kernel = _per_axis(given, rank)
    stride = _per_axis(arguments["stride"] or given, rank)
    padding, dilation = _per_axis(arguments["padding"], rank), _per_axis(arguments["dilation"], rank)
    axes = []
    for axis in range(rank):
        size = grid.shape[axis - rank]
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        span = size + 2 * padding[axis] - reach
        count = span // stride[axis] + 1
        if arguments["ceil_mode"]:
            count = -(-span // stride[axis]) + 1
            if (count - 1) * stride[axis] >= size + padding[axis]:
                count -= 1
        starts = torch.arange(count) * stride[axis] - padding[axis]
        places = starts[:, None] + torch.arange(kernel[axis])[None] * dilation[axis]
        axes.append(torch.where((places >= 0) & (places < size), places, -1))
    return _crossed(grid, axes)


def _adaptive(grid: Tensor, arguments: dict[str, Any], rank: int) -> Tensor:
    """Window ``i`` of ``n`` along an axis of ``size``: from ``floor(i size / n)`` to ``ceil((i + 1) size / n)``."""
    axes = []
    for axis, count in enumerate(_per_axis(arguments["output_size"], rank)):
        size = grid.shape[axis - rank]
        place = torch.arange(count)
        starts, ends = place * size // count, -(-(place + 1) * size // count)
        places = starts[:, None] + torch.arange(int((ends - starts).max()))[None]
        axes.append(torch.where(places < ends[:, None], places, -1))
    return _crossed(grid, axes)


def _crossed(grid: Tensor, axes: Sequence[Tensor]) -> Tensor:
    """Places ``[windows, k]`` along each of the last axes, crossed, on every plane before them."""
    flat = torch.zeros(1, 1, dtype=torch.int64)
    for axis, places in enumerate(axes):
        step = grid.shape[axis - len(axes)]
        outer, inner = flat[:, None, :, None], places[None, :, None, :]
        flat = torch.where((outer >= 0) & (inner >= 0), outer * step + inner, -1)
        flat = flat.reshape(flat.shape[0] * flat.shape[1], -1)
    size = int(torch.Size(grid.shape[grid.ndim - len(axes) :]).numel())
    planes = torch.arange(grid.numel() // max(1, size)) * size
    return torch.where(flat[None] >= 0, flat[None] + planes[:, None, None], -1).reshape(-1, flat.shape[1])


def _per_axis(value: Any, rank: int) -> list[int]:
    sizes = [value] if isinstance(value, int) else list(value)
    return sizes * rank if len(sizes) == 1 else sizes
