"""Normalisation: by constants a scale and a shift, by the sample's own moments a product with ``rsqrt``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from robust.graph.rewrites.replacement import Number, Rewrites, aten, nothing, rounded, scalar


def _batch_norm(
    a: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training_or_momentum: Any,
    *rest: Any,
) -> Any:
    training = training_or_momentum if isinstance(training_or_momentum, bool) else False
    if training or mean is None or variance is None:
        return NotImplemented
    scale = 1 / torch.sqrt(variance.double() + float(rest[-1]))
    if weight is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    added = shift.abs()
    if bias is not None:
        shift, added = shift + bias.double(), added + bias.double().abs()
    shape = [1, -1] + [1] * (a.ndim - 2)
    scaled = aten.mul.Tensor(a, rounded(scale.reshape(shape), a))
    return aten.add.Tensor(scaled, rounded(shift.reshape(shape), a, added.reshape(shape))), nothing(a), nothing(a)


def standardised(a: Tensor, axes: list[int], eps: float) -> Any:
    """``(a - mean) / sqrt(variance + eps)`` over axes, with the divisor ``n`` in the variance."""
    centred = aten.sub.Tensor(a, aten.mean.dim(a, axes, True))
    variance = aten.mean.dim(aten.pow.Tensor_Scalar(centred, 2), axes, True)
    return aten.mul.Tensor(centred, aten.rsqrt.default(aten.add.Tensor(variance, scalar(eps, a))))


def _scaled(a: Tensor, weight: Tensor | None, bias: Tensor | None) -> Any:
    scaled = a if weight is None else aten.mul.Tensor(a, weight)
    return scaled if bias is None else aten.add.Tensor(scaled, bias)


def _layer_norm(a: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
    axes = list(range(a.ndim - len(shape), a.ndim))
    return _scaled(standardised(a, axes, eps), weight, bias), nothing(a), nothing(a)


def _group_norm(
    a: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    batch: int,
    channels: int,
    places: int,
    groups: int,
    eps: float,
) -> Any:
    grouped = aten.reshape.default(a, [a.shape[0], groups, -1])
    normal = aten.reshape.default(standardised(grouped, [2], eps), list(a.shape))
    shape = [1, -1] + [1] * (a.ndim - 2)
    weight, bias = (None if part is None else part.reshape(shape) for part in (weight, bias))
    return _scaled(normal, weight, bias), nothing(a), nothing(a)


def instance_norm(a: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
    """Every channel of every sample by its own moments."""
    normal = standardised(a, list(range(2, a.ndim)), eps)
    shape = [1, -1] + [1] * (a.ndim - 2)
    weight, bias = (None if part is None else part.reshape(shape) for part in (weight, bias))
    return _scaled(normal, weight, bias)


def _rms_norm(a: Tensor, shape: list[int], weight: Tensor | None, eps: float | None = None) -> Any:
    axes = list(range(a.ndim - len(shape), a.ndim))
    floor = torch.finfo(a.dtype).eps if eps is None else eps
    mean = aten.mean.dim(aten.pow.Tensor_Scalar(a, 2), axes, True)
    normal = aten.mul.Tensor(a, aten.rsqrt.default(aten.add.Tensor(mean, scalar(floor, a))))
    return _scaled(normal, weight, None), nothing(a)


def _variance(a: Tensor, axes: Any = None, *, correction: Number | None = None, keepdim: bool = False) -> Any:
    chosen = list(range(a.ndim)) if axes is None else [axes] if isinstance(axes, int) else list(axes)
    count = math.prod(a.shape[axis] for axis in chosen)
    centred = aten.sub.Tensor(a, aten.mean.dim(a, chosen, True))
    total = aten.sum.dim_IntList(aten.pow.Tensor_Scalar(centred, 2), chosen, keepdim)
    return aten.mul.Tensor(total, scalar(1 / max(0, count - (1 if correction is None else correction)), a))


def _variance_mean(a: Tensor, axes: Any = None, *, correction: Number | None = None, keepdim: bool = False) -> Any:
    return _variance(a, axes, correction=correction, keepdim=keepdim), aten.mean.dim(a, axes, keepdim)


def _deviation(a: Tensor, axes: Any = None, *, correction: Number | None = None, keepdim: bool = False) -> Any:
    return aten.sqrt.default(_variance(a, axes, correction=correction, keepdim=keepdim))


def _norm(a: Tensor, order: Any = 2, axes: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    order = 2 if order is None else order
    chosen = list(range(a.ndim)) if axes is None else [axes] if isinstance(axes, int) else list(axes)
    size = aten.abs.default(a) if order != 2 else a
    if order == math.inf:
        return aten.amax.default(size, chosen, keepdim)
    if order in (0, -math.inf):
        return NotImplemented
    total = aten.sum.dim_IntList(size if order == 1 else aten.pow.Tensor_Scalar(size, order), chosen, keepdim)
    return total if order == 1 else aten.pow.Tensor_Scalar(total, 1 / order)


REWRITES: Rewrites = {
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_batch_norm_no_update": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_fused_rms_norm": _rms_norm,
    "var": _variance,
    "var_mean": _variance_mean,
    "std": _deviation,
    "linalg_vector_norm": _norm,
    "norm": _norm,
}
