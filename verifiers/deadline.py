"""When to stop."""

from __future__ import annotations

import math
import time


class Deadline:
    """A point in time, on the wall clock.

    Args:
        seconds: from now (or from ``start``); None for never.
        start: ``time.monotonic()`` of when the clock began, where that was earlier.
    """

    def __init__(self, seconds: float | None, *, start: float | None = None) -> None:
        self._start = time.monotonic() if start is None else start
        self._end = math.inf if seconds is None else self._start + seconds

    @property
    def left(self) -> float:
        """Seconds left, at least 0; infinite if there is no end."""
        return max(0.0, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self._end

    def within(self, seconds: float) -> Deadline:
        """The earlier of this one and ``seconds`` from now."""
        return Deadline(min(seconds, self.left))

    def __repr__(self) -> str:
        return f"Deadline({self.left:.3g} s left)"


class OutOfTimeError(Exception):
    """Time was up in the middle of a bound: nothing is known."""
