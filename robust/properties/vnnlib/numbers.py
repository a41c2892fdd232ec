"""Numbers of a text, exactly, and the float32 and float64 numbers beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Number = Decimal | Fraction
"""Exact; both compare exactly with floats."""

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
"""What counts as a number: no ``nan``, no ``inf``, no exponent that could fill the memory."""

LARGEST = float(np.finfo(np.float32).max)


def is_number(token: str) -> bool:
    """Whether a token is a number; never NaN, and never beyond what a float64 can hold."""
    return NUMBER.fullmatch(token) is not None and math.isfinite(float(token))


def below(value: Number) -> float:
    """The largest float64 that is not above."""
    near = float(value)
    return near if near <= value else math.nextafter(near, -math.inf)


def above(value: Number) -> float:
    """The smallest float64 that is not below."""
    near = float(value)
    return near if near >= value else math.nextafter(near, math.inf)


def float32_ends(
    lower: Sequence[Number], upper: Sequence[Number], open_lower: Sequence[bool], open_upper: Sequence[bool]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The smallest and the largest float32 number inside each interval; crossed where there is none."""
    low = np.array([above(value) for value in lower])
    high = np.array([below(value) for value in upper])
    bottom = _rounded(low, up=True)
    top = _rounded(high, up=False)
    for place, is_open in enumerate(open_lower):
        if is_open and float(bottom[place]) == lower[place]:
            bottom[place] = np.nextafter(bottom[place], np.float32(np.inf))
    for place, is_open in enumerate(open_upper):
        if is_open and float(top[place]) == upper[place]:
            top[place] = np.nextafter(top[place], np.float32(-np.inf))
    return bottom, top


def nearest_float32(value: Number) -> np.float32:
    """Rounded to nearest: of the two neighbours the closer one in exact arithmetic, of a tie the even one."""
    near = np.float32(float(value))
    exact = Fraction(value)
    candidates = (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf)))
    return min(candidates, key=lambda item: (abs(Fraction(float(item)) - exact), int(item.view(np.int32)) & 1))


def _rounded(values: NDArray[np.float64], *, up: bool) -> NDArray[np.float32]:
    """To float32, towards one side; float64 numbers beyond the range of float32 stay at its ends."""
    cast = np.clip(values, -LARGEST, LARGEST).astype(np.float32)
    wrong = (cast < values) if up else (cast > values)
    inward = np.nextafter(cast, np.float32(np.inf if up else -np.inf))
    return np.where(wrong & np.isfinite(inward), inward, cast).astype(np.float32)
