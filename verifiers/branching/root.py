"""Bounds of all neurons over the whole input set: slopes are searched in float32, and what they give is computed in
float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from robust.graph import Node
from robust.properties.rounding import outward
from verifiers.branching.layout import Layout, open_neurons
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.root_trees import keep_bounds
from verifiers.functions import Coefficients, Functions
from verifiers.interval import Bounds
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort, chunk_rows
from verifiers.methods import METHODS
from verifiers.network import Network
from verifiers.propagation import propagate, samples_together
from verifiers.region import Region
from verifiers.relaxations.maximum import MaximumRelaxation
from verifiers.roundoff import Roundoff, dependable
from verifiers.slope_search import Choice, SlopeSearch


def root_bounds(network: Network, region: Region, effort: Effort, steps: int) -> LinearBounds:
    """Bounds by CROWN, ``tightened``.

    Args:
        network: in float64.
        region: ``n`` sets, in float64.
        effort: limits.
        steps: of optimisation, for each neuron whose relaxation leaves a gap.
    """
    return tightened(crown_bounds(network, region, effort), effort, steps)


def crown_bounds(network: Network, region: Region, effort: Effort) -> LinearBounds:
    """Bounds by CROWN in float64; computed in float32, less its rounding, where that is known.

    They enclose what float32 runs compute as well, unless that would make them much wider (``LinearBounds.runs``).

    Args:
        network: in float64.
        region: ``n`` sets, in float64.
        effort: limits.
    """
    single = network.to(torch.float32)
    rough = single if dependable(single) else network
    found = _propagated(rough, region.to(rough.graph.dtype), effort)
    if rough is network:
        return found
    bounds = {index: Bounds(ends.lower.double(), ends.upper.double()) for index, ends in found.bounds.items()}
    return LinearBounds(network, region, {**bounds, 0: Bounds(region.lower, region.upper)}, runs=found.runs)


def _propagated(network: Network, region: Region, effort: Effort) -> LinearBounds:
    """CROWN in the network's arithmetic, for runs where that costs little."""
    roundoff = Roundoff(network, run=True)
    found = propagate(network, region, METHODS["crown"], effort, roundoff=roundoff)
    if roundoff.affordable(found.bounds):
        return found
    return propagate(network, region, METHODS["crown"], effort, roundoff=Roundoff(network, run=False))


def tightened(
    linear: LinearBounds, effort: Effort, steps: int, trees: Sequence[NeuronTree] | None = None
) -> LinearBounds:
    """Bounds of all nodes, tightened node after node by optimised lines.

    Args:
        linear: bounds by CROWN.
        effort, steps: as of ``root_bounds``.
        trees: of each input set, to keep what proves the bounds; None: it is not kept.
    """
    network, region, bounds = linear.network, linear.region, dict(linear.bounds)
    for index in sorted(network.relaxed_operands):
        if index in network.affine_prefix and region.center is None:
            continue
        current = sound(linear, bounds)
        open_ = open_neurons(current, index)
        if steps and bool(open_.any()):
            bounds[index] = optimised(current, index, open_, effort, steps, trees)
    return LinearBounds(network, region, bounds, linear.rules, runs=linear.runs)


def sound(linear: LinearBounds, bounds: Mapping[int, Bounds]) -> LinearBounds:
    """Passes over the same sets with other bounds of all nodes, that allow for their own rounding."""
    roundoff = Roundoff.over(linear.network, bounds, len(linear.region), run=linear.runs)
    return LinearBounds(linear.network, linear.region, bounds, linear.rules, roundoff=roundoff, runs=linear.runs)


def optimised(
    linear: LinearBounds,
    index: int,
    wanted: Tensor,
    effort: Effort,
    steps: int,
    trees: Sequence[NeuronTree] | None = None,
) -> Bounds:
    """Bounds of a node with the elements ``wanted`` (bool ``[n, elements]``) tightened by optimised lines, all lines
    computed again in float64; ``trees`` as of ``tightened``."""
    layout = None if trees is None else Layout.of(linear, index)
    network, found, count = linear.network, linear.bounds[index], len(linear.region)
    single = network.to(torch.float32)
    narrow = {
        node: Bounds(outward(b.lower, torch.float32, down=True), outward(b.upper, torch.float32, down=False))
        for node, b in linear.bounds.items()
    }
    low, high = (end.clone() for end in found.flat(count))
    rough = LinearBounds(single, linear.region.to(torch.float32), narrow, linear.rules)
    for samples, places in _batches(network, wanted, effort):
        functions = network.signed_elements(index, places)
        chosen = None if count == 1 else samples
        search = Remembering(rough, chosen, effort=effort)
        search.maximise(_cast(functions), steps)
        exact = Remembering(linear, chosen, effort=effort)
        exact.begin = {node: value.double() for node, value in search.best.items()}
        ends = exact._descend(functions)
        ends = torch.nan_to_num(ends, nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)
        at, width = (samples[:, None], places), places.shape[1]
        if trees is not None and layout is not None:
            parameters = exact.parameters(2 * width)
            for sign, part in ((1, slice(width)), (-1, slice(width, None))):
                own = {node: value[:, part] for node, value in parameters.items()}
                keep_bounds(trees, layout, samples, places, sign, ends[:, part], own)
        low[at] = torch.maximum(low[at], ends[:, :width])
        high[at] = torch.minimum(high[at], -ends[:, width:])
    return ordered(low, high, found)


def _batches(network: Network, wanted: Tensor, effort: Effort) -> Iterator[tuple[Tensor, Tensor]]:
    """Sets ``[s]`` and elements ``[s, u]`` of each that go through a pass together; where a set has fewer, some of its
    other elements fill up."""
    counts = wanted.sum(1)
    order = counts.argsort(descending=True, stable=True)
    start, sizes = 0, counts[order].tolist()
    while start < len(order) and sizes[start]:
        stop = start + samples_together(sizes, start, chunk_rows(network, 1, effort))
        samples = order[start:stop]
        places = wanted[samples].to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : sizes[start]]
        for part in torch.split(places, chunk_rows(network, 2 * len(samples), effort), dim=1):
            yield samples, part
        start = stop


def joined(parts: Sequence[LinearBounds]) -> dict[int, Bounds]:
    """Bounds of all nodes over all sets of some bounds of one network."""
    return {
        index: Bounds(
            torch.cat([part.bounds[index].lower for part in parts]),
            torch.cat([part.bounds[index].upper for part in parts]),
        )
        for index in parts[0].bounds
    }


def ordered(low: Tensor, high: Tensor, like: Bounds) -> Bounds:
    """Bounds in the shape of ``like``; ends that cross by rounding change places, which only widens."""
    shape = like.lower.shape
    return Bounds(torch.minimum(low, high).reshape(shape), torch.maximum(low, high).reshape(shape))


def _cast(functions: Functions) -> Functions:
    found = {index: Coefficients(part.values.float(), part.window) for index, part in functions.coefficients.items()}
    return Functions(found, functions.constant.float())


class Remembering(SlopeSearch):
    """A search that keeps the parameters of each function's best bound, and may begin with given ones."""

    def __init__(self, linear: LinearBounds, samples: Tensor | None = None, *, effort: Effort) -> None:
        super().__init__(linear, samples, effort=effort)
        self.begin: dict[int, Tensor] = {}
        self.best: dict[int, Tensor] = {}
        self._reached: Tensor | None = None

    def _descend(self, functions: Functions) -> Tensor:
        found = super()._descend(functions)
        better = torch.ones_like(found, dtype=torch.bool) if self._reached is None else found > self._reached
        self._reached = found if self._reached is None else torch.where(better, found, self._reached)
        for index, choice in self._choices.items():
            if isinstance(choice, Choice):
                kept = self.best.get(index, choice.parameter)
                self.best[index] = torch.where(better[:, :, None], choice.parameter, kept)
        return found

    def parameters(self, functions: int) -> dict[int, Tensor]:
        """The parameters in use ``[n, functions, elements]``, by node."""
        return {
            index: choice.parameter.expand(-1, functions, -1)
            for index, choice in self._choices.items()
            if isinstance(choice, Choice)
        }

    def _start(self, node: Node, coefficients: Tensor) -> Choice | MaximumRelaxation:
        choice = super()._start(node, coefficients)
        if isinstance(choice, Choice) and node.index in self.begin:
            choice.parameter = torch.clamp(self.begin[node.index], choice.low, choice.high)
        return choice
