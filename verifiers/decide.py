"""Decide a query: some case has a witness, or every case is proved, or nobody knows.

The cases of a query are properties of one network, each over its own input set; the query is satisfiable when one of
them is violated. So one witness settles it, and all of them have to be proved for the opposite. The stages stand in a
table: each closes cases or finds a witness, and what it leaves open goes on to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from robust.properties import Box, Property
from robust.record.answer import Verdict
from verifiers.branching.box_method import is_small
from verifiers.branching.boxes import varying
from verifiers.branching.input_splitting import split_inputs
from verifiers.branching.neuron_splitting import split_many
from verifiers.branching.outcome import Outcome, Replay, Search
from verifiers.certify import confirmed_bounds
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.margins import proved_margins
from verifiers.memory import Effort
from verifiers.methods import Method
from verifiers.network import Network
from verifiers.region import Region

SEARCH_SHARE = 0.05
"""Share of the time that is left which the long search may take."""

LONGEST_SEARCH = 10.0
"""Seconds after which the long search gives up even if there is more time."""

ROUNDS = 12
"""Rounds after which the long search gives up."""

UNLIMITED = 300.0
"""Seconds of each kind of branch and bound where nobody sets a limit."""

QUESTION = Method(steps=20)
"""CROWN, with the lines of the question optimised: costs little more, once the bounds of inner nodes are there."""

FEW_INPUTS = 24
"""Inputs that vary, up to which splitting them is tried."""

SEARCHED = 32
"""Cases up to which the short search looks into all of them."""

MOST_OPEN = 64
"""Cases that are bounded together."""


@dataclass(frozen=True, eq=False)
class Decision:
    """The answer.

    Attributes:
        verdict: FALSIFIED when a case has a witness (``sat``), VERIFIED when all are proved (``unsat``), else UNKNOWN.
        reason: a sentence.
        stage: which stage settled it; empty if none did.
        witness: ``[*shape]``, for FALSIFIED.
        case: whose witness it is.
        timed_out: UNKNOWN because time ran out.
        bound: the proved distance of the worst case from its unsafe set, where bounds were asked; positive is proved.
    """

    verdict: Verdict
    reason: str
    stage: str = ""
    witness: Tensor | None = None
    case: int | None = None
    timed_out: bool = False
    bound: float | None = None


@dataclass(eq=False)
class Work:
    """What the stages share: what is asked, what is still open.

    Attributes:
        network: None where no bounds can be had.
        cases: all of them.
        deadline: of the whole decision.
        search, replay: see their types; None where there are none.
        open: cases that are neither proved nor broken.
        margins: best proved distance per case so far.
    """

    network: Network | None
    cases: Sequence[Property]
    deadline: Deadline
    search: Search | None
    replay: Replay | None
    open: list[int] = field(default_factory=list)
    margins: dict[int, float] = field(default_factory=dict)

    def witness(self, case: int, round_: int, deadline: Deadline) -> Decision | None:
        """Search one case and replay what is found."""
        if self.search is None or self.replay is None:
            return None
        points = self.search(case, round_, deadline)
        if points is None or not len(points):
            return None
        found = self.replay(case, points)
        if found is None:
            return None
        reason = f"an input of case {case + 1} reaches the unsafe set; replayed on the real model"
        return Decision(Verdict.FALSIFIED, reason, witness=found, case=case)


Stage = Callable[[Work], Decision | None]


def short_search(work: Work) -> Decision | None:
    """One round of search in every case; of many cases in some only, as bounds close most of them in less time."""
    for case in work.open[:: 1 + len(work.open) // SEARCHED]:
        if work.deadline.expired:
            return None
        found = work.witness(case, 0, work.deadline)
        if found is not None:
            return found
    return None


def interval(work: Work) -> Decision | None:
    """Interval bounds of all open cases."""
    return _bound(work, "interval")


def crown(work: Work) -> Decision | None:
    """Backward linear bounds, with lines optimised for the question, of open cases.

    Those that input splitting begins with cheaper bounds are left to it.
    """
    if work.network is None:
        return None
    large = not is_small(work.network)
    return _bound(work, QUESTION, [place for place in work.open if not (large and splittable(work.cases[place]))])


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
    )
    return _settled(work, places, outcomes)


def _settled(work: Work, places: Sequence[int], outcomes: Sequence[Outcome]) -> Decision | None:
    """A witness, if there is one; else the cases that were proved are closed."""
    for place, outcome in zip(places, outcomes, strict=True):
        if outcome.verdict is Verdict.FALSIFIED:
            reason = f"an input of case {place + 1} reaches the unsafe set; replayed on the real model"
            return Decision(Verdict.FALSIFIED, reason, witness=outcome.witness, case=place)
        if outcome.verdict is Verdict.VERIFIED:
            work.open.remove(place)
            work.margins.pop(place, None)
            if outcome.bound:
                work.margins[place] = outcome.bound
        elif outcome.bound is not None:
            bound = min(outcome.bound, 0.0)  # what is not verified must not look proved to later stages
            work.margins[place] = max(bound, work.margins.get(place, bound))
    return None


def alpha_crown(work: Work) -> Decision | None:
    """Backward linear bounds with optimised lines, of all open cases."""
    return _bound(work, "alpha-crown")


def zonotope(work: Work) -> Decision | None:
    """Affine forms forward, of all open cases."""
    return _bound(work, "zonotope")


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
    )
    return _settled(work, places, outcomes)


def _limited(deadline: Deadline) -> Deadline:
    return deadline if math.isfinite(deadline.left) else deadline.within(UNLIMITED)


def splittable(case: Property) -> bool:
    """Whether few inputs of a case vary, and its input set is a box."""
    if not isinstance(case.inputs, Box):
        return False
    lower, upper = (end.double().reshape(1, -1) for end in (case.inputs.lower, case.inputs.upper))
    return int(varying(lower, upper).sum()) <= FEW_INPUTS


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

BY_NAME: tuple[tuple[str, Stage], ...] = (("zonotope", zonotope), ("alpha-crown", alpha_crown))
"""Further stages, for those who ask for them: what others do already, or what seldom closes a case."""


def decide(
    network: Network | None,
    cases: Sequence[Property],
    *,
    deadline: Deadline,
    search: Search | None = None,
    replay: Replay | None = None,
    stages: Sequence[tuple[str, Stage]] = STAGES,
) -> Decision:
    """Answer a query.

    Args:
        network: for bounds; None where the model has no graph: then nothing can be proved.
        cases: properties; with none at all the query holds vacuously.
        deadline: checked between stages, cases and rounds.
        search: proposes witnesses; None: no search.
        replay: confirms them on the real model; without it nothing is ever FALSIFIED.
        stages: a table like ``STAGES``.

    Raises:
        PropertyError: a case does not fit the network's shapes.
    """
    work = Work(network, cases, deadline, search, replay, open=list(range(len(cases))))
    stage = "no case is possible"
    for name, run in stages:
        if not work.open or deadline.expired:
            break
        stage = name
        found = run(work)
        if found is not None:
            return Decision(found.verdict, found.reason, name, found.witness, found.case, found.timed_out, found.bound)
    worst = min(work.margins.values()) if work.margins else None
    if not work.open:
        reason = f"all {len(cases)} cases are proved" if cases else "every branch of the query contradicts itself"
        return Decision(Verdict.VERIFIED, reason, stage, bound=worst)
    return _unknown(work, worst)


def _unknown(work: Work, worst: float | None) -> Decision:
    share = f"{len(work.open)} of {len(work.cases)} cases are open"
    if work.deadline.expired:
        return Decision(Verdict.UNKNOWN, f"time ran out: {share}", timed_out=True, bound=worst)
    if work.network is None:
        return Decision(Verdict.UNKNOWN, f"the model cannot be bounded, and no witness was found: {share}")
    short = f", bounds fall short at {worst:.3g}" if worst is not None else ""
    return Decision(Verdict.UNKNOWN, f"neither proof nor witness: {share}{short}", bound=worst)


def _bound(work: Work, method: str | Method, wanted: Sequence[int] | None = None) -> Decision | None:
    if work.network is None:
        return None
    wanted = work.open if wanted is None else wanted
    for start in range(0, len(wanted), MOST_OPEN):
        if work.deadline.expired:
            break
        places = wanted[start : start + MOST_OPEN]
        effort = Effort(expired=lambda: work.deadline.expired)
        try:
            margins = bound_margins(work.network, [work.cases[i] for i in places], method, effort)
        except OutOfTimeError:
            break
        for place, margin in zip(places, margins, strict=True):
            work.margins[place] = max(margin, work.margins.get(place, margin))
    work.open = [place for place in work.open if not work.margins.get(place, -1.0) > 0]
    return None


def bound_margins(
    network: Network, cases: Sequence[Property], method: str | Method, effort: Effort | None = None
) -> list[float]:
    """For each case the distance that is proved between its outputs and its unsafe set; positive is a proof.

    Args:
        network: prepared graph.
        cases: properties of it.
        method: a name of ``METHODS``.
        effort: limits on work, memory and time.
    """
    limits = effort or Effort()

    def lower(network: Network, region: Region, matrices: Tensor, offsets: Tensor) -> Tensor:
        return confirmed_bounds(network, region, matrices, offsets, method, limits, every=False, typical=True)

    return proved_margins(network, cases, lower)
