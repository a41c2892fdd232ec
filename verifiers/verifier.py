"""The one interface of every verifier, and the two that propagate bounds.

A verifier's contract: it never raises because a property is hard. What it cannot decide is UNKNOWN with a reason that
is a sentence; VERIFIED names its arithmetic; FALSIFIED carries a witness that was replayed on the real model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.graph import Graph
from robust.properties import Property
from robust.record import Verdict, VerdictResult
from verifiers.certify import ARITHMETIC, confirmed_bounds
from verifiers.memory import Effort
from verifiers.methods import METHODS
from verifiers.network import Network
from verifiers.region import Region, kind_of_set, region_of


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
        for item in properties:
            _fits(network.graph, item)
        answers: dict[int, VerdictResult] = {}
        for kind in {kind_of_set(item.inputs) for item in properties}:
            places = [i for i, item in enumerate(properties) if kind_of_set(item.inputs) == kind]
            margins = self._margins(network, [properties[i] for i in places])
            answers.update(zip(places, map(self._answer, margins), strict=True))
        return [answers[i] for i in range(len(properties))]

    def _margins(self, network: Network, properties: Sequence[Property]) -> list[float]:
        region = region_of([item.inputs for item in properties])
        matrices = _padded([torch.cat([c.matrix for c in item.unsafe.clauses]) for item in properties])
        offsets = _padded([torch.cat([c.offset for c in item.unsafe.clauses]) for item in properties])
        bounds = self._lower(network, region, matrices, offsets)
        return [_margin(item, bound) for item, bound in zip(properties, bounds, strict=True)]

    def _lower(self, network: Network, region: Region, matrices: Tensor, offsets: Tensor) -> Tensor:
        """Float64 ``[n, m]``: ``matrix @ outputs - offset`` is at least that, rounding included."""
        return confirmed_bounds(network, region, matrices, offsets, self.method, self.effort, every=False)

    def _answer(self, margin: float) -> VerdictResult:
        bound = margin if math.isfinite(margin) else None
        if margin > 0:
            reason = f"{self.method} bounds keep every unsafe clause at a distance of at least {margin:.3g}"
            return VerdictResult(
                verdict=Verdict.VERIFIED, reason=reason, engine=self.name, arithmetic=ARITHMETIC, lower_bound=bound
            )
        short = "bounds overflowed or ran out of memory" if bound is None else f"bounds fall short, at {margin:.3g}"
        return VerdictResult(
            verdict=Verdict.UNKNOWN,
            reason=f"{self.method} {short}; the property may hold or not",
            engine=self.name,
            lower_bound=bound,
        )


def _margin(item: Property, bound: Tensor) -> float:
    """The best constraint of the worst clause."""
    start, worst = 0, math.inf
    for clause in item.unsafe.clauses:
        stop = start + len(clause.offset)
        worst = min(worst, float(bound[start:stop].max()) if stop > start else -math.inf)
        start = stop
    return worst


def _padded(parts: list[Tensor]) -> Tensor:
    """Stack tensors of different lengths, with zeros behind the shorter ones, in float64."""
    longest = max(1, *(len(part) for part in parts)) if parts else 1
    result = torch.zeros(len(parts), longest, *parts[0].shape[1:], dtype=torch.float64, device=parts[0].device)
    for row, part in zip(result, parts, strict=True):
        row[: len(part)] = part
    return result


def _fits(graph: Graph, item: Property) -> None:
    if item.inputs.shape != graph.input_shape:
        raise PropertyError(
            "a property's input set has another shape than the network's input",
            wanted=graph.input_shape,
            got=item.inputs.shape,
        )
    if item.unsafe.outputs != graph.outputs:
        raise PropertyError(
            "a property speaks of another number of outputs than the network has",
            wanted=graph.outputs,
            got=item.unsafe.outputs,
        )
