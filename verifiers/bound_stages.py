"""Stages that close cases by bounds over whole input sets, without splitting anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robust.properties import Box, Property
from robust.record.answer import Verdict
from verifiers.branching.box_method import is_small
from verifiers.branching.boxes import varying
from verifiers.branching.input_tree import InputTree
from verifiers.branching.neuron_splitting import split_many
from verifiers.certify import Confirmed, confirmed_bounds, noise_at_middle
from verifiers.deadline import OutOfTimeError
from verifiers.decision import Decision, Work
from verifiers.margins import Margin, proved_margins
from verifiers.memory import Effort
from verifiers.methods import Method
from verifiers.network import Network
from verifiers.region import Region

QUESTION = Method(steps=20)
"""CROWN, with the lines of the question optimised: costs little more, once the bounds of inner nodes are there."""

FEW_INPUTS = 24
"""Inputs that vary, up to which splitting them is tried."""

MOST_OPEN = 64
"""Cases that are bounded together."""

FOLLOWING = ("interval", "zonotope", "crown")
"""Methods whose bounds follow from the input set: nothing has to be written down to have them again."""

FOR_PROOF = 64
"""Domains in which neuron splitting has to prove each case that optimised lines proved, in a form that is kept."""


def interval(work: Work) -> Decision | None:
    """Interval bounds of all open cases."""
    return _bound(work, "interval")


def crown(work: Work) -> Decision | None:
    """Backward linear bounds, with lines optimised for the question, of open cases.

    Those that input splitting begins with cheaper bounds are left to it. Where proofs are kept, the lines are CROWN's
    own first: these follow from the input set, and need not be written down.
    """
    if work.network is None:
        return None
    large = not is_small(work.network)
    if work.keep_proof:
        _bound(work, "crown", _early(work, large=large))
    return _bound(work, QUESTION, _early(work, large=large))


def _early(work: Work, *, large: bool) -> list[int]:
    return [place for place in work.open if not (large and splittable(work.cases[place]))]


def alpha_crown(work: Work) -> Decision | None:
    """Backward linear bounds with optimised lines, of all open cases."""
    return _bound(work, "alpha-crown")


def zonotope(work: Work) -> Decision | None:
    """Affine forms forward, of all open cases."""
    return _bound(work, "zonotope")


def splittable(case: Property) -> bool:
    """Whether few inputs of a case vary, and its input set is a box."""
    if not isinstance(case.inputs, Box):
        return False
    lower, upper = (end.double().reshape(1, -1) for end in (case.inputs.lower, case.inputs.upper))
    return int(varying(lower, upper).sum()) <= FEW_INPUTS


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
            found = bound_margins(work.network, [work.cases[i] for i in places], method, effort)
        except OutOfTimeError:
            break
        margins = [margin.reals for margin in found]
        work.runs.update({place: margin.runs > 0 for place, margin in zip(places, found, strict=True)})
        work.real.update(place for place, margin in zip(places, found, strict=True) if margin.holds_in_reals)
        if work.keep_proof:
            margins = _with_proofs(work, places, margins, method)
        for place, margin in zip(places, margins, strict=True):
            work.margins[place] = max(margin, work.margins.get(place, margin))
    work.open = [place for place in work.open if not work.margins.get(place, -1.0) > 0]
    return None


def _with_proofs(work: Work, places: Sequence[int], margins: Sequence[float], method: str | Method) -> list[float]:
    """The margins of cases, none of them positive where no proof can be written down."""
    proved = [place for place, margin in zip(places, margins, strict=True) if margin > 0]
    if isinstance(method, str) and method in FOLLOWING:
        for place, margin in zip(places, margins, strict=True):
            if margin > 0:
                work.proofs[place] = InputTree.whole(method, margin)
        return list(margins)
    if proved and work.network is not None:
        cases = [work.cases[place] for place in proved]
        outcomes = split_many(work.network, cases, work.deadline, domains=FOR_PROOF, keep_proof=True)
        for place, outcome in zip(proved, outcomes, strict=True):
            if outcome.verdict is Verdict.VERIFIED and outcome.proof is not None:
                work.proofs[place] = outcome.proof
    return [
        min(margin, 0.0) if place not in work.proofs else margin for place, margin in zip(places, margins, strict=True)
    ]


def bound_margins(
    network: Network, cases: Sequence[Property], method: str | Method, effort: Effort | None = None
) -> list[Margin]:
    """For each case the distance that is proved between its outputs and its unsafe set; positive is a proof.

    What counts for real numbers exceeds what rounding typically does to a float32 run at the middle of the set.

    Args:
        network: prepared graph.
        cases: properties of it.
        method: a name of ``METHODS``.
        effort: limits on work, memory and time.
    """
    limits = effort or Effort()

    def lower(network: Network, region: Region, matrices: Tensor, offsets: Tensor) -> Confirmed:
        found = confirmed_bounds(network, region, matrices, offsets, method, limits, every=False)
        reals = found.reals
        near = ((reals > 0) & (found.runs <= 0)).any(1).nonzero()[:, 0]
        if len(near):
            noise = noise_at_middle(network.to(torch.float64), region.take(near), matrices[near])
            reals = reals.index_copy(0, near, torch.maximum(reals[near] - noise, found.runs[near]))
        return replace(found, reals=reals, bare=found.reals)

    return proved_margins(network, cases, lower)
