"""Decide a query: some case has a witness, or every case is proved, or nobody knows.

The cases of a query are properties of one network, each over its own input set; the query is satisfiable when one of
them is violated. So one witness settles it, and all of them have to be proved for the opposite. The stages stand in a
table: each closes cases or finds a witness, and what it leaves open goes on to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from robust.errors import RobustError
from robust.properties import Property
from robust.record.answer import Meanings, Verdict
from verifiers.bound_stages import alpha_crown, bound_margins, crown, interval, splittable, zonotope
from verifiers.branching.input_splitting import split_inputs
from verifiers.branching.neuron_splitting import split_many
from verifiers.branching.outcome import Replay, Search
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.decision import CaseProof, Decision, Stage, Work
from verifiers.exact_stage import z3
from verifiers.fixed_inputs import free_inputs
from verifiers.margins import reached_surely, require_fit
from verifiers.memory import Effort
from verifiers.network import Network

SEARCH_SHARE = 0.05
"""Share of the time that is left which the long search may take."""

LONGEST_SEARCH = 10.0
"""Seconds after which the long search gives up even if there is more time."""

ROUNDS = 12
"""Rounds after which the long search gives up."""

UNLIMITED = 300.0
"""Seconds of each kind of branch and bound where nobody sets a limit."""

SEARCHED = 32
"""Cases up to which the short search looks into all of them."""


def short_search(work: Work) -> Decision | None:
    """One round of search in every case; of many cases in some only, as bounds close most of them in less time."""
    for case in work.open[:: 1 + len(work.open) // SEARCHED]:
        if work.deadline.expired:
            return None
        found = work.witness(case, 0, work.deadline)
        if found is not None:
            return found
    return None


def neuron_splitting(work: Work) -> Decision | None:
    """Branch and bound over the neurons, of all open cases together."""
    if work.network is None:
        return None
    places, replay = list(work.open), work.replay
    outcomes = split_many(
        work.network,
        [work.cases[place] for place in places],
        _limited(work.deadline),
        replay=None if replay is None else lambda case, points: replay(places[case], points),
        first=True,
        keep_proof=work.keep_proof,
    )
    return work.settle(places, outcomes)


def input_splitting(work: Work) -> Decision | None:
    """Branch and bound over the inputs, of open cases over boxes in which few inputs vary."""
    if work.network is None:
        return None
    places = [place for place in work.open if splittable(work.cases[place])]
    if not places:
        return None
    cases = [work.cases[place] for place in places]
    search, replay = work.search, work.replay
    outcomes = split_inputs(
        work.network,
        cases,
        _limited(work.deadline),
        search=None if search is None else lambda case, turn, until: search(places[case], turn, until),
        replay=None if replay is None else lambda case, points: replay(places[case], points),
        keep_proof=work.keep_proof,
    )
    return work.settle(places, outcomes)


def _limited(deadline: Deadline) -> Deadline:
    return deadline if math.isfinite(deadline.left) else deadline.within(UNLIMITED)


def long_search(work: Work) -> Decision | None:
    """Rounds of search over all open cases, until its share of the time is used."""
    deadline = work.deadline.within(min(LONGEST_SEARCH, SEARCH_SHARE * work.deadline.left))
    for round_ in range(1, ROUNDS + 1):
        for case in list(work.open):
            if deadline.expired:
                return None
            found = work.witness(case, round_, deadline)
            if found is not None:
                return found
    return None


STAGES: tuple[tuple[str, Stage], ...] = (
    ("short witness search", short_search),
    ("interval", interval),
    ("crown", crown),
    ("input splitting", input_splitting),
    ("long witness search", long_search),
    ("neuron splitting", neuron_splitting),
)
"""In order. A stage returns a decision, or None after closing what cases it could."""

BY_NAME: tuple[tuple[str, Stage], ...] = (("zonotope", zonotope), ("alpha-crown", alpha_crown), ("z3", z3))
"""Further stages, for those who ask for them: what others do already, or what seldom closes a case. Z3 leaves open what
lies within float32's rounding, like the stages before it, and decides few networks that they do not."""


def decide(
    network: Network | None,
    cases: Sequence[Property],
    *,
    deadline: Deadline,
    search: Search | None = None,
    replay: Replay | None = None,
    stages: Sequence[tuple[str, Stage]] = STAGES,
    keep_proof: bool = False,
) -> Decision:
    """Answer a query.

    Args:
        network: for bounds; None where the model has no graph: then nothing can be proved.
        cases: properties; with none at all the query holds vacuously.
        deadline: checked between stages, cases and rounds.
        search: proposes witnesses; None: no search.
        replay: confirms them on the real model; without it nothing is ever FALSIFIED.
        stages: a table like ``STAGES``.
        keep_proof: hand back what proves each case.

    Raises:
        PropertyError: a case does not fit the network's shapes.
    """
    if network is not None:
        for case in cases:
            require_fit(network.graph, case)
    work = Work(network, cases, deadline, search, replay, open=list(range(len(cases))), keep_proof=keep_proof)
    free = None if network is None or any(run is z3 for _, run in stages) else free_inputs(network, cases)
    if free is not None:  # Z3 takes every number as exact, a bias that was rounded too
        work.network, work.cases = free.network, free.cases
        work.search = None if search is None else free.search(search)
        work.replay = None if replay is None else free.replay(replay)
    stage = "no case is possible"
    for name, run in stages:
        if not work.open or deadline.expired:
            break
        stage = name
        found = run(work)
        if found is not None:
            return replace(found, stage=name, meanings=_refuted(network, cases, found, deadline))
        work.provers.update({place: name for place in work.proofs if place not in work.provers})
    worst = min(work.margins.values()) if work.margins else None
    if not work.open:
        reason = f"all {len(cases)} cases are proved" if cases else "every branch of the query contradicts itself"
        trees = {place: tree if free is None else free.proof(tree) for place, tree in work.proofs.items()}
        proofs = tuple(CaseProof(work.provers[place], trees[place]) for place in sorted(trees))
        real_alone = sum(not work.runs.get(place, False) for place in range(len(cases)))
        if real_alone:
            reason += f"; what a float32 run rounds is not shown to matter less than that in {real_alone} of them"
        deployed = Verdict.UNKNOWN if real_alone else Verdict.VERIFIED
        meanings = Meanings(Verdict.VERIFIED, deployed)
        return Decision(Verdict.VERIFIED, reason, stage, bound=worst, meanings=meanings, proofs=proofs)
    return _unknown(work, worst)


def _refuted(network: Network | None, cases: Sequence[Property], found: Decision, deadline: Deadline) -> Meanings:
    """What a witness of the real model says of real numbers: whether it is one there too. A witness is one whatever
    becomes of that question."""
    real = Verdict.UNKNOWN
    try:
        if network is not None and found.witness is not None and found.case is not None:
            limits = Effort(expired=lambda: deadline.expired)
            if reached_surely(network, cases[found.case].unsafe, found.witness):
                real = Verdict.FALSIFIED
            elif all(margin.holds_in_reals for margin in bound_margins(network, cases, "crown", limits)):
                real = Verdict.VERIFIED
    except (OutOfTimeError, RobustError, RuntimeError, MemoryError):
        real = Verdict.UNKNOWN
    return Meanings(real, Verdict.FALSIFIED)


def _unknown(work: Work, worst: float | None) -> Decision:
    share = f"{len(work.open)} of {len(work.cases)} cases are open"
    if work.deadline.expired:
        return Decision(Verdict.UNKNOWN, f"time ran out: {share}", timed_out=True, bound=worst)
    if work.network is None:
        return Decision(Verdict.UNKNOWN, f"the model cannot be bounded, and no witness was found: {share}")
    if work.real.issuperset(work.open):
        reason = f"the rest holds over the real numbers, by less than what a float32 run may round: {share}"
        return Decision(Verdict.UNKNOWN, reason, bound=worst, meanings=Meanings(Verdict.VERIFIED, Verdict.UNKNOWN))
    short = f", bounds fall short at {worst:.3g}" if worst is not None else ""
    return Decision(Verdict.UNKNOWN, f"neither proof nor witness: {share}{short}", bound=worst)
