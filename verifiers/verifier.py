"""The one interface of every verifier, and the two that propagate bounds.

A verifier's contract: it never raises because a property is hard. What it cannot decide is UNKNOWN with a reason that
is a sentence; VERIFIED names its arithmetic; FALSIFIED carries a witness that was replayed on the real model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from robust.graph import Graph
from robust.properties import Property
from robust.record import Meanings, Verdict, VerdictResult
from verifiers.certify import ARITHMETIC, REALS, Confirmed, confirmed_bounds
from verifiers.margins import Margin, proved_margins
from verifiers.memory import Effort
from verifiers.methods import METHODS
from verifiers.network import Network
from verifiers.region import Region


@runtime_checkable
class Verifier(Protocol):
    """Answers properties of one network."""

    @property
    def name(self) -> str:
        """As it stands in ``VerdictResult.engine``."""
        ...

    def verify(self, graph: Graph, properties: Sequence[Property]) -> list[VerdictResult]:
        """One answer per property, in their order.

        Raises:
            PropertyError: a property does not fit the network's shapes.
        """
        ...


class BoundVerifier:
    """Bound propagation as a verifier: VERIFIED or UNKNOWN, never FALSIFIED.

    A clause of the unsafe set (a conjunction) is excluded when one of its constraints is violated over the whole input
    set; the property is verified when every clause is excluded.
    """

    def __init__(self, *, method: str, effort: Effort | None = None) -> None:
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}: wanted one of {METHODS}")
        self.method = method
        self.effort = effort or Effort()

    def __repr__(self) -> str:
        return f"BoundVerifier(method={self.method!r}, effort={self.effort!r})"

    @property
    def name(self) -> str:
        """``interval`` or ``crown``."""
        return self.method

    def verify(self, graph: Graph | Network, properties: Sequence[Property]) -> list[VerdictResult]:
        """One answer per property; ``lower_bound`` is the margin of the worst clause.

        Raises:
            PropertyError: a property does not fit the network's shapes.
        """
        network = graph if isinstance(graph, Network) else Network(graph)
        return [self._answer(margin) for margin in proved_margins(network, properties, self._lower)]

    def _lower(self, network: Network, region: Region, matrices: Tensor, offsets: Tensor) -> Confirmed:
        """Bounds ``[n, m]`` of ``matrix @ outputs - offset``, rounding included."""
        return confirmed_bounds(network, region, matrices, offsets, self.method, self.effort, every=False)

    def _answer(self, found: Margin) -> VerdictResult:
        margin = found.runs if found.runs > 0 else found.reals
        bound = margin if math.isfinite(margin) else None
        if margin > 0:
            deployed = Verdict.VERIFIED if found.runs > 0 else Verdict.UNKNOWN
            reason = f"{self.method} bounds keep every unsafe clause at a distance of at least {margin:.3g}"
            if deployed is Verdict.UNKNOWN:
                reason += ", which may be less than what a float32 run rounds"
            return VerdictResult(
                verdict=Verdict.VERIFIED,
                reason=reason,
                engine=self.name,
                arithmetic=ARITHMETIC if deployed is Verdict.VERIFIED else REALS,
                meanings=Meanings(Verdict.VERIFIED, deployed),
                lower_bound=bound,
            )
        short = "bounds overflowed or ran out of memory" if bound is None else f"bounds fall short, at {margin:.3g}"
        return VerdictResult(
            verdict=Verdict.UNKNOWN,
            reason=f"{self.method} {short}; the property may hold or not",
            engine=self.name,
            lower_bound=bound,
        )
