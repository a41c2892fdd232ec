"""What an engine may answer to a property, and how answers combine.

A property *holds when no input of its input set reaches its unsafe set* (VNN-LIB's convention).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

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
