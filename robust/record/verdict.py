"""One engine's answer to one property; the three answers themselves are in ``robust.record.answer``."""

from __future__ import annotations

from robust.record.answer import NEITHER, Meanings, Verdict
from robust.record.base import RecordModel

__all__ = ["Verdict", "VerdictResult"]


class VerdictResult(RecordModel):
    """One engine's answer to one property."""

    verdict: Verdict
    reason: str
    """A sentence: how it was established, or why not."""
    engine: str
    """Which engine answered, for example ``crown`` or ``z3``."""
    arithmetic: str | None = None
    """For VERIFIED: in which arithmetic it holds, for example ``float32 rounded to nearest, no margin``."""
    meanings: Meanings = NEITHER
    """What it says of real numbers, and of float32 runs."""
    witness: tuple[float, ...] | None = None
    """For FALSIFIED: the input, flattened in C order, in input units."""
    lower_bound: float | None = None
    """The margin that was proved, where the engine has one: positive means verified."""
