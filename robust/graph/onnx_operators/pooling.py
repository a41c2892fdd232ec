"""Pooling over windows and over whole pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from robust.graph.onnx_operators.operator import Node, Operator, Table
from robust.graph.onnx_operators.windows import explicit_pads, pad_constant, window

_MAX: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _max_pool(node: Node, x: Tensor) -> Tensor:
    rank = _rank(node, x)
    if len([name for name in node.outputs if name]) > 1:
        raise node.refuse("indices as a second output")
    kernel, strides, dilations = (
        node.get("kernel_shape"),
        window(node, "strides", rank),
        window(node, "dilations", rank),
    )
    begin, end = explicit_pads(node, x.shape[2:], kernel, strides, dilations)
    if begin != end or any(2 * pad > size for pad, size in zip(begin, kernel, strict=True)):
        x, begin = pad_constant(x, begin, end, -math.inf), [0] * rank
    return _MAX[rank](x, kernel, strides, begin, dilations, bool(node.get("ceil_mode", 0)))


def _average_pool(node: Node, x: Tensor) -> Tensor:
    rank = _rank(node, x)
    kernel, strides, dilations = (
        node.get("kernel_shape"),
        window(node, "strides", rank),
        window(node, "dilations", rank),
    )
    if any(step != 1 for step in dilations):
        raise node.refuse("dilations")
    begin, end = explicit_pads(node, x.shape[2:], kernel, strides, dilations)
    ceil, counted = bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0))
    pool = _AVERAGE[rank]
    if begin == end and all(2 * pad <= size for pad, size in zip(begin, kernel, strict=True)):
        return pool(x, kernel, strides, begin, ceil, counted)
    padded = pool(pad_constant(x, begin, end, 0.0), kernel, strides, 0, ceil)
    if counted:
        return padded
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    return padded / pool(pad_constant(ones, begin, end, 0.0), kernel, strides, 0, ceil)


def _rank(node: Node, x: Tensor) -> int:
    rank = x.ndim - 2
    if rank not in _MAX:
        raise node.refuse(f"{rank} spatial axes", "1, 2 or 3 are read")
    return rank


def _global(function: Callable[..., Tensor]) -> Operator:
    return Operator(lambda node, x: function(x, dim=list(range(2, x.ndim)), keepdim=True))


TABLE: Table = {
    "MaxPool": Operator(_max_pool),
    "AveragePool": Operator(_average_pool),
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax),
}
"""Pooling."""
