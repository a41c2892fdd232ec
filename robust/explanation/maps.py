"""What all explanations share: the shape of a map, and the checks of what is asked."""

from __future__ import annotations

from torch import Tensor

from robust.errors import NotExplainableError

PICTURE_AXES = 4
"""Samples, channels, height, width."""


def as_maps(attributions: Tensor) -> Tensor:
    """``[n, C, H, W]`` summed over channels to ``[n, H, W]``; everything else as it is; float32, no gradients."""
    maps = attributions.sum(1) if attributions.ndim == PICTURE_AXES else attributions
    return maps.detach().float()


def check_request(x: Tensor, classes: Tensor) -> None:
    """Raise NotExplainableError unless there is a sample and one class index for each."""
    if not len(x) or classes.ndim != 1 or len(classes) != len(x):
        raise NotExplainableError(
            "an explanation is of one class per sample",
            wanted=f"at least one sample, and int64 [{len(x)}] classes",
            got=f"{len(x)} samples and classes {list(classes.shape)}",
        )
