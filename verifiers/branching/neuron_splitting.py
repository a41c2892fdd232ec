"""Complete verification by splitting neurons, for networks whose inputs are too many to be split.

Branch and bound: a domain is where some neurons are on a given side of a threshold; it is closed when its clause of the
unsafe set has a mixture of constraints whose lower bound there is positive. Bounds come from ``split_search``, choices
from ``branching``, bounds of inner neurons from ``root`` and ``refine``. The search works in float32; what it closes is
confirmed in float64, with the same slopes and multipliers, less the margins of ``verifiers.certify``; what does not
confirm is split on. A domain in which all neurons are decided goes to a linear programme, and is bounded by its dual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from robust.properties import Property
from robust.record.answer import Verdict
from verifiers.branching.neuron_search import NeuronSearch
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.outcome import Outcome
from verifiers.branching.problem import Problem
from verifiers.branching.refine import refined
from verifiers.branching.root import root_bounds
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.margins import require_fit
from verifiers.memory import Effort, out_of_memory
from verifiers.network import Network
from verifiers.region import region_of

ROOT_STEPS = 20
"""Steps of optimisation for each inner neuron."""
FIRST_SHARE, FIRST_SECONDS = 0.1, 10.0
"""The search before inner neurons are refined: at most this share of the time, and so many seconds."""
REFINE_SHARE, REFINE_SECONDS = 0.5, 120.0
"""The same of refining them."""


def split_neurons(
    network: Network,
    case: Property,
    deadline: Deadline,
    *,
    replay: Callable[[Tensor], Tensor | None] | None = None,
    effort: Effort | None = None,
    keep_proof: bool = False,
) -> Outcome:
    """Decide a case by splitting neurons.

    Args:
        network: prepared graph, in any arithmetic.
        case: over an input set that ``region_of`` takes.
        deadline: when to stop; kept within a pass of the bounds.
        replay: from candidates ``[k, *shape]``, float32 and inside the input set up to rounding, to the first that the
            real model confirms as a witness, or None; without it nothing is FALSIFIED.
        effort: limits on memory and time.
        keep_proof: hand back the tree of a proof.

    Returns:
        VERIFIED when all leaves are confirmed, FALSIFIED with a replayed witness, else UNKNOWN.

    Raises:
        PropertyError: the case does not fit the network, or its input set is of a kind that bounds do not know.
        UnsupportedOperatorError: an operator without a rule.
    """
    require_fit(network.graph, case)
    asked = effort or Effort()
    limits = replace(asked, expired=lambda: deadline.expired or (asked.expired is not None and asked.expired()))
    run = _Run(network, case, deadline, replay, limits, NeuronTree() if keep_proof else None)
    try:
        with torch.no_grad():
            run.all()
    except OutOfTimeError:
        return run.unknown("time ran out")
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return run.unknown("memory did not suffice")
    return run.outcome()


class _Run:
    """The stages: bounds at the root, a short search, bounds of inner neurons refined, the long search."""

    def __init__(
        self,
        network: Network,
        case: Property,
        deadline: Deadline,
        replay: Callable[[Tensor], Tensor | None] | None,
        effort: Effort,
        tree: NeuronTree | None,
    ) -> None:
        self._network, self._case, self._deadline = network, case, deadline
        self._replay, self._effort, self._tree = replay, effort, tree
        self._search: NeuronSearch | None = None
        self._earlier = 0

    def all(self) -> None:
        """Run all stages, or as many as it takes.

        Raises:
            OutOfTimeError: there was no time for more.
        """
        region = region_of([self._case.inputs]).to(torch.float64, self._network.graph.device)
        root = root_bounds(self._network.to(torch.float64), region, self._effort, ROOT_STEPS)
        search = self._begin(Problem.of(root, self._case))
        search.run(self._deadline.within(min(FIRST_SECONDS, FIRST_SHARE * self._deadline.left)))
        if search.decided:
            return
        seconds = min(REFINE_SECONDS, REFINE_SHARE * self._deadline.left)
        tree = None if self._tree is None else NeuronTree()
        better = refined(root, self._effort, seconds, ROOT_STEPS, tree)
        if better is not root:
            self._tree = tree
            search = self._begin(Problem.of(better, self._case))
        search.run(self._deadline)
        self._effort.check()

    def _begin(self, problem: Problem) -> NeuronSearch:
        self._earlier = 0 if self._search is None else self._search.count
        self._search = NeuronSearch(problem, self._case.unsafe, self._replay, self._effort, self._tree)
        self._search.begin()
        return self._search

    def unknown(self, reason: str) -> Outcome:
        """What is known when the search stops short."""
        if self._search is None:
            return Outcome(Verdict.UNKNOWN, f"{reason} before anything was bounded")
        search = self._search
        said = f"{reason}: {search.open} of {self._domains} domains are open"
        return Outcome(Verdict.UNKNOWN, said, self._unproved(search), self._domains, search.open)

    @staticmethod
    def _unproved(search: NeuronSearch) -> float | None:
        """The bound where there is no proof: never positive, though the search may know better than it can confirm."""
        return None if search.bound is None else min(search.bound, 0.0)

    @property
    def _domains(self) -> int:
        return self._earlier + (0 if self._search is None else self._search.count)

    def outcome(self) -> Outcome:
        """The answer of a search that came to its end."""
        search = self._search
        if search is None:
            return self.unknown("nothing was asked")
        if search.witness is not None:
            reason = "the minimal point of a domain reaches the unsafe set; replayed on the real model"
            return Outcome(
                Verdict.FALSIFIED, reason, self._unproved(search), self._domains, search.open, witness=search.witness
            )
        if search.open or (search.bound is not None and search.bound <= 0):
            return self.unknown(search.reason or "the search stopped")
        reason = f"all {self._domains} domains of split neurons are proved"
        return Outcome(Verdict.VERIFIED, reason, search.bound, self._domains, proof=self._tree)
