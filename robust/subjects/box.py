"""Input boxes and per-channel numbers, spread to the shape of an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.errors import ModelShapeError
from robust.properties.input_sets import Box

Numbers = float | Sequence[float] | NDArray[Any] | Tensor
"""One number, one per channel or feature, or one per input number."""

BoxLike = Box | tuple[Numbers, Numbers] | Sequence[Numbers]
"""A box, or its lower and upper end."""


def make_box(ends: BoxLike, shape: Sequence[int], device: torch.device | str = "cpu") -> Box:
    """A box of a shape from two numbers, two lists per channel or feature, or two whole arrays.

    Raises:
        ModelShapeError: not two ends, or an end that cannot be spread over the shape.
        PropertyError: an end that is not finite, or an inverted box.
    """
    if isinstance(ends, Box):
        ends = (ends.lower, ends.upper)
    if len(ends) != 2:
        raise ModelShapeError("an input box has two ends", wanted="(lower, upper)", got=f"{len(ends)} values")
    lower, upper = (spread(end, shape, "an end of the input box").expand(tuple(shape)) for end in ends)
    whole = torch.contiguous_format
    return Box(lower.clone(memory_format=whole).to(device), upper.clone(memory_format=whole).to(device))


def spread(values: Numbers, shape: Sequence[int], what: str) -> Tensor:
    """Numbers as a float32 tensor that broadcasts over ``[n, *shape]``.

    One number stays one; a list as long as the first axis is per channel (per feature of a table); an array of
    the whole shape is taken as it stands.

    Raises:
        ModelShapeError: none of these.
    """
    raw = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    array = np.asarray(raw, dtype=np.float32)
    if array.size == 1:
        return torch.from_numpy(array.reshape(()).copy())
    if array.shape == tuple(shape):
        return torch.from_numpy(array.copy())
    if array.ndim == 1 and shape and array.size == shape[0]:
        return torch.from_numpy(array.reshape(-1, *[1] * (len(shape) - 1)).copy())
    raise ModelShapeError(
        f"{what} does not fit the input",
        wanted=f"one number, {shape[0] if shape else 1} numbers (one per channel or feature), or shape {list(shape)}",
        got=f"shape {list(array.shape)}",
    )


def box_in_words(box: Box) -> str:
    """``[0, 1]``, or the outermost ends where they differ by coordinate."""
    low, high = box.lower.min().item(), box.upper.max().item()
    same = bool((box.lower == low).all() and (box.upper == high).all())
    return f"[{low:g}, {high:g}]" + ("" if same else ", ends differ by coordinate")
