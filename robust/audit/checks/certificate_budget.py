"""How much of what was asked of the certificates fits a budget of work: fewer samples first, then fewer neurons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from attacks.balls import Norm
from robust.audit.check import NotAssessedError
from robust.record import Finding
from verifiers import METHODS, Network
from verifiers.cost import worst_case

ENOUGH = 25
"""Samples below which bounding fewer neurons is the smaller loss."""
FEWEST = 5
"""Samples below which a method is not asked at all."""
LEAST_ROWS = 16
DEAR = ("alpha-crown", "zonotope")
"""Methods that go first."""
BILLION = 1e9


@dataclass(frozen=True)
class Share:
    """What is asked.

    Attributes:
        samples: at most so many.
        rows: neurons of a layer that CROWN bounds anew at most.
        methods: bound propagations, cheapest first.
    """

    samples: int
    rows: int
    methods: tuple[str, ...]


def fitted(
    wanted: Share, network: Network, radii: Mapping[Norm, Sequence[float]], functions: int, budget: float
) -> Share:
    """The part of ``wanted`` that costs no more than ``budget`` at worst.

    Down to ``ENOUGH`` samples, samples go first; then alpha-CROWN, then zonotopes; then neurons, by halves; then
    samples again; all but the first method go when not even ``FEWEST`` samples are left. A count, not a clock: the
    same on every machine.

    Args:
        wanted: by the plan, limited to the samples there are.
        network: the graph.
        radii: of each norm.
        functions: linear functions bounded per sample: classes less one.
        budget: billions of multiply-adds.

    Raises:
        NotAssessedError: not even interval bounds of a few samples fit.
    """
    share = wanted
    enough, fewest = min(ENOUGH, wanted.samples), min(FEWEST, wanted.samples)
    while True:
        cost = _cost_per_sample(share, network, radii, functions)
        affordable = math.floor(min(budget * BILLION / cost, wanted.samples))
        if affordable >= enough or (affordable >= fewest and not _smaller(share)):
            return replace(share, samples=affordable)
        dear = next((method for method in DEAR if method in share.methods), None)
        if dear is not None and len(share.methods) > 1:
            share = replace(share, methods=tuple(method for method in share.methods if method != dear))
        elif _smaller(share):
            share = replace(share, rows=max(LEAST_ROWS, share.rows // 2))
        elif len(share.methods) > 1:
            share = replace(share, methods=share.methods[:1])
        else:
            raise NotAssessedError(
                "the network is too large for certificates within the budget of work",
                wanted=f"at most {budget:g} billion multiply-adds for {fewest} samples",
                got=f"{cost * fewest / BILLION:.3g} billion at worst, with {' and '.join(share.methods)} bounds",
                hint="raise checks.certificates.budget (inf: no limit), or ask for fewer radii or methods",
            )


def left_out(check: str, wanted: Share, share: Share, budget: float) -> list[Finding]:
    """What the budget left out, among the headlines; nothing where all was asked. Each rate's own n is smaller then."""
    cuts = []
    if share.samples < wanted.samples:
        cuts.append(f"{share.samples} of {wanted.samples} samples were asked about")
    if share.rows < wanted.rows and _inner(share):
        cuts.append(f"{share.rows} instead of {wanted.rows} neurons of a layer were bounded anew")
    if share.methods != wanted.methods:
        cuts.append(f"only {' and '.join(share.methods)} bounds were computed")
    if not cuts:
        return []
    return [
        Finding(
            check=check,
            metric="samples_within_the_budget",
            title=f"Samples asked about, of {wanted.samples} wanted: the budget of work allows no more",
            value=float(share.samples),
            unit="samples",
            headline=True,
            reason=f"{'; '.join(cuts)}: all of it could take more than {budget:g} billion multiply-adds "
            "(checks.certificates.budget; raise it for more samples and tighter bounds)",
        )
    ]


def _smaller(share: Share) -> bool:
    return _inner(share) and share.rows > LEAST_ROWS


def _inner(share: Share) -> bool:
    return any(METHODS[method].inner for method in share.methods)


def _cost_per_sample(share: Share, network: Network, radii: Mapping[Norm, Sequence[float]], functions: int) -> int:
    return sum(
        len(epsilons) * worst_case(network, method=method, norm=norm, rows=share.rows, functions=functions)
        for norm, epsilons in radii.items()
        for method in share.methods
    )
