"""Does a map point at where the answer is known to lie? The pointing game (Zhang et al. 2016, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor


def pointing_hits(maps: Tensor, masks: Tensor) -> Tensor:
    """Whether the largest value of each map lies inside its mask, bool ``[n]``.

    Several largest values must all lie inside: a constant map points nowhere.

    Args:
        maps: ``[n, ...]``.
        masks: bool, of the same shape: where the planted feature is.
    """
    _check(maps, masks)
    flat, inside = maps.flatten(1), masks.flatten(1).bool()
    largest = flat == flat.amax(1, keepdim=True)
    return (~largest | inside).all(1)


def mass_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of the map's positive values that lies inside the mask, float64 ``[n]``; 0 for a map without any.

    To be compared with the mask's share of the area, which a flat map reaches.
    """
    _check(maps, masks)
    positive = maps.double().clamp(min=0).flatten(1)
    total = positive.sum(1)
    inside = (positive * masks.flatten(1)).sum(1)
    return torch.where(total > 0, inside / total.where(total > 0, torch.ones_like(total)), torch.zeros_like(total))


def _check(maps: Tensor, masks: Tensor) -> None:
    if maps.shape != masks.shape:
        raise ValueError(f"masks of the maps' shape are wanted, got {list(masks.shape)} for {list(maps.shape)}")
