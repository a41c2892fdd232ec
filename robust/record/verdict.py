"""What an engine may answer to a property, and how answers combine.

A property *holds when no input of its input set reaches its unsafe set* (VNN-LIB's convention).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from robust.record.base import RecordModel

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(StrEnum):
    """The three answers. A timeout, a crash, an unsupported operator, an out-of-memory are UNKNOWN."""

    VERIFIED = "verified"
    """No input of the set reaches the unsafe set; the result says in which arithmetic."""
    FALSIFIED = "falsified"
    """A concrete input of the set, replayed on the real model, reaches the unsafe set."""
    UNKNOWN = "unknown"
    """Neither was established. Never to be read as safe."""

    def combine(self, other: Verdict) -> Verdict:
        """Answers of two engines to the *same* property.

        ==========  =========  =========  =======
        self\\other  verified   falsified  unknown
        ==========  =========  =========  =======
        verified    verified   (error)    verified
        falsified   (error)    falsified  falsified
        unknown     verified   falsified  unknown
        ==========  =========  =========  =======

        Raises:
            ValueError: one engine proved what another refuted; at least one of them is broken.
        """
        if {self, other} == {Verdict.VERIFIED, Verdict.FALSIFIED}:
            raise ValueError("one engine verified the property and another falsified it: one of them is unsound")
        return other if self is Verdict.UNKNOWN else self

    @staticmethod
    def conjunction(verdicts: Iterable[Verdict]) -> Verdict:
        """Answer for the conjunction of several properties: one falsified refutes, all verified prove."""
        result = Verdict.VERIFIED
        for verdict in verdicts:
            if verdict is Verdict.FALSIFIED:
                return Verdict.FALSIFIED
            if verdict is Verdict.UNKNOWN:
                result = Verdict.UNKNOWN
        return result


class VerdictResult(RecordModel):
    """One engine's answer to one property."""

    verdict: Verdict
    reason: str
    """A sentence: how it was established, or why not."""
    engine: str
    """Which engine answered, for example ``crown`` or ``z3``."""
    arithmetic: str | None = None
    """For VERIFIED: in which arithmetic it holds, for example ``float32 rounded to nearest, no margin``."""
    witness: tuple[float, ...] | None = None
    """For FALSIFIED: the input, flattened in C order, in input units."""
    lower_bound: float | None = None
    """The margin that was proved, where the engine has one: positive means verified."""
