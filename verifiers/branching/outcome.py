"""What branch and bound says of one case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from robust.record.answer import Verdict
from verifiers.branching.proof import ProofTree
from verifiers.deadline import Deadline

Replay = Callable[[int, Tensor], Tensor | None]
"""``(case, candidates [k, *shape])`` to the first candidate that the real model confirms as a witness, or None."""

Search = Callable[[int, int, Deadline], Tensor | None]
"""``(case, round, deadline)`` to candidate points ``[k, *shape]``, or None. Round 0 is short."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The answer to one case.

    Attributes:
        verdict: VERIFIED when every leaf of the tree is proved, FALSIFIED with a replayed witness, else UNKNOWN.
        reason: a sentence; for UNKNOWN what ran out.
        bound: how far the unsafe set is at least, for VERIFIED; 0 where parts were cut away that are only known to be
            safe. None: nothing is known.
        domains: how many were bounded.
        open: how many are neither split nor proved.
        witness: ``[*shape]``, for FALSIFIED.
        runs: VERIFIED holds for every float32 run as well, not only for real numbers.
        proof: the tree, where it was asked for.
    """

    verdict: Verdict
    reason: str
    bound: float | None = None
    domains: int = 0
    open: int = 0
    witness: Tensor | None = None
    runs: bool = False
    proof: ProofTree | None = None
