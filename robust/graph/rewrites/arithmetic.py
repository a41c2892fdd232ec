"""Sums, differences, quotients, minima and maxima of two, powers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from robust.graph.rewrites.replacement import Number, Replacement, Rewrites, aten, rounded, scalar, varies


def _add(a: Any, b: Any, *, alpha: Number = 1) -> Any:
    if alpha == 1 and isinstance(a, Tensor) and isinstance(b, Tensor):
        return NotImplemented
    left = a if isinstance(a, Tensor) else scalar(a, b)
    right = b if isinstance(b, Tensor) else scalar(b, left)
    return aten.add.Tensor(left, right if alpha == 1 else aten.mul.Tensor(right, scalar(alpha, right)))


def _sub(a: Tensor, b: Any, alpha: Number = 1) -> Any:
    if isinstance(b, Tensor):
        return aten.add.Tensor(a, aten.mul.Tensor(b, scalar(-alpha, b if b.is_floating_point() else a)))
    return aten.add.Tensor(a, scalar(-alpha * b, a))


def _rsub(a: Tensor, b: Any, alpha: Number = 1) -> Any:
    negative = aten.mul.Tensor(a, scalar(-alpha, a))
    return aten.add.Tensor(negative, b if isinstance(b, Tensor) else scalar(b, a))


def _mul(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return NotImplemented
    return aten.mul.Tensor(a, scalar(b, a))


def _div(a: Tensor, b: Any, *, rounding_mode: str | None = None) -> Any:
    """A quotient by a constant multiplies by its reciprocal in double precision; by a varying tensor, by a node."""
    divisor = b if isinstance(b, Tensor) else scalar(b, a)
    if varies(divisor):
        inverse = aten.reciprocal.default(divisor)
    else:
        inverse = rounded(aten.reciprocal.default(divisor.double()), a)
    quotient = aten.mul.Tensor(a if isinstance(a, Tensor) else scalar(a, divisor), inverse)
    if rounding_mode is None:
        return quotient
    return aten.floor.default(quotient) if rounding_mode == "floor" else NotImplemented


def _remainder(a: Tensor, b: Any) -> Any:
    divisor = b if isinstance(b, Tensor) else scalar(b, a)
    return aten.sub.Tensor(a, aten.mul.Tensor(divisor, aten.floor.default(aten.div.Tensor(a, divisor))))


def _pow(a: Any, exponent: Any) -> Any:
    """Constant exponents as Python numbers; well-known ones as operators of their own; a constant base as ``exp``."""
    if isinstance(exponent, Tensor) and exponent.numel() == 1 and not varies(exponent):
        exponent = float(exponent)
    if isinstance(exponent, Tensor):
        base = a if isinstance(a, Tensor) else scalar(a, exponent)
        return aten.exp.default(aten.mul.Tensor(exponent, aten.log.default(base)))
    if exponent == 0:
        return aten.add.Tensor(aten.mul.Tensor(a, scalar(0.0, a)), scalar(1.0, a))
    if exponent == 1:
        return a.clone()
    known = {0.5: aten.sqrt, -1: aten.reciprocal, -0.5: aten.rsqrt}.get(exponent)
    if known is not None:
        return known.default(a)
    return Replacement(aten.pow.Tensor_Scalar, (a, int(exponent) if exponent == int(exponent) else exponent))


def _neg(a: Tensor) -> Any:
    return aten.mul.Tensor(a, scalar(-1.0, a))


def maximum(a: Tensor, b: Tensor) -> Any:
    """``b + relu(a - b)``."""
    return aten.add.Tensor(b, aten.relu.default(aten.sub.Tensor(a, b)))


def minimum(a: Tensor, b: Tensor) -> Any:
    """``a - relu(a - b)``."""
    return aten.sub.Tensor(a, aten.relu.default(aten.sub.Tensor(a, b)))


def clamp(a: Tensor, low: Any = None, high: Any = None) -> Tensor:
    """Between two numbers, or constants, where they are given."""
    result = a
    if low is not None:
        result = maximum(result, low if isinstance(low, Tensor) else scalar(low, a))
    if high is not None:
        result = minimum(result, high if isinstance(high, Tensor) else scalar(high, a))
    return result


def _addcmul(a: Tensor, b: Tensor, c: Tensor, *, value: Number = 1) -> Any:
    return aten.add.Tensor(a, aten.mul.Tensor(b, c), alpha=value)


def _addcdiv(a: Tensor, b: Tensor, c: Tensor, *, value: Number = 1) -> Any:
    return aten.add.Tensor(a, aten.div.Tensor(b, c), alpha=value)


def _lerp(a: Tensor, b: Tensor, weight: Any) -> Any:
    return aten.add.Tensor(a, aten.mul.Tensor(aten.sub.Tensor(b, a), _tensor(weight, a)))


def _hypot(a: Tensor, b: Tensor) -> Any:
    return aten.sqrt.default(aten.add.Tensor(aten.mul.Tensor(a, a), aten.mul.Tensor(b, b)))


def _tensor(value: Any, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else scalar(value, like)


REWRITES: Rewrites = {
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "div": _div,
    "remainder": _remainder,
    "neg": _neg,
    "pow": _pow,
    "square": lambda a: _pow(a, 2),
    "maximum": maximum,
    "minimum": minimum,
    "clamp": clamp,
    "clamp_min": lambda a, low: clamp(a, low, None),
    "clamp_max": lambda a, high: clamp(a, None, high),
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "lerp": _lerp,
    "hypot": _hypot,
}
