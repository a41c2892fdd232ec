"""Minus infinity as a mask: scores that a softmax is told to leave out.

A mask is taken out of the tensor, which stays finite, and kept beside it until the softmax asks for it. Nothing else
may use such a tensor. The least float is a mask as well: what is added to it drowns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from robust.graph.rewrites.replacement import aten

FORBIDDEN = -3e38
"""Constants at or below leave a score out."""
ASKED_BY = frozenset({"_softmax", "_safe_softmax"})
"""Who may read a masked tensor."""
KEPT_BY = frozenset({"view", "_unsafe_view", "reshape", "clone", "alias", "detach", "contiguous"})
"""Who hands a mask on; each keeps the order of the elements."""


def unmasked(op: str, args: tuple[Any, ...], constant: Any) -> tuple[Any, tuple[Any, ...], Tensor] | None:
    """The operator that gives finite scores, its arguments, and which scores take part; None where there is no mask.

    Args:
        op: ``add``, ``where`` or ``masked_fill``.
        args: its positional arguments.
        constant: says whether a tensor does not depend on the input.
    """
    with _disable_current_modes():
        if op == "masked_fill" and constant(args[1]) and _forbids(args[2], constant):
            return aten.masked_fill.Scalar, (args[0], args[1], 0.0), ~args[1]
        if op == "add":
            for score, mask in (args[:2], args[1::-1]):
                if isinstance(score, Tensor) and isinstance(mask, Tensor) and _has_mask(mask, constant):
                    keep = mask > FORBIDDEN
                    return aten.add.Tensor, (score, torch.where(keep, mask, torch.zeros_like(mask))), keep
        if op == "where" and constant(args[0]):
            for place in (1, 2):
                mask = args[place]
                if _has_mask(mask, constant) and not constant(args[3 - place]):
                    chosen = args[0] if place == 1 else ~args[0]
                    finite = torch.where(mask > FORBIDDEN, mask, torch.zeros_like(mask))
                    values = (args[0], finite, args[2]) if place == 1 else (args[0], args[1], finite)
                    return aten.where.self, values, ~(chosen & (mask <= FORBIDDEN))
    return None


def _has_mask(value: Any, constant: Any) -> bool:
    return bool(constant(value)) and value.is_floating_point() and bool((value <= FORBIDDEN).any())


def _forbids(value: Any, constant: Any) -> bool:
    return _has_mask(value, constant) if isinstance(value, Tensor) else float(value) <= FORBIDDEN
