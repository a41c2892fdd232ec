"""How far the outputs of a network provably stay from unsafe sets, for many properties at once.

A clause of an unsafe set (a conjunction) is excluded when one of its constraints is violated over the whole input set;
a property holds when every clause is excluded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.graph import Graph
from robust.properties import Property, UnsafeSet
from verifiers.bounding import rounded_bounds
from verifiers.certify import Confirmed
from verifiers.network import Network
from verifiers.region import Region, kind_of_set, region_of

Lower = Callable[[Network, Region, Tensor, Tensor], Confirmed]
"""Lower bounds ``[n, m]`` of ``matrix @ y - offset`` in both meanings, from ``(network, region, matrices [n, m,
outputs], offsets [n, m])``."""


@dataclass(frozen=True)
class Margin:
    """How far the outputs of a network stay from an unsafe set; positive is a proof, minus infinity: nothing is known.

    Attributes:
        reals: over the real numbers, less the allowance for runs that whoever asked makes.
        runs: in every float32 run.
        bare: over the real numbers, with no allowance for runs; None: as ``reals``.
    """

    reals: float
    runs: float
    bare: float | None = None

    @property
    def holds_in_reals(self) -> bool:
        """Whether the property is proved over the real numbers, though a run may differ."""
        return self.reals > 0 or (self.bare is not None and self.bare > 0)


def proved_margins(network: Network, properties: Sequence[Property], lower: Lower) -> list[Margin]:
    """For each property the best constraint of its worst clause.

    Args:
        network: prepared graph.
        properties: over input sets of any kinds; those of one kind are bounded together.
        lower: what bounds them.

    Raises:
        PropertyError: a property does not fit the network's shapes.
    """
    for item in properties:
        require_fit(network.graph, item)
    found: dict[int, Margin] = {}
    for kind in {kind_of_set(item.inputs) for item in properties}:
        places = [i for i, item in enumerate(properties) if kind_of_set(item.inputs) == kind]
        chosen = [properties[i] for i in places]
        region = region_of([item.inputs for item in chosen])
        matrices = _padded([torch.cat([c.matrix for c in item.unsafe.clauses]) for item in chosen])
        offsets = _padded([torch.cat([c.offset for c in item.unsafe.clauses]) for item in chosen])
        bounds = lower(network, region, matrices, offsets)
        parts = [torch.maximum(bounds.reals, bounds.computed.clamp_max(0)), bounds.runs]
        parts += [] if bounds.bare is None else [bounds.bare]
        clean = [torch.nan_to_num(part, nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf) for part in parts]
        margins = [Margin(*(_margin(item, row) for row in rows)) for item, *rows in zip(chosen, *clean, strict=True)]
        found.update(zip(places, margins, strict=True))
    return [found[i] for i in range(len(properties))]


def reached_surely(network: Network, unsafe: UnsafeSet, point: Tensor) -> bool:
    """Whether an input ``[*shape]`` reaches an unsafe set over the real numbers, whatever is rounded in finding out."""
    double = network.to(torch.float64)
    region = Region(point[None].double(), point[None].double())
    for clause in unsafe.clauses:
        rows = -clause.matrix.double()[None]
        with torch.no_grad():
            found = rounded_bounds(double, region, rows.to(double.graph.device), "interval", run=False).reals[0].cpu()
        if bool((found >= -clause.offset.double().cpu() + found.abs() * 2.0**-50).all()):
            return True
    return False


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


def require_fit(graph: Graph, item: Property) -> None:
    """Whether a property speaks of the inputs and outputs that a network has.

    Raises:
        PropertyError: it does not.
    """
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
