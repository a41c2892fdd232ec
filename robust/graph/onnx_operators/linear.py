"""Operators that are affine in their data: matrix products, convolutions, and the einsum that covers the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from robust.graph.onnx_operators.operator import Node, Operator, Table, plain
from robust.graph.onnx_operators.windows import explicit_pads, pad_constant, window

_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    left = a.t() if node.get("transA", 0) else a
    weight = b if node.get("transB", 0) else b.t()
    weight = weight if alpha == 1.0 else weight * alpha
    if c is not None and beta != 1.0:
        c = c * beta
    if c is None or c.numel() == weight.shape[0]:
        return F.linear(left, weight, c if c is None or c.ndim == 1 else c.reshape(-1))
    return F.linear(left, weight) + c


def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = x.ndim - 2
    if rank not in _CONV:
        raise node.refuse(f"{rank} spatial axes", "1, 2 or 3 are read")
    strides, dilations = window(node, "strides", rank), window(node, "dilations", rank)
    begin, end = explicit_pads(node, x.shape[2:], weight.shape[2:], strides, dilations)
    if begin != end:
        x, begin = pad_constant(x, begin, end, 0.0), [0] * rank
    return _CONV[rank](x, weight, bias, strides, begin, dilations, node.get("group", 1))


def _conv_transpose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The full transposed convolution, then its edges cut off as the pads say."""
    rank = x.ndim - 2
    if rank not in _TRANSPOSED:
        raise node.refuse(f"{rank} spatial axes", "1, 2 or 3 are read")
    strides, dilations = window(node, "strides", rank), window(node, "dilations", rank)
    extra = list(node.get("output_padding", [0] * rank))
    begin, end = _transposed_pads(node, x.shape[2:], weight.shape[2:], strides, dilations, extra)
    function = _TRANSPOSED[rank]
    group = node.get("group", 1)
    if (
        begin == end
        and min(begin) >= 0
        and all(e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True))
    ):
        return function(x, weight, bias, strides, begin, extra, group, dilations)
    full = function(x, weight, bias, strides, 0, 0, group, dilations)
    for axis in range(rank):
        low, high = begin[axis], end[axis] - extra[axis]
        if high < 0:
            raise node.refuse("an output padding larger than the pads", "export with symmetric pads")
        full = full.narrow(axis + 2, low, full.shape[axis + 2] - low - high)
    return full


def _transposed_pads(
    node: Node,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: list[int],
    dilations: list[int],
    extra: list[int],
) -> tuple[list[int], list[int]]:
    rank = len(strides)
    auto = node.get("auto_pad", "NOTSET")
    shape = node.get("output_shape")
    if shape is None and auto in ("NOTSET", "VALID"):
        pads = list(node.get("pads", [0] * 2 * rank)) if auto == "NOTSET" else [0] * 2 * rank
        return pads[:rank], pads[rank:]
    begin, end = [], []
    for axis in range(rank):
        wanted = size[axis] * strides[axis] if shape is None else shape[axis - rank]
        full = strides[axis] * (size[axis] - 1) + extra[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        total = max(0, full - wanted)
        half = total // 2
        begin.append(total - half if auto == "SAME_LOWER" else half)
        end.append(total - begin[-1])
    return begin, end


TABLE: Table = {
    "Gemm": Operator(_gemm),
    "MatMul": plain(torch.matmul),
    "Einsum": Operator(lambda node, *inputs: torch.einsum(node.get("equation"), *inputs)),
    "Conv": Operator(_conv),
    "ConvTranspose": Operator(_conv_transpose),
}
"""Matrix products and convolutions."""
