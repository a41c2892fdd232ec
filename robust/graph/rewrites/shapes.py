"""Cuts, joins, and choices by constant masks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robust.graph.rewrites.replacement import Rewrites, aten, broadcast


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


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Any:
    """A constant mask: either side with zeros where the other is chosen, and their sum."""
    shape = list(broadcast(condition, a, b))
    left = aten.masked_fill.Scalar(aten.expand.default(a, shape), aten.logical_not.default(condition), 0.0)
    return aten.add.Tensor(left, aten.masked_fill.Scalar(aten.expand.default(b, shape), condition, 0.0))


def _rot90(a: Tensor, turns: int = 1, axes: Any = (0, 1)) -> Any:
    for _ in range(turns % 4):
        a = aten.flip.default(aten.transpose.int(a, axes[0], axes[1]), [axes[0]])
    return a.clone() if turns % 4 == 0 else a


def circular_pad(a: Tensor, widths: Any) -> Any:
    """Pads the last axes with what comes round from the other end; ``widths`` as in ``F.pad``."""
    for place in range(len(widths) // 2):
        axis, size = a.ndim - 1 - place, a.shape[a.ndim - 1 - place]
        places = torch.arange(-widths[2 * place], size + widths[2 * place + 1], device=a.device) % size
        a = aten.index_select.default(a, axis, places)
    return a


REWRITES: Rewrites = {
    "squeeze": _squeeze_all,
    "split": _split,
    "split_with_sizes": _split_sizes,
    "unsafe_split": _split,
    "unsafe_split_with_sizes": _split_sizes,
    "unbind": _unbind,
    "where": _where,
    "rot90": _rot90,
}
