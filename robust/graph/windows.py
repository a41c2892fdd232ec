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
    return _pooled(grid, arguments)


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


def _pooled(grid: Tensor, arguments: dict[str, Any]) -> Tensor:
    kernel = _pair(arguments["kernel_size"])
    stride = _pair(arguments["stride"] or kernel)
    padding, dilation = _pair(arguments["padding"]), _pair(arguments["dilation"])
    axes = []
    for axis in (0, 1):
        size = grid.shape[axis - 2]
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
    rows, columns = axes
    planes = torch.arange(grid.numel() // (grid.shape[-1] * grid.shape[-2])) * (grid.shape[-1] * grid.shape[-2])
    inside = (rows[:, None, :, None] >= 0) & (columns[None, :, None, :] >= 0)
    flat = rows[:, None, :, None] * grid.shape[-1] + columns[None, :, None, :]
    flat = torch.where(inside, flat, -1).reshape(len(rows) * len(columns), -1)
    every = torch.where(flat[None] >= 0, flat[None] + planes[:, None, None], -1)
    return every.reshape(-1, flat.shape[1])


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])
