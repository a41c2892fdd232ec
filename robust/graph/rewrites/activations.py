"""Activations said in the elementwise operators that have a rule."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from robust.graph.rewrites.arithmetic import clamp
from robust.graph.rewrites.choices import chosen, compared
from robust.graph.rewrites.replacement import Number, Rewrites, aten, nothing, scalar


def _hardtanh(a: Tensor, low: Number = -1, high: Number = 1) -> Tensor:
    return clamp(a, low, high)


def _hardsigmoid(a: Tensor) -> Any:
    return aten.mul.Tensor(clamp(aten.add.Tensor(a, scalar(3.0, a)), 0.0, 6.0), scalar(1 / 6, a))


def _leaky_relu(a: Tensor, slope: Number = 0.01) -> Any:
    if 0 <= slope <= 1:
        return NotImplemented
    kept = aten.mul.Tensor(a, scalar(slope, a))
    return aten.add.Tensor(kept, aten.mul.Tensor(aten.relu.default(a), scalar(1 - slope, a)))


def _threshold(a: Tensor, threshold: Number, value: Number) -> Any:
    """``x`` above the threshold, else the value."""
    if threshold != value:
        return chosen(compared(a, scalar(threshold, a)), a, scalar(value, a))
    return aten.relu.default(a) if threshold == 0 else clamp(a, threshold)


def _prelu(a: Tensor, weight: Tensor) -> Any:
    shape = [1, -1] + [1] * (a.ndim - 2) if weight.numel() > 1 else [1] * a.ndim
    kept = aten.mul.Tensor(a, weight.reshape(shape))
    return aten.add.Tensor(kept, aten.mul.Tensor(aten.relu.default(a), 1 - weight.reshape(shape)))


def _celu(a: Tensor, alpha: Number = 1.0) -> Any:
    return aten.elu.default(a, alpha, 1.0, 1.0 / alpha)


def _selu(a: Tensor) -> Any:
    return aten.elu.default(a, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def softplus(a: Tensor) -> Any:
    """``log(1 + exp(x))``, exact to the last digit: the threshold lies where the difference is below any rounding."""
    return aten.softplus.default(a, 1, 80)


def _log_sigmoid(a: Tensor) -> Any:
    return _negative(softplus(_negative(a))), nothing(a)


def _glu(a: Tensor, axis: int = -1) -> Any:
    half = a.shape[axis] // 2
    gate = aten.sigmoid.default(aten.slice.Tensor(a, axis, half, 2 * half))
    return aten.mul.Tensor(aten.slice.Tensor(a, axis, 0, half), gate)


def _softshrink(a: Tensor, limit: Number = 0.5) -> Any:
    above = aten.relu.default(aten.add.Tensor(a, scalar(-limit, a)))
    return aten.sub.Tensor(above, aten.relu.default(aten.add.Tensor(_negative(a), scalar(-limit, a))))


def _rrelu(a: Tensor, noise: Tensor, lower: Number = 1 / 8, upper: Number = 1 / 3, *rest: Any) -> Any:
    return aten.leaky_relu.default(a, (lower + upper) / 2)


def _hyperbolic(a: Tensor, sign: float) -> Any:
    other = aten.mul.Tensor(aten.exp.default(_negative(a)), scalar(sign / 2, a))
    return aten.add.Tensor(aten.mul.Tensor(aten.exp.default(a), scalar(0.5, a)), other)


def _log1p(a: Tensor) -> Any:
    return aten.log.default(aten.add.Tensor(a, scalar(1.0, a)))


def _scaled_log(base: float) -> Any:
    return lambda a: aten.mul.Tensor(aten.log.default(a), scalar(1 / math.log(base), a))


def _logit(a: Tensor, eps: float | None = None) -> Any:
    inside = a if eps is None else clamp(a, eps, 1 - eps)
    return aten.sub.Tensor(aten.log.default(inside), aten.log.default(aten.rsub.Scalar(inside, 1.0)))


def _log_add_exp(a: Tensor, b: Tensor) -> Any:
    return aten.add.Tensor(a, softplus(aten.sub.Tensor(b, a)))


def _round(a: Tensor, *, decimals: int = 0) -> Any:
    if decimals == 0:
        return NotImplemented
    scale = scalar(10.0**decimals, a)
    return aten.div.Tensor(aten.round.default(aten.mul.Tensor(a, scale)), scale)


def _negative(a: Tensor) -> Any:
    return aten.mul.Tensor(a, scalar(-1.0, a))


REWRITES: Rewrites = {
    "hardtanh": _hardtanh,
    "hardsigmoid": _hardsigmoid,
    "relu6": lambda a: clamp(a, 0.0, 6.0),
    "threshold": _threshold,
    "leaky_relu": _leaky_relu,
    "_prelu_kernel": _prelu,
    "celu": _celu,
    "selu": _selu,
    "log_sigmoid_forward": _log_sigmoid,
    "glu": _glu,
    "softshrink": _softshrink,
    "rrelu_with_noise": _rrelu,
    "sinh": lambda a: _hyperbolic(a, -1.0),
    "cosh": lambda a: _hyperbolic(a, 1.0),
    "tan": lambda a: aten.mul.Tensor(aten.sin.default(a), aten.reciprocal.default(aten.cos.default(a))),
    "expm1": lambda a: aten.add.Tensor(aten.exp.default(a), scalar(-1.0, a)),
    "exp2": lambda a: aten.exp.default(aten.mul.Tensor(a, scalar(math.log(2), a))),
    "log1p": _log1p,
    "log2": _scaled_log(2.0),
    "log10": _scaled_log(10.0),
    "logit": _logit,
    "logaddexp": _log_add_exp,
    "erfc": lambda a: aten.rsub.Scalar(aten.erf.default(a), 1.0),
    "sgn": lambda a: aten.sign.default(a),
    "round": _round,
}
