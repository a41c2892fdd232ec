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


def scalar(value: Number, like: Tensor) -> Tensor:
    """A number as a tensor of the arithmetic and place of another."""
    return torch.tensor(value, dtype=like.dtype, device=like.device)


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
