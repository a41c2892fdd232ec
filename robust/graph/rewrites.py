"""Rewrites at record time: an operator said in simpler ones, so that engines need fewer rules.

Each is a plain torch function with the operator's own signature; the recorder runs it instead, and what it calls is
recorded in its place. A rewrite returns NotImplemented where it does not apply, and the operator is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

aten: Any = torch.ops.aten
Number = int | float


@dataclass(frozen=True)
class Replacement:
    """Returned by a rewrite: record this one operator instead, without looking inside it."""

    target: Any
    arguments: tuple[Any, ...]


def _add(a: Any, b: Any, *, alpha: Number = 1) -> Any:
    if alpha == 1 and isinstance(a, Tensor) and isinstance(b, Tensor):
        return NotImplemented
    left = a if isinstance(a, Tensor) else _scalar(a, b)
    right = b if isinstance(b, Tensor) else _scalar(b, left)
    return aten.add.Tensor(left, right if alpha == 1 else aten.mul.Tensor(right, _scalar(alpha, right)))


def _sub(a: Tensor, b: Any, alpha: Number = 1) -> Any:
    if isinstance(b, Tensor):
        return aten.add.Tensor(a, aten.mul.Tensor(b, _scalar(-alpha, b if b.is_floating_point() else a)))
    return aten.add.Tensor(a, _scalar(-alpha * b, a))


def _rsub(a: Tensor, b: Any, alpha: Number = 1) -> Any:
    negative = aten.mul.Tensor(a, _scalar(-alpha, a))
    return aten.add.Tensor(negative, b if isinstance(b, Tensor) else _scalar(b, a))


def _mul(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return NotImplemented
    return aten.mul.Tensor(a, _scalar(b, a))


def _div(a: Tensor, b: Any, *, rounding_mode: str | None = None) -> Any:
    if rounding_mode is not None:
        return NotImplemented
    divisor = b if isinstance(b, Tensor) else _scalar(b, a)
    return aten.mul.Tensor(a, aten.reciprocal.default(divisor.double()).to(a.dtype))


def _neg(a: Tensor) -> Any:
    return aten.mul.Tensor(a, _scalar(-1.0, a))


def _maximum(a: Tensor, b: Tensor) -> Any:
    return aten.add.Tensor(b, aten.relu.default(aten.sub.Tensor(a, b)))


def _minimum(a: Tensor, b: Tensor) -> Any:
    return aten.sub.Tensor(a, aten.relu.default(aten.sub.Tensor(a, b)))


def _clamp(a: Tensor, low: Any = None, high: Any = None) -> Tensor:
    result = a
    if low is not None:
        result = _maximum(result, low if isinstance(low, Tensor) else _scalar(low, a))
    if high is not None:
        result = _minimum(result, high if isinstance(high, Tensor) else _scalar(high, a))
    return result


def _hardtanh(a: Tensor, low: Number = -1, high: Number = 1) -> Tensor:
    return _clamp(a, low, high)


def _hardsigmoid(a: Tensor) -> Any:
    return aten.mul.Tensor(_clamp(aten.add.Tensor(a, _scalar(3.0, a)), 0.0, 6.0), _scalar(1 / 6, a))


def _abs(a: Tensor) -> Any:
    return aten.add.Tensor(aten.relu.default(a), aten.relu.default(_neg(a)))


def _leaky_relu(a: Tensor, slope: Number = 0.01) -> Any:
    if 0 <= slope <= 1:
        return NotImplemented
    kept = aten.mul.Tensor(a, _scalar(slope, a))
    return aten.add.Tensor(kept, aten.mul.Tensor(aten.relu.default(a), _scalar(1 - slope, a)))


def _threshold(a: Tensor, threshold: Number, value: Number) -> Any:
    return aten.relu.default(a) if threshold == 0 and value == 0 else NotImplemented


def _prelu(a: Tensor, weight: Tensor) -> Any:
    shape = [1, -1] + [1] * (a.ndim - 2) if weight.numel() > 1 else [1] * a.ndim
    kept = aten.mul.Tensor(a, weight.reshape(shape))
    return aten.add.Tensor(kept, aten.mul.Tensor(aten.relu.default(a), 1 - weight.reshape(shape)))


def _mm(a: Tensor, b: Tensor) -> Replacement:
    return Replacement(aten.linear.default, (a, b.t(), None))


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Any:
    if alpha == 1 and beta == 1 and bias.ndim == 1:
        return Replacement(aten.linear.default, (a, b.t(), bias))
    product = aten.mm.default(a, b)
    if alpha != 1:
        product = aten.mul.Tensor(product, _scalar(alpha, product))
    return aten.add.Tensor(product, bias if beta == 1 else aten.mul.Tensor(bias, _scalar(beta, product)))


def _mv(a: Tensor, vector: Tensor) -> Any:
    return aten.squeeze.dim(aten.mm.default(a, vector[:, None]), 1)


def _avg_pool2d(
    a: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """A divisor of its own may be negative; the table of monotone operators has none such."""
    if divisor_override in (None, 1):
        return NotImplemented
    total = aten.avg_pool2d.default(a, kernel, stride, padding, ceil_mode, count_include_pad, 1)
    return aten.mul.Tensor(total, _scalar(1 / divisor_override, total))


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
    if bias is not None:
        shift = shift + bias.double()
    shape = [1, -1] + [1] * (a.ndim - 2)
    scaled = aten.mul.Tensor(a, scale.to(a.dtype).reshape(shape))
    empty = torch.empty(0, dtype=a.dtype, device=a.device)
    return aten.add.Tensor(scaled, shift.to(a.dtype).reshape(shape)), empty, empty


def _squeeze_all(a: Tensor, axes: Any = None) -> Any:
    if axes is not None:
        return NotImplemented
    return aten.squeeze.dims(a, [axis for axis in range(1, a.ndim) if a.shape[axis] == 1])


def _split(a: Tensor, size: int, axis: int = 0) -> list[Tensor]:
    starts = range(0, a.shape[axis], size)
    return [aten.slice.Tensor(a, axis, start, min(start + size, a.shape[axis])) for start in starts]


def _split_sizes(a: Tensor, sizes: list[int], axis: int = 0) -> list[Tensor]:
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [aten.slice.Tensor(a, axis, end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _unbind(a: Tensor, axis: int = 0) -> list[Tensor]:
    return [aten.select.int(a, axis, place) for place in range(a.shape[axis])]


def _scalar(value: Number, like: Tensor) -> Tensor:
    return torch.tensor(value, dtype=like.dtype, device=like.device)


REWRITES: Mapping[str, Callable[..., Any]] = {
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "maximum": _maximum,
    "minimum": _minimum,
    "clamp": _clamp,
    "clamp_min": lambda a, low: _clamp(a, low, None),
    "clamp_max": lambda a, high: _clamp(a, None, high),
    "hardtanh": _hardtanh,
    "hardsigmoid": _hardsigmoid,
    "relu6": lambda a: _clamp(a, 0.0, 6.0),
    "abs": _abs,
    "threshold": _threshold,
    "leaky_relu": _leaky_relu,
    "_prelu_kernel": _prelu,
    "mm": _mm,
    "addmm": _addmm,
    "squeeze": _squeeze_all,
    "mv": _mv,
    "avg_pool2d": _avg_pool2d,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_batch_norm_no_update": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "split": _split,
    "split_with_sizes": _split_sizes,
    "unbind": _unbind,
}
"""ATen name without overload -> rewrite."""

RENAMED: Mapping[str, str] = {"view": "reshape", "_unsafe_view": "reshape", "view_copy": "reshape"}
"""Operators that become another one with the same arguments, because it does not care how memory lies."""

IDENTITIES = frozenset({"detach", "alias", "clone", "lift_fresh", "contiguous", "dropout", "native_dropout"})
"""Operators that give back their first argument's value."""

SHAPE_ONLY = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
)
"""Operators whose result depends on the shape of a varying tensor, never on its values."""

INPUT_DEPENDENT = frozenset(
    {
        "_local_scalar_dense",
        "item",
        "is_nonzero",
        "nonzero",
        "equal",
        "masked_select",
        "unique_dim",
        "_unique2",
        "allclose",
    }
)
"""Operators that let values decide what happens next."""

PREDICATES = frozenset({"gt", "lt", "ge", "le", "eq", "ne", "argmax", "argmin", "any", "all", "isnan", "isinf", "sign"})
"""Operators whose answer is discrete: recorded only as something that must not be used."""
