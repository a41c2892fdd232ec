"""Maxima and minima along axes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from robust.graph.rewrites.replacement import Rewrites, aten, scalar


def _amin(a: Tensor, axes: Any = (), keepdim: bool = False) -> Any:
    highest = aten.amax.default(aten.mul.Tensor(a, scalar(-1.0, a)), list(axes), keepdim)
    return aten.mul.Tensor(highest, scalar(-1.0, a))


def _with_place(largest: bool) -> Any:
    """``max`` and ``min`` of one tensor; of the two answers along an axis, the place is not followed."""
    other = aten.argmax if largest else aten.argmin

    def reduced(a: Tensor, axis: Any = None, keepdim: bool = False) -> Any:
        axes = [] if axis is None else [axis]
        value = aten.amax.default(a, axes, keepdim) if largest else _amin(a, axes, keepdim)
        return value if axis is None else (value, other.default(a, axis, keepdim))

    return reduced


REWRITES: Rewrites = {"amin": _amin, "max": _with_place(True), "min": _with_place(False)}
