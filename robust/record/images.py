"""Arrays to PNG thumbnails, the same bytes every time."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robust.record.evidence import ImageItem

LARGEST_SIDE = 128


def png_bytes(image: NDArray[np.floating] | NDArray[np.uint8]) -> bytes:
    """PNG of one picture.

    Args:
        image: ``[H, W]``, ``[1, H, W]`` or ``[3, H, W]``; floats in [0, 1] (clipped) or uint8.

    Raises:
        ValueError: not a picture.
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    elif array.ndim == 3 and array.shape[0] == 3:
        array = np.moveaxis(array, 0, -1)
    elif array.ndim != 2:
        raise ValueError(f"not a picture: wanted [H, W], [1, H, W] or [3, H, W], got {image.shape}")
    if array.dtype != np.uint8:
        array = np.round(np.clip(np.nan_to_num(array), 0.0, 1.0) * 255.0).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(array))
    if max(picture.size) > LARGEST_SIDE:
        picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=False, compress_level=9)
    return buffer.getvalue()


def image_item(image: NDArray[np.floating] | NDArray[np.uint8], *, alt: str, caption: str = "") -> ImageItem:
    """``png_bytes`` with its words. ``width`` and ``height`` are those of the stored thumbnail."""
    data = png_bytes(image)
    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
    return ImageItem(png=base64.b64encode(data).decode("ascii"), width=width, height=height, alt=alt, caption=caption)
