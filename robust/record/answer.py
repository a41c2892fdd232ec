"""What an engine may answer to a property, and how answers combine.

A property *holds when no input of its input set reaches its unsafe set* (VNN-LIB's convention).
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Meanings:
    """What a verdict says in each of its two meanings (ISO/IEC 24029-2 asks assessors for the difference).

    Attributes:
        real: of the network with its stored weights as a function of real numbers.
        deployed: of what computers make of it: VERIFIED for every float32 run, in any order of summation, fused or not;
            FALSIFIED by a run of the real model.
    """

    real: Verdict
    deployed: Verdict

    @property
    def sentence(self) -> str:
        """For people."""
        if self.real is self.deployed:
            return _BOTH[self.real]
        return f"over the real numbers: {self.real.value}; in float32 runs: {self.deployed.value}"


_BOTH = {
    Verdict.VERIFIED: "holds over the real numbers and in every float32 run",
    Verdict.FALSIFIED: "broken over the real numbers and in the deployed model",
    Verdict.UNKNOWN: "not known over the real numbers, nor in float32 runs",
}

NEITHER = Meanings(Verdict.UNKNOWN, Verdict.UNKNOWN)
