"""Occlusion (Zeiler and Fergus 2014, *Visualizing and Understanding Convolutional Networks*, section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from robust.explanation.maps import PICTURE_AXES, as_maps, check_request

ROWS = 2048
"""Inputs in one batch at most, unless a single sample needs more."""

WINDOWS_A_SIDE = 7
"""Windows of the default size that fit beside each other."""


def default_window(shape: tuple[int, ...]) -> int:
    """Side of the window in pixels: a seventh of the shorter side, at least 1; 1 where samples are no pictures."""
    return max(1, min(shape[-2:]) // WINDOWS_A_SIDE) if len(shape) > 1 else 1


def occlusion(
    logits: Callable[[Tensor], Tensor],
    x: Tensor,
    classes: Tensor,
    baseline: Tensor,
    *,
    window: int | None = None,
) -> Tensor:
    """How much the logit falls when a window around each place is set to ``baseline``, averaged over those windows.

    Needs answers alone, so black boxes can be asked. Windows cover all channels and move by half a side, rounded up.

    Args:
        logits: ``[n, *shape] -> [n, classes]``.
        x: ``[n, *shape]``.
        classes: int64 ``[n]``.
        baseline: ``[*shape]``.
        window: side in pixels (features, for tables); by default ``default_window``.

    Returns:
        float32 ``[n, H, W]`` for pictures ``[C, H, W]``, else ``[n, *shape]``; positive where hiding takes away from
        the class.
    """
    from captum.attr import Occlusion

    check_request(x, classes)
    shape = tuple(x.shape[1:])
    side = window or default_window(shape)
    sides = tuple(min(side, size) for size in shape[-2:])
    strides = tuple((size + 1) // 2 for size in sides)
    whole = shape[: len(shape) - len(sides)]
    places = math.prod(math.ceil((n - w) / s) + 1 for n, w, s in zip(shape[-2:], sides, strides, strict=True))
    method, made = Occlusion(logits), []
    with torch.no_grad():
        for few, wanted in zip(torch.split(x, ROWS), torch.split(classes, ROWS), strict=True):
            attributions = method.attribute(
                few,
                sliding_window_shapes=(*whole, *sides),
                strides=(*whole, *strides),
                baselines=baseline.expand_as(few),
                target=wanted,
                perturbations_per_eval=min(places, max(1, ROWS // len(few))),
            )
            made.append(attributions.mean(1) if attributions.ndim == PICTURE_AXES else attributions)
    return as_maps(torch.cat(made))
