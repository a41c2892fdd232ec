"""Matrix products: by a constant a linear layer, of two varying tensors an elementwise product and a sum."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from robust.graph.rewrites.replacement import Number, Replacement, Rewrites, aten, scalar


def _mm(a: Tensor, b: Tensor) -> Replacement:
    return Replacement(aten.linear.default, (a, b.t(), None))


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Any:
    if alpha == 1 and beta == 1 and bias.ndim == 1:
        return Replacement(aten.linear.default, (a, b.t(), bias))
    product = aten.mm.default(a, b)
    if alpha != 1:
        product = aten.mul.Tensor(product, scalar(alpha, product))
    return aten.add.Tensor(product, bias if beta == 1 else aten.mul.Tensor(bias, scalar(beta, product)))


def _mv(a: Tensor, vector: Tensor) -> Any:
    return aten.squeeze.dim(aten.mm.default(a, vector[:, None]), 1)


def bmm(a: Tensor, b: Tensor) -> Any:
    """``[n, i, k]`` times ``[n, k, j]``, both varying: all products ``[n, i, k, j]``, summed over ``k``."""
    return aten.sum.dim_IntList(aten.mul.Tensor(aten.unsqueeze.default(a, 3), aten.unsqueeze.default(b, 1)), [2])


def _baddbmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Any:
    product = aten.bmm.default(a, b)
    scaled = product if alpha == 1 else aten.mul.Tensor(product, scalar(alpha, product))
    if beta == 0:
        return scaled
    return aten.add.Tensor(scaled, bias if beta == 1 else aten.mul.Tensor(bias, scalar(beta, product)))


def _trilinear(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    at_a: list[int],
    at_b: list[int],
    at_c: list[int],
    summed: list[int],
    unroll: int = 1,
) -> Any:
    """``nn.Bilinear``: axes of length one are put in, the three are multiplied, and axes are summed."""
    for axes, place in ((at_a, 0), (at_b, 1), (at_c, 2)):
        for axis in axes:
            a, b, c = (aten.unsqueeze.default(x, axis) if i == place else x for i, x in enumerate((a, b, c)))
    return aten.sum.dim_IntList(aten.mul.Tensor(aten.mul.Tensor(a, b), c), summed)


def _product(a: Tensor, axis: int, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """In pairs, so that the tree of products is shallow."""
    parts = [aten.slice.Tensor(a, axis, place, place + 1) for place in range(a.shape[axis])]
    while len(parts) > 1:
        pairs = [aten.mul.Tensor(x, y) for x, y in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[2 * len(pairs) :]
    return parts[0] if keepdim else aten.squeeze.dim(parts[0], axis)


REWRITES: Rewrites = {
    "mm": _mm,
    "addmm": _addmm,
    "mv": _mv,
    "baddbmm": _baddbmm,
    "_trilinear": _trilinear,
    "prod": _product,
}

BOTH_VARY: Rewrites = {"bmm": bmm}
"""Operators that are affine when one side is constant: what they become when neither is."""
