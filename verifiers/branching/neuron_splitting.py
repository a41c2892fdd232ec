"""Complete verification by splitting neurons, for networks whose inputs are too many to be split.

Branch and bound: a domain is where some neurons are on a given side of a threshold; it is closed when its clause of the
unsafe set has a mixture of constraints whose lower bound there is positive. Bounds come from ``split_search``, choices
from ``branching``, bounds of inner neurons from ``root`` and ``refine``. The search works in float32; what it closes is
confirmed in float64, with the same slopes and multipliers, less the margins of ``verifiers.certify``; what does not
confirm is split on. A domain in which all neurons are decided goes to a linear programme, and is bounded by its dual.

Domains of different cases go through the passes together (``neuron_search``), in an order that ``standings`` gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robust.properties import Property
from robust.record.answer import Verdict
from verifiers.branching.case_groups import Group, groups_of
from verifiers.branching.neuron_search import NeuronSearch
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.outcome import Outcome, Replay
from verifiers.branching.problem import Problem
from verifiers.branching.proof import ProofTree
from verifiers.branching.refine import Allowance, refined
from verifiers.branching.root import crown_bounds, joined, tightened
from verifiers.branching.standings import Standings
from verifiers.branching.trial import Trial
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.linear_bounds import LinearBounds
from verifiers.margins import require_fit
from verifiers.memory import Effort, out_of_memory
from verifiers.network import Network

ROOT_STEPS = 20
"""Steps of optimisation for each inner neuron."""
QUICK = 32
"""Domains of each case that are tried with bounds of inner neurons by CROWN alone."""
FIRST_SHARE, FIRST_SECONDS = 0.1, 10.0
"""The search before inner neurons are refined: at most this share of the time, and so many seconds for each case."""
REFINE_SHARE, REFINE_SECONDS = 0.5, 120.0
"""The same of refining them."""


def split_neurons(
    network: Network,
    case: Property,
    deadline: Deadline,
    *,
    replay: Callable[[Tensor], Tensor | None] | None = None,
    effort: Effort | None = None,
    domains: int | None = None,
    keep_proof: bool = False,
) -> Outcome:
    """Decide one case by splitting neurons: ``split_many`` of it alone.

    Args:
        network: prepared graph, in any arithmetic.
        case: over an input set that ``region_of`` takes.
        deadline: when to stop; kept within a pass of the bounds.
        replay: from candidates ``[k, *shape]``, float32 and inside the input set up to rounding, to the first that the
            real model confirms as a witness, or None; without it nothing is FALSIFIED.
        effort, domains, keep_proof: see ``split_many``.

    Returns:
        VERIFIED when all leaves are confirmed, FALSIFIED with a replayed witness, else UNKNOWN.

    Raises:
        PropertyError: the case does not fit the network, or its input set is of a kind that bounds do not know.
        UnsupportedOperatorError: an operator without a rule.
    """
    ask = None if replay is None else lambda _, points: replay(points)
    return split_many(network, [case], deadline, replay=ask, effort=effort, domains=domains, keep_proof=keep_proof)[0]


def split_many(
    network: Network,
    cases: Sequence[Property],
    deadline: Deadline,
    *,
    replay: Replay | None = None,
    effort: Effort | None = None,
    domains: int | None = None,
    keep_proof: bool = False,
    first: bool = False,
    watch: Callable[[int, Outcome], None] = lambda case, outcome: None,
) -> list[Outcome]:
    """Decide cases of one network by splitting neurons, their domains in common batches.

    Cases over the same input set share the bounds of inner neurons. Time goes to cases that are near a decision first,
    but none gets twice as many domains as another that still waits.

    Args:
        network: prepared graph, in any arithmetic.
        cases: over input sets that ``region_of`` takes, of any kinds.
        deadline: when to stop; kept within a pass of the bounds.
        replay: as in ``split_neurons``, with the number of the case.
        effort: limits on memory and time.
        domains: about how many may be bounded for each case, half of them for bounds of inner neurons. Then the search
            does not look at the clock (but for the deadline), and the same call gives the same answers.
        keep_proof: hand back the trees of proofs.
        first: the first witness ends the search.
        watch: told the number and the outcome of each case as soon as it has one: what an interruption leaves.

    Returns:
        The outcomes in the order of the cases: VERIFIED when all leaves are confirmed, FALSIFIED with a replayed
        witness, else UNKNOWN.

    Raises:
        PropertyError: a case does not fit the network, or its input set is of a kind that bounds do not know.
        UnsupportedOperatorError: an operator without a rule.
    """
    for case in cases:
        require_fit(network.graph, case)
    outcomes: dict[int, Outcome] = {}
    asked = effort or Effort()

    def broken() -> bool:
        return first and any(outcome.verdict is Verdict.FALSIFIED for outcome in outcomes.values())

    def done(case: int, outcome: Outcome) -> None:
        if case not in outcomes:
            outcomes[case] = outcome
            watch(case, outcome)

    waiting = len(cases)
    for group in groups_of(network, cases, asked):
        share = deadline.within(deadline.left * len(group.places) / waiting)
        waiting -= len(group.places)
        run = _Run(network, group, share, replay, asked, domains, broken, done)
        if keep_proof:
            run.keep_proofs()
        with torch.no_grad():
            run.decide()
    return [outcomes[place] for place in range(len(cases))]


class _Run:
    """The stages for one group: bounds at the root, a short search, inner neurons refined, the long search."""

    def __init__(
        self,
        network: Network,
        group: Group,
        deadline: Deadline,
        replay: Replay | None,
        effort: Effort,
        domains: int | None,
        broken: Callable[[], bool],
        done: Callable[[int, Outcome], None],
    ) -> None:
        self._network, self._group, self._deadline, self._replay = network.to(torch.float64), group, deadline, replay
        self._domains, self._broken, self._done = domains, broken, done
        own = effort.expired
        self._effort = replace(effort, expired=lambda: deadline.expired or broken() or (own is not None and own()))
        self._search: NeuronSearch | None = None
        self._trees: list[NeuronTree] | None = None

    def keep_proofs(self) -> None:
        """Keep a tree of every case."""
        self._trees = [NeuronTree() for _ in self._group.cases]

    def decide(self) -> None:
        """Run all stages, or as many as it takes; every case of the group gets an outcome."""
        try:
            self._all()
        except OutOfTimeError:
            self._stop("a witness of another case ended the search" if self._broken() else "time ran out")
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            self._stop("memory did not suffice")

    def _all(self) -> None:
        self._effort.check()
        root = crown_bounds(self._network, self._group.region, self._effort)
        search = self._begun(root, torch.zeros_like(self._group.samples))
        search.run(self._deadline, QUICK if self._domains is None else min(QUICK, self._domains))
        open_ = self._below_limit(search)
        if not open_:
            return
        root = root.take(self._keep(open_))
        trees = None if self._trees is None else [NeuronTree() for _ in range(len(root.region))]
        root = tightened(root, self._effort, ROOT_STEPS, trees)
        if trees is not None:
            self._trees = [trees[sample] for sample in self._group.samples.tolist()]
        search = self._begun(root, search.standings.count[open_])
        until = self._deadline
        if self._domains is None:
            until = until.within(min(FIRST_SECONDS * len(self._group.cases), FIRST_SHARE * until.left))
        search.run(until, None if self._domains is None else math.ceil(FIRST_SHARE * self._domains))
        open_ = self._below_limit(search)
        better = self._refined(root.take(self._keep(open_))) if open_ else None
        if better is not None:
            search = self._begun(better, search.standings.count[open_])
        search.run(self._deadline, self._domains)
        self._effort.check()
        self._below_limit(search)

    def _below_limit(self, search: NeuronSearch) -> list[int]:
        """The cases that are open and may have more domains; those that may not are given up."""
        if self._domains is not None:
            search.stop(f"the limit of {self._domains} domains is reached", self._domains)
        return search.open

    def _begun(self, root: LinearBounds, earlier: Tensor) -> NeuronSearch:
        group, trees = self._group, self._trees
        tree = None if trees is None else NeuronTree()
        problem = Problem.of(root, group.cases, group.samples)
        ask, places = self._replay, group.places

        def proof(case: int) -> ProofTree | None:
            return None if trees is None or tree is None else trees[case].followed_by(tree, case)

        standings = Standings(earlier, lambda case, outcome: self._done(places[case], outcome), proof)
        replay = None if ask is None else lambda case, points: ask(places[case], points)
        trial = Trial(problem, group.cases, replay)
        counted = self._domains is not None
        search = NeuronSearch(problem, standings, trial, self._effort, tree, counted=counted)
        search.begin()
        self._search = search
        return search

    def _keep(self, rows: Sequence[int]) -> Tensor:
        """Shrink the group to the cases ``rows``; which of its input sets are left, int64."""
        self._group, needed = self._group.take(rows)
        if self._trees is not None:
            self._trees = [self._trees[row] for row in rows]
        return needed

    def _refined(self, root: LinearBounds) -> LinearBounds | None:
        """Tighter bounds over all input sets; None where splits gain too little in all of them."""
        count = len(root.region)
        clock = Allowance(min(REFINE_SECONDS * count, REFINE_SHARE * self._deadline.left))
        trees = dict(zip(self._group.samples.tolist(), self._trees or [], strict=False))
        parts, changed = [], False
        for place in range(count):
            one = root.take(torch.tensor([place], device=self._group.samples.device))
            allowance = clock.part(count - place)
            if self._domains is not None:
                allowance = Allowance(0.0, int(REFINE_SHARE * self._domains))
            better = refined(one, self._effort, allowance, ROOT_STEPS, trees.get(place))
            changed = changed or better is not one
            parts.append(better)
        if not changed:
            return None
        return LinearBounds(root.network, root.region, joined(parts), root.rules, runs=root.runs)

    def _stop(self, reason: str) -> None:
        if self._search is not None:
            self._search.stop(reason)
        for place in self._group.places:
            self._done(place, Outcome(Verdict.UNKNOWN, f"{reason} before anything was bounded"))
