"""What every family of rewrites needs: the answer "record this one operator", and scalars as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

aten: Any = torch.ops.aten
Number = int | float
Rewrites = Mapping[str, Callable[..., Any]]
"""ATen name without overload -> a torch function of the operator's own signature."""


@dataclass(frozen=True)
class Replacement:
    """Returned by a rewrite: record this one operator instead, without looking inside it."""

    target: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Original:
    """Where a constant that a rewrite made comes from.

    Attributes:
        rounded: the constant.
        precise: float64, what it was rounded from.
        added: the magnitudes that it was added up from; None: it is no sum.
    """

    rounded: Tensor
    precise: Tensor
    added: Tensor | None = None


ORIGINALS: ContextVar[Callable[[Original], None] | None] = ContextVar("ORIGINALS", default=None)
"""Set by the recorder while a rewrite runs."""


def rounded(precise: Tensor, like: Tensor, added: Tensor | None = None) -> Tensor:
    """A float64 constant in the arithmetic of another tensor; the recorder keeps where it comes from.

    Args:
        precise: computed in float64 with a few roundings.
        like: a tensor of the arithmetic.
        added: where it is a sum that may cancel, the magnitudes that were added up.
    """
    result, keep = precise.to(like.dtype), ORIGINALS.get()
    if keep is not None:
        keep(Original(result, precise, added))
    return result


def scalar(value: Number, like: Tensor) -> Tensor:
    """A number as a tensor of the arithmetic and place of another."""
    if like.dtype != torch.float32:
        return torch.tensor(value, dtype=like.dtype, device=like.device)
    return rounded(torch.tensor(value, dtype=torch.float64, device=like.device), like)


def nothing(like: Tensor) -> Tensor:
    """Stands for a second result that nobody uses."""
    return torch.empty(0, dtype=like.dtype, device=like.device)


VARYING: ContextVar[Callable[[Tensor], bool]] = ContextVar("VARYING", default=lambda tensor: False)
"""Set by the recorder while a rewrite runs: whether a tensor depends on the input."""


def varies(tensor: Tensor) -> bool:
    """Whether a tensor depends on the input of the model that is being recorded."""
    return VARYING.get()(tensor)


def broadcast(*tensors: Tensor) -> tuple[int, ...]:
    """The shape that tensors spread to together. (torch's own function of it imports half a second of symbols.)"""
    return np.broadcast_shapes(*(tuple(tensor.shape) for tensor in tensors))
