"""Normalisation in evaluation mode."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from robust.graph.onnx_operators.operator import Node, Operator, Table


def _batch(node: Node, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    if node.get("training_mode", 0):
        raise node.refuse("training mode", "export the model in evaluation mode")
    return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, node.get("epsilon", 1e-5))


def _instance(node: Node, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=shift, eps=node.get("epsilon", 1e-5))


def _layer(node: Node, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    shape = x.shape[node.get("axis", -1) :]
    weight = scale.expand(shape)
    bias = None if shift is None else shift.expand(shape)
    return F.layer_norm(x, shape, weight, bias, node.get("epsilon", 1e-5))


def _group(node: Node, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    groups, channels = node.get("num_groups"), x.shape[1]
    if scale.numel() != channels:
        scale, shift = (value.repeat_interleave(channels // groups) for value in (scale, shift))
    return F.group_norm(x, groups, scale, shift, node.get("epsilon", 1e-5))


def _rms(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    axes = list(range(node.get("axis", -1) % x.ndim, x.ndim))
    return x * torch.rsqrt((x * x).mean(axes, keepdim=True) + node.get("epsilon", 1e-5)) * scale


def _local_response(node: Node, x: Tensor) -> Tensor:
    size = node.get("size")
    if size % 2 == 0:
        raise node.refuse("an even size")
    return F.local_response_norm(x, size, node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0))


def _lp(node: Node, x: Tensor) -> Tensor:
    return F.normalize(x, float(node.get("p", 2)), node.get("axis", -1), eps=0.0)


TABLE: Table = {
    "BatchNormalization": Operator(_batch),
    "InstanceNormalization": Operator(_instance),
    "LayerNormalization": Operator(_layer),
    "GroupNormalization": Operator(_group),
    "RMSNormalization": Operator(_rms),
    "LRN": Operator(_local_response),
    "LpNormalization": Operator(_lp),
}
"""Normalisation."""
