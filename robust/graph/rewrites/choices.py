"""Comparisons of varying tensors, logic on their answers, and choices by them: as numbers 0 and 1.

``a > b`` is ``relu(sign(a - b))``: exactly 0 or 1, in floats as in real numbers, since a difference of floats has the
sign of the comparison. A choice is ``c x + (1 - c) y``, which is exact where both are finite. Each works on floats that
stand for the truth values; the recorder hands those in and keeps the model's own bool tensors beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph.rewrites.replacement import Rewrites, aten, scalar, varies

WHOLE = frozenset({torch.int32, torch.int64})
"""Whole numbers that floats may become. Narrower ones wrap around."""


def _not(a: Tensor) -> Any:
    return aten.add.Tensor(aten.mul.Tensor(a, scalar(-1.0, a)), scalar(1.0, a))


def _and(a: Tensor, b: Tensor) -> Any:
    """``relu(a + b - 1)``: of 0 and 1 exact, and no product."""
    return aten.relu.default(aten.add.Tensor(aten.add.Tensor(a, b), scalar(-1.0, _like(a, b))))


def _or(a: Tensor, b: Tensor) -> Any:
    return _not(aten.relu.default(_not(aten.add.Tensor(a, b))))


def _xor(a: Tensor, b: Tensor) -> Any:
    return aten.abs.default(aten.sub.Tensor(a, b))


def compared(a: Tensor, b: Tensor) -> Any:
    """``a > b`` as 0 or 1."""
    return aten.relu.default(aten.sign.default(aten.sub.Tensor(a, b)))


def _ne(a: Tensor, b: Tensor) -> Any:
    return aten.abs.default(aten.sign.default(aten.sub.Tensor(a, b)))


def chosen(condition: Tensor, x: Tensor, y: Tensor) -> Any:
    """``x`` where the condition is 1, ``y`` where it is 0.

    Raises:
        UnsupportedOperatorError: a value is infinite.
    """
    for value in (x, y):
        if not varies(value) and not bool(torch.isfinite(value).all()):
            raise UnsupportedOperatorError(
                "a choice that depends on the input has an infinite value",
                hint="let the value be finite, such as -1e4",
            )
    return aten.add.Tensor(aten.mul.Tensor(x, condition), aten.mul.Tensor(y, _not(condition)))


def truncated(a: Tensor) -> Any:
    """Towards zero."""
    return aten.sub.Tensor(
        aten.floor.default(aten.relu.default(a)), aten.floor.default(aten.relu.default(aten.neg.default(a)))
    )


def _like(a: Tensor, b: Tensor) -> Tensor:
    return a if varies(a) else b


CHOICES: Mapping[str, Callable[..., Any]] = {
    "gt": compared,
    "lt": lambda a, b: compared(b, a),
    "le": lambda a, b: _not(compared(a, b)),
    "ge": lambda a, b: _not(compared(b, a)),
    "ne": _ne,
    "eq": lambda a, b: _not(_ne(a, b)),
    "logical_not": _not,
    "bitwise_not": _not,
    "logical_and": _and,
    "bitwise_and": _and,
    "logical_or": _or,
    "bitwise_or": _or,
    "logical_xor": _xor,
    "bitwise_xor": _xor,
    "where": chosen,
    "masked_fill": lambda a, mask, value: chosen(mask, value, a),
}
"""ATen name -> what is recorded of the floats in its place."""

COMPARISONS = frozenset({"gt", "lt", "le", "ge", "ne", "eq"})
"""Those that read numbers and answer truth values; the others read truth values, too."""

LOGIC_OF_TRUTHS: Mapping[str, str] = {"add": "logical_or", "mul": "logical_and", "maximum": "logical_or"}
"""What arithmetic on two tensors of truth values means."""

KEEPS_TRUTH = frozenset(
    {
        *("view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "squeeze", "unsqueeze", "select"),
        *("slice", "index", "index_select", "flip", "roll", "cat", "stack", "gather", "repeat", "split", "unbind"),
        *("split_with_sizes", "chunk", "narrow", "diagonal", "tril", "triu", "unfold", "constant_pad_nd"),
        *("clone", "alias", "detach", "contiguous", "lift_fresh"),
    }
)
"""Operators that only move truth values."""


def _hardshrink(a: Tensor, lambd: float = 0.5) -> Any:
    return aten.mul.Tensor(a, compared(aten.abs.default(a), scalar(lambd, a)))


def _heaviside(a: Tensor, values: Tensor) -> Any:
    if varies(values):
        return NotImplemented
    return aten.add.Tensor(compared(a, scalar(0.0, a)), aten.mul.Tensor(_not(_ne(a, scalar(0.0, a))), values))


REWRITES: Rewrites = {
    "hardshrink": _hardshrink,
    "heaviside": _heaviside,
    "trunc": truncated,
    "fix": truncated,
    "frac": lambda a: aten.sub.Tensor(a, truncated(a)),
}
"""Operators with a jump."""
