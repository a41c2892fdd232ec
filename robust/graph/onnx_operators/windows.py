"""Windows that slide: strides, dilations and the pads that ``auto_pad`` stands for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from robust.graph.onnx_operators.operator import Node


def window(node: Node, key: str, rank: int) -> list[int]:
    """``strides`` or ``dilations``, ones by default."""
    return [int(value) for value in node.get(key, [1] * rank)]


def explicit_pads(
    node: Node, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Pads before and after each spatial axis."""
    rank = len(kernel)
    auto = node.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        pads = [int(value) for value in node.get("pads", [0] * 2 * rank)]
        return pads[:rank], pads[rank:]
    begin, end = [0] * rank, [0] * rank
    if auto == "VALID":
        return begin, end
    for axis in range(rank):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        outputs = -(-int(size[axis]) // strides[axis])
        total = max(0, (outputs - 1) * strides[axis] + reach - int(size[axis]))
        half = total // 2
        begin[axis] = total - half if auto == "SAME_LOWER" else half
        end[axis] = total - begin[axis]
    return begin, end


def pad_constant(x: Tensor, begin: Sequence[int], end: Sequence[int], value: float) -> Tensor:
    """Pad the last ``len(begin)`` axes."""
    widths = [width for pair in zip(reversed(begin), reversed(end), strict=True) for width in pair]
    return F.pad(x, widths, value=value) if any(widths) else x
