"""Softmax and its kin through differences of scores (Wei et al., Convex Bounds on the Softmax Function, 2023).

``softmax(x)_i = 1 / (1 + sum over j != i of exp(x_j - x_i))`` needs no product, and a difference of two scores keeps
what they have in common.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from robust.errors import UnsupportedOperatorError
from robust.graph.rewrites.activations import softplus
from robust.graph.rewrites.replacement import Rewrites, aten, scalar

LONGEST = 256
"""Axes longer than this are not compared pair by pair, which takes memory that grows with the square."""
DENSE = 32
"""Up to so many scores the differences are one linear layer; beyond, two selections."""


def _softmax(x: Tensor, axis: int, half_to_float: bool = False) -> Any:
    return _on_last_axis(x, axis, softmax)


def _log_softmax(x: Tensor, axis: int, half_to_float: bool = False) -> Any:
    return _on_last_axis(x, axis, _log)


def _on_last_axis(x: Tensor, axis: int, function: Any) -> Any:
    if axis in (-1, x.ndim - 1):
        return function(x)
    return aten.transpose.int(function(aten.transpose.int(x, axis, -1)), axis, -1)


def masked_softmax(x: Tensor, axis: int, keep: Tensor) -> Any:
    """Softmax along an axis over the scores that a constant mask keeps, ``keep`` broadcastable to ``x``.

    Raises:
        UnsupportedOperatorError: a row of which nothing is kept: torch answers it with NaN.
    """
    with _disable_current_modes():
        spread = keep.reshape([1] * (x.ndim - keep.ndim) + list(keep.shape))
        spread = spread.transpose(axis, -1)
        if spread.shape[-1] == 1:
            spread = spread.expand(*spread.shape[:-1], x.shape[axis])
        empty = not bool(spread.any(-1).all())
    if empty:
        raise UnsupportedOperatorError("a row of scores is masked altogether", hint="keep one score in every row")
    return _on_last_axis(x, axis, lambda scores: softmax(scores, spread))


def softmax(x: Tensor, keep: Tensor | None = None) -> Any:
    """Softmax over the last axis.

    Args:
        x: scores ``[..., k]``.
        keep: constant bool, broadcastable to ``x``: only these take part, the others get 0. Every row keeps one.
    """
    count = x.shape[-1]
    if count == 1:
        return aten.add.Tensor(aten.mul.Tensor(x, scalar(0.0, x)), scalar(1.0, x))
    if keep is None and count == 2:
        return aten.sigmoid.default(aten.mul.Tensor(_differences(x), scalar(-1.0, x)))
    if count > LONGEST:
        return _by_quotient(x, keep)
    result = aten.reciprocal.default(_sums(x, keep))
    return result if keep is None else aten.mul.Tensor(result, keep.to(x.dtype))


def _log(x: Tensor) -> Any:
    count = x.shape[-1]
    if count == 1:
        return aten.mul.Tensor(x, scalar(0.0, x))
    if count == 2:
        return aten.mul.Tensor(softplus(_differences(x)), scalar(-1.0, x))
    if count > LONGEST:
        return aten.sub.Tensor(x, _log_sum_exp(x, [-1], True))
    return aten.mul.Tensor(aten.log.default(_sums(x, None)), scalar(-1.0, x))


def _sums(x: Tensor, keep: Tensor | None) -> Any:
    """``1 + sum over j != i of exp(x_j - x_i)``, for every ``i``: ``[..., k]``."""
    count = x.shape[-1]
    powers = aten.exp.default(_differences(x))
    pairs = aten.reshape.default(powers, [*x.shape[:-1], count, count - 1])
    if keep is not None:
        others = _others(count, x.device)[0].reshape(count, count - 1)
        pairs = aten.mul.Tensor(pairs, keep[..., others].to(x.dtype))
    return aten.add.Tensor(aten.sum.dim_IntList(pairs, [-1]), scalar(1.0, x))


def _differences(x: Tensor) -> Any:
    """``x_j - x_i`` for every ``i`` and every ``j != i``: ``[..., k (k - 1)]``."""
    count = x.shape[-1]
    others, own = _others(count, x.device)
    if count > DENSE:
        return aten.sub.Tensor(aten.index_select.default(x, -1, others), aten.index_select.default(x, -1, own))
    unit = torch.eye(count, dtype=x.dtype, device=x.device)
    return torch.nn.functional.linear(x, unit[others] - unit[own])


def _others(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    places = torch.arange(count, device=device)
    grid = places.expand(count, count)
    return grid[grid != places[:, None]], places.repeat_interleave(count - 1)


def _by_quotient(x: Tensor, keep: Tensor | None) -> Any:
    powers = aten.exp.default(aten.sub.Tensor(x, aten.mean.dim(x, [-1], True)))
    if keep is not None:
        powers = aten.mul.Tensor(powers, keep.to(x.dtype))
    return aten.div.Tensor(powers, aten.sum.dim_IntList(powers, [-1], True))


def _log_sum_exp(x: Tensor, axes: Any, keepdim: bool = False) -> Any:
    """The first score plus the logarithm of one plus what the others add."""
    chosen = sorted(axis % x.ndim for axis in ([axes] if isinstance(axes, int) else axes))
    kept = [axis for axis in range(x.ndim) if axis not in chosen]
    flat = aten.reshape.default(aten.permute.default(x, [*kept, *chosen]), [*(x.shape[axis] for axis in kept), -1])
    first = aten.slice.Tensor(flat, -1, 0, 1)
    if flat.shape[-1] == 1:
        result = first
    else:
        above = aten.sub.Tensor(aten.slice.Tensor(flat, -1, 1, flat.shape[-1]), first)
        result = aten.add.Tensor(first, softplus(above) if flat.shape[-1] == 2 else _log_of_more(above))
    shape = [1 if axis in chosen else size for axis, size in enumerate(x.shape)] if keepdim else result.shape[:-1]
    return aten.reshape.default(result, list(shape))


def _log_of_more(above: Tensor) -> Any:
    total = aten.sum.dim_IntList(aten.exp.default(above), [-1], True)
    return aten.log.default(aten.add.Tensor(total, scalar(1.0, total)))


REWRITES: Rewrites = {
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "logsumexp": _log_sum_exp,
}
