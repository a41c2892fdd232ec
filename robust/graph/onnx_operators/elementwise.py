"""Elementwise operators: arithmetic, activations, comparisons."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from robust.graph.onnx_operators.operator import Node, Operator, Table, plain


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return Operator(lambda node, *inputs: functools.reduce(function, inputs))


def _mean(node: Node, *inputs: Tensor) -> Tensor:
    return functools.reduce(torch.add, inputs) / len(inputs)


def _divide(node: Node, a: Tensor, b: Tensor) -> Tensor:
    whole = not a.is_floating_point() and not b.is_floating_point()
    return torch.div(a, b, rounding_mode="trunc") if whole else torch.div(a, b)


def _power(node: Node, x: Tensor, exponent: Any) -> Tensor:
    if isinstance(exponent, Tensor):
        return torch.pow(x, exponent)
    if exponent.size == 1:
        return torch.pow(x, exponent.reshape(-1)[0].item())
    return torch.pow(x, torch.as_tensor(exponent, device=x.device))


def _clip(node: Node, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    low = node.get("min") if low is None else low
    high = node.get("max") if high is None else high
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        raise node.depends_on_data("its limits")
    lowest = None if low is None else float(low)
    highest = None if high is None else float(high)
    if lowest is None and highest is None:
        return x
    if lowest == 0.0 and highest is None:
        return torch.relu(x)
    if not x.is_floating_point():
        return torch.clamp(x, None if lowest is None else int(lowest), None if highest is None else int(highest))
    return torch.clamp(x, lowest, highest)


def _prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    return torch.relu(x) - slope * torch.relu(-x)


def _selu(node: Node, x: Tensor) -> Tensor:
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    answer: Tensor = gamma * F.elu(x, alpha)
    return answer


def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    return torch.clamp(node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0.0, 1.0)


def _gelu(node: Node, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=node.get("approximate", "none"))


def _softmax(node: Node, x: Tensor) -> Tensor:
    return _along(node, x, torch.softmax)


def _log_softmax(node: Node, x: Tensor) -> Tensor:
    return _along(node, x, torch.log_softmax)


def _along(node: Node, x: Tensor, function: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Before opset 13 all axes from ``axis`` on are one."""
    axis = node.get("axis", -1 if node.opset >= 13 else 1)
    axis = axis + x.ndim if axis < 0 else axis
    if node.opset >= 13 or axis == x.ndim - 1:
        return function(x, axis)
    return function(x.flatten(axis), axis).reshape(x.shape)


def _where(node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition.bool(), x, y)


def _mod(node: Node, a: Tensor, b: Tensor) -> Tensor:
    return torch.fmod(a, b) if node.get("fmod", 0) else torch.remainder(a, b)


def _shrink(node: Node, x: Tensor) -> Tensor:
    bias, limit = node.get("bias", 0.0), node.get("lambd", 0.5)
    zero = torch.zeros_like(x)
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, zero))


def _thresholded_relu(node: Node, x: Tensor) -> Tensor:
    return F.threshold(x, node.get("alpha", 1.0), 0.0)


def _swish(node: Node, x: Tensor) -> Tensor:
    return x * torch.sigmoid(node.get("alpha", 1.0) * x)


TABLE: Table = {
    "Add": plain(torch.add),
    "Sub": plain(torch.sub),
    "Mul": plain(torch.mul),
    "Div": Operator(_divide),
    "Mod": Operator(_mod),
    "Pow": Operator(_power, soft=(1,)),
    "Neg": plain(torch.neg),
    "Abs": plain(torch.abs),
    "Sign": plain(torch.sign),
    "Exp": plain(torch.exp),
    "Log": plain(torch.log),
    "Sqrt": plain(torch.sqrt),
    "Reciprocal": plain(torch.reciprocal),
    "Sin": plain(torch.sin),
    "Cos": plain(torch.cos),
    "Tan": plain(torch.tan),
    "Asin": plain(torch.asin),
    "Acos": plain(torch.acos),
    "Atan": plain(torch.atan),
    "Sinh": plain(torch.sinh),
    "Cosh": plain(torch.cosh),
    "Tanh": plain(torch.tanh),
    "Erf": plain(torch.erf),
    "Floor": plain(torch.floor),
    "Ceil": plain(torch.ceil),
    "Round": plain(torch.round),
    "Sum": _folded(torch.add),
    "Mean": Operator(_mean),
    "Min": _folded(torch.minimum),
    "Max": _folded(torch.maximum),
    "Clip": Operator(_clip, soft=(1, 2)),
    "Relu": plain(torch.relu),
    "LeakyRelu": Operator(lambda node, x: F.leaky_relu(x, node.get("alpha", 0.01))),
    "PRelu": Operator(_prelu),
    "ThresholdedRelu": Operator(_thresholded_relu),
    "Elu": Operator(lambda node, x: F.elu(x, node.get("alpha", 1.0))),
    "Celu": Operator(lambda node, x: F.celu(x, node.get("alpha", 1.0))),
    "Selu": Operator(_selu),
    "Gelu": Operator(_gelu),
    "Mish": plain(F.mish),
    "Swish": Operator(_swish),
    "Sigmoid": plain(torch.sigmoid),
    "HardSigmoid": Operator(_hard_sigmoid),
    "HardSwish": Operator(lambda node, x: x * torch.clamp(x / 6 + 0.5, 0.0, 1.0)),
    "Softplus": plain(F.softplus),
    "Softsign": plain(F.softsign),
    "Shrink": Operator(_shrink),
    "Softmax": Operator(_softmax),
    "LogSoftmax": Operator(_log_softmax),
    "Where": Operator(_where),
    "Equal": plain(torch.eq),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "Not": plain(torch.logical_not),
    "And": plain(torch.logical_and),
    "Or": plain(torch.logical_or),
    "Xor": plain(torch.logical_xor),
    "IsNaN": plain(torch.isnan),
}
"""Elementwise operators, softmax among them."""
