"""Samples of any box as pictures in [0, 1], where they are pictures at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robust.properties.input_sets import Box


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether one sample can be drawn: ``[H, W]``, or 1 or 3 channels first or last; at least 2 pixels a side."""
    return _channels_first(shape) or _channels_last(shape) or (len(shape) == 2 and min(shape) > 1)


def as_picture(sample: NDArray[np.float32], box: Box) -> NDArray[np.float64]:
    """One sample ``[*shape]`` as ``[H, W]`` or ``[C, H, W]`` in [0, 1]: 0 and 1 are the ends of the box."""
    lower, upper = box.lower.cpu().numpy().astype(np.float64), box.upper.cpu().numpy().astype(np.float64)
    width = np.where(upper > lower, upper - lower, 1.0)
    return _channels(np.clip((sample - lower) / width, 0.0, 1.0))


def as_change(sample: NDArray[np.float32], changed: NDArray[np.float32], box: Box) -> tuple[NDArray[np.float64], float]:
    """The perturbation, drawn around middle grey, and the factor by which it was amplified to fill half the range."""
    lower, upper = box.lower.cpu().numpy().astype(np.float64), box.upper.cpu().numpy().astype(np.float64)
    width = np.where(upper > lower, upper - lower, 1.0)
    delta = (changed.astype(np.float64) - sample.astype(np.float64)) / width
    largest = float(np.abs(delta).max())
    factor = max(1.0, float(f"{0.5 / largest:.2g}")) if largest > 0 else 1.0
    return _channels(np.clip(0.5 + factor * delta, 0.0, 1.0)), factor


def as_heat(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """A map ``[H, W]`` as ``[3, H, W]``: red above 0, blue below, white at 0, by the largest absolute value."""
    largest = float(np.abs(values).max())
    scaled = values.astype(np.float64) / largest if largest > 0 else np.zeros(values.shape)
    above, below = np.clip(scaled, 0.0, 1.0), np.clip(-scaled, 0.0, 1.0)
    return np.stack([1.0 - below, 1.0 - above - below, 1.0 - above])


def _channels(array: NDArray[np.float64]) -> NDArray[np.float64]:
    shape = tuple(array.shape)
    return np.moveaxis(array, -1, 0) if _channels_last(shape) and not _channels_first(shape) else array


def _channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) > 1


def _channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] in (1, 3) and min(shape[:2]) > 1
