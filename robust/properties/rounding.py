"""Casts that never move a bound the wrong way."""

from __future__ import annotations

import torch
from torch import Tensor


def outward(value: Tensor, dtype: torch.dtype, *, down: bool) -> Tensor:
    """The nearest number of ``dtype`` that is not above (``down``) or not below ``value``; any shape, same shape."""
    cast = value.to(dtype)
    wide = torch.promote_types(dtype, value.dtype)
    wrong = (cast.to(wide) > value.to(wide)) if down else (cast.to(wide) < value.to(wide))
    return torch.where(wrong, step(cast, down=down), cast)


def step(value: Tensor, *, down: bool) -> Tensor:
    """The next number below (``down``) or above each number of ``value``."""
    return torch.nextafter(value, torch.full_like(value, -torch.inf if down else torch.inf))
