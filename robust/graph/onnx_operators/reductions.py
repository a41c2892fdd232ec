"""Reductions along axes, arg-max and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robust.graph.onnx_operators.operator import Node, Operator, Table


def _reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    def reduce(node: Node, x: Tensor, axes: Any = None) -> Tensor:
        chosen = node.get("axes") if axes is None else [int(axis) for axis in axes.reshape(-1)]
        if not chosen and node.get("noop_with_empty_axes", 0):
            return x
        return function(x, list(chosen or range(x.ndim)), bool(node.get("keepdims", 1)))

    return Operator(reduce, host=(1,))


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = torch.prod(x, axis, keepdim=keep)
    return x


def _arg(function: Callable[..., Tensor]) -> Operator:
    def arg(node: Node, x: Tensor) -> Tensor:
        axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
        if not node.get("select_last_index", 0):
            return function(x, dim=axis, keepdim=keep)
        from_end = function(x.flip(axis), dim=axis, keepdim=keep)
        return torch.rsub(from_end, x.shape[axis] - 1)

    return Operator(arg)


def _top_k(node: Node, x: Tensor, count: Any = None) -> tuple[Tensor, Tensor]:
    k = node.get("k") if count is None else int(count.reshape(-1)[0])
    found = torch.topk(x, k, node.get("axis", -1), bool(node.get("largest", 1)), bool(node.get("sorted", 1)))
    return found.values, found.indices


def _cumulative_sum(node: Node, x: Tensor, axis: Any) -> Tensor:
    place = int(axis.reshape(-1)[0])
    flipped = x.flip(place) if node.get("reverse", 0) else x
    total = torch.cumsum(flipped, place)
    total = total - flipped if node.get("exclusive", 0) else total
    return total.flip(place) if node.get("reverse", 0) else total


TABLE: Table = {
    "ReduceSum": _reduction(lambda x, axes, keep: x.sum(axes, keep)),
    "ReduceMean": _reduction(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceMax": _reduction(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMin": _reduction(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceProd": _reduction(_product),
    "ReduceL1": _reduction(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "ReduceL2": _reduction(lambda x, axes, keep: (x * x).sum(axes, keep).sqrt()),
    "ReduceSumSquare": _reduction(lambda x, axes, keep: (x * x).sum(axes, keep)),
    "ReduceLogSum": _reduction(lambda x, axes, keep: x.sum(axes, keep).log()),
    "ReduceLogSumExp": _reduction(lambda x, axes, keep: x.logsumexp(axes, keep)),
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "TopK": Operator(_top_k, host=(1,)),
    "CumSum": Operator(_cumulative_sum, host=(1,)),
}
"""Reductions."""
