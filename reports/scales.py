"""From numbers to places on a page: domains, nice ticks, a linear scale. Safe for one point, constants, huge values."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LinearScale:
    """Maps ``[low, high]`` linearly to ``[start, end]`` in pixels (``end`` may be smaller: y grows downwards)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of ``value``. Halved before subtracting, so that the largest floats do not overflow."""
        share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
        return self.start + share * (self.end - self.start)


def domain(values: Iterable[float], wanted: tuple[float, float] | None = None) -> tuple[float, float]:
    """The smallest range that holds all ``values`` and the ``wanted`` range; never empty, never without width.

    A wanted range is stretched rather than data cut off.
    """
    every = [float(value) for value in values] + [float(end) for end in (wanted or ())]
    if not every:
        return 0.0, 1.0
    low, high = min(every), max(every)
    size = max(abs(low), abs(high))
    if high / 2.0 - low / 2.0 > max(size * 1e-9, 1e-300):
        return low, high
    if size < 1e-290:
        return (0.0, 1.0) if low >= 0.0 else (-1.0, 0.0)
    pad = size * 0.1
    middle = low / 2.0 + high / 2.0
    limit = sys.float_info.max
    return max(middle - pad, -limit), min(middle + pad, limit)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers inside ``[low, high]``, steps of 1, 2, 2.5 or 5 times a power of ten.

    Where the range is too large or too narrow for that in floating point: its two ends.
    """
    span = high - low
    if not math.isfinite(span) or not span > 0.0 or span < 1e-290:
        return [low, high]
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    if not 0 < last - first + 1 <= 4 * count + 4:
        return [low, high]
    ticks = [index * step for index in range(first, last + 1)]
    return [0.0 if abs(tick) < step * 1e-6 else tick for tick in ticks]


def tick_labels(ticks: list[float]) -> list[str]:
    """Labels with as many decimals as the steps need, all the same; powers of ten for the very large and small."""
    if not ticks:
        return []
    size = max(abs(tick) for tick in ticks)
    step = min((abs(b - a) for a, b in itertools.pairwise(ticks)), default=size) or size
    if size >= 1e6 or (size > 0 and step < 1e-5):
        return [f"{tick:.3g}".replace("-", "\N{MINUS SIGN}", 1) if tick < 0 else f"{tick:.3g}" for tick in ticks]
    decimals = next((d for d in range(6) if abs(round(step, d) - step) <= step * 1e-6), 6)
    return [f"{tick:,.{decimals}f}".replace("-", "\N{MINUS SIGN}") for tick in ticks]
