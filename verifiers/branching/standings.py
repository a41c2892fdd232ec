"""How far each of many cases is, and whose turn it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from robust.record.answer import Verdict
from verifiers.branching.outcome import Outcome
from verifiers.branching.proof import ProofTree

FAIR = 64
"""Domains that every case gets before any gets more; from there on each share is twice the one before."""
FOUND = "the minimal point of a domain reaches the unsafe set; replayed on the real model"


class Standings:
    """What is known of each of ``k`` cases; their outcomes are handed on as soon as they are decided.

    Args:
        earlier: int64 ``[k]``, domains that were bounded before.
        done: takes the number of a case and its outcome, once for each.
        proof: the tree of a case that is proved, where trees are kept.

    Attributes:
        count: int64 ``[k]``, domains bounded so far.
        live: bool ``[k]``: not decided, not given up.
    """

    def __init__(
        self, earlier: Tensor, done: Callable[[int, Outcome], None], proof: Callable[[int], ProofTree | None]
    ) -> None:
        self._done, self._proof, self._first = done, proof, torch.full_like(earlier, -1, dtype=torch.float64)
        self.count, self.live = earlier.clone(), torch.ones_like(earlier, dtype=torch.bool)
        self._closed = torch.full_like(self._first, torch.inf)
        self._stuck, self._lowest_stuck = torch.zeros_like(earlier), self._closed.clone()
        self._real_alone = torch.zeros_like(self.live)
        self._reasons: dict[int, str] = {}

    def bounded(self, cases: Tensor) -> None:
        """Domains of ``cases [n]`` were bounded."""
        self.count.index_add_(0, cases, torch.ones_like(cases))

    def closed(self, cases: Tensor, bounds: Tensor, runs: Tensor) -> None:
        """Leaves of ``cases [n]`` were proved with ``bounds [n]``; ``runs [n]``: for every float32 run as well."""
        self._real_alone[cases[~runs]] = True
        self._closed.scatter_reduce_(0, cases, bounds, "amin")

    def stuck(self, case: int, bound: float, reason: str) -> None:
        """A leaf can be neither proved nor split."""
        self._stuck[case] += 1
        self._lowest_stuck[case] = min(float(self._lowest_stuck[case]), bound)
        self._reasons[case] = reason

    def begun(self, worst: Tensor) -> None:
        """The smallest bounds ``[k]`` of whole input sets, against which progress is measured."""
        self._first = worst.nan_to_num(-torch.inf, -1.0).clamp_max(-1e-30)

    def turn(self, open_: Tensor, worst: Tensor) -> Tensor:
        """The place of each case in the queue, int64 ``[k]``: all different.

        Cases that have had fewer shares come first; of those the ones that are nearest to a decision: few open domains,
        and worst bounds that have come far from where they began.

        Args:
            open_: int64 ``[k]``, open domains.
            worst: float64 ``[k]``, the smallest bound of these.
        """
        shares = (self.count.double() / FAIR).clamp_min(1).log2().floor()
        missing = (worst / self._first).nan_to_num(1.0, 1.0, 1.0).clamp(1e-3, 1.0)
        order = (open_ * missing).argsort(stable=True)
        order = order[shares[order].argsort(stable=True)]
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        return place

    def falsified(self, case: int, witness: Tensor, open_: int, worst: float) -> None:
        """A case has a witness."""
        bound = self._unproved(case, worst)
        self._leave(case, Outcome(Verdict.FALSIFIED, FOUND, bound, *self._domains(case, open_), witness=witness))

    def ended(self, case: int) -> None:
        """Nothing of a case is left to be split."""
        bound = self._bound(case, math.inf)
        if int(self._stuck[case]) or (bound is not None and bound <= 0):
            self.stopped(case, self._reasons.get(case, "the search stopped"), 0, math.inf)
            return
        count = int(self.count[case])
        reason = f"all {count} domains of split neurons are proved"
        runs = not bool(self._real_alone[case])
        self._leave(case, Outcome(Verdict.VERIFIED, reason, bound, count, runs=runs, proof=self._proof(case)))

    def stopped(self, case: int, reason: str, open_: int, worst: float) -> None:
        """A case is given up."""
        count, left = self._domains(case, open_)
        said = f"{reason}: {left} of {count} domains are open"
        self._leave(case, Outcome(Verdict.UNKNOWN, said, self._unproved(case, worst), count, left))

    def _leave(self, case: int, outcome: Outcome) -> None:
        self.live[case] = False
        self._done(case, outcome)

    def _domains(self, case: int, open_: int) -> tuple[int, int]:
        return int(self.count[case]), open_ + int(self._stuck[case])

    def _bound(self, case: int, worst: float) -> float | None:
        """The smallest bound over all leaves."""
        lowest = min(float(self._closed[case]), float(self._lowest_stuck[case]), worst)
        return lowest if math.isfinite(lowest) else None

    def _unproved(self, case: int, worst: float) -> float | None:
        """The bound where there is no proof: never positive, though the search may know better than it can confirm."""
        bound = self._bound(case, worst)
        return None if bound is None else min(bound, 0.0)
