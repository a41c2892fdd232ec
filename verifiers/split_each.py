"""Branch and bound of many independent cases: by inputs where few of them vary, by neurons what that leaves open."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robust.properties import Property
from robust.record.answer import Verdict
from verifiers.bound_stages import splittable
from verifiers.branching.input_splitting import split_inputs
from verifiers.branching.neuron_splitting import split_many
from verifiers.branching.outcome import Outcome, Replay
from verifiers.deadline import Deadline
from verifiers.memory import Effort
from verifiers.network import Network


def split_each(
    network: Network,
    cases: Sequence[Property],
    deadline: Deadline,
    *,
    replay: Replay | None = None,
    effort: Effort | None = None,
    domains: int | None = None,
    watch: Callable[[int, Outcome], None] = lambda case, outcome: None,
) -> list[Outcome]:
    """Decide each case for itself, of a whole test set, say; a witness of one says nothing of the others.

    Args:
        network: prepared graph.
        cases: over input sets that ``region_of`` takes, of any kinds.
        deadline: of all of them together; each that is split by inputs gets an equal part of what is left.
        replay: confirms witnesses on the real model; without, nothing is FALSIFIED.
        effort: limits on memory and time.
        domains: about how many may be bounded for each case by either kind of splitting; then the same call gives the
            same answers, unless the deadline comes first.
        watch: told the number and the outcome of each case as soon as it is final: what an interruption leaves.

    Returns:
        The outcomes in the order of the cases.

    Raises:
        PropertyError: a case does not fit the network, or its input set is of a kind that bounds do not know.
        UnsupportedOperatorError: an operator without a rule.
    """
    outcomes: dict[int, Outcome] = {}
    for place, case in enumerate(cases):
        if not splittable(case):
            continue
        share = deadline.within(deadline.left / (len(cases) - place))
        (found,) = split_inputs(
            network, [case], share, replay=_replay_of(replay, [place]), effort=effort, domains=domains
        )
        if found.verdict is not Verdict.UNKNOWN:
            outcomes[place] = found
            watch(place, found)
    left = [place for place in range(len(cases)) if place not in outcomes]
    found_last = split_many(
        network,
        [cases[place] for place in left],
        deadline,
        replay=_replay_of(replay, left),
        effort=effort,
        domains=domains,
        watch=lambda case, outcome: watch(left[case], outcome),
    )
    outcomes.update(zip(left, found_last, strict=True))
    return [outcomes[place] for place in range(len(cases))]


def _replay_of(replay: Replay | None, places: Sequence[int]) -> Replay | None:
    """For some of the cases, numbered anew."""
    return None if replay is None else lambda case, points: replay(places[case], points)
