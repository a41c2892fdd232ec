"""Bounds of every node, forward: intervals, and where they are loose and matter, backward passes.

CROWN (Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions, 2018) bounds a
neuron by relaxing every nonlinear node below it, backward to the input. It is run for the operands of nonlinear nodes
only, there only for neurons whose relaxation would gain (a ReLU of open sign, say), widest first. What it finds is
intersected with the interval bounds, and the intersection goes on forward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.graph import Kind, Node
from robust.graph.operators import REARRANGING
from verifiers.adjoint import adjoint
from verifiers.interval import Bounds, interval_step
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort, chunk_rows, form_symbols
from verifiers.methods import Method
from verifiers.network import Network
from verifiers.region import Region
from verifiers.relaxations import RULES, Rule
from verifiers.relaxations.maximum import maximum_lines
from verifiers.roundoff import Roundoff
from verifiers.slope_search import SlopeSearch
from verifiers.zonotope import ForwardPass

SMALL = 64
"""Elements of a node up to which all are bounded, without asking which are open."""
FEW = 16
"""Sets up to which asking costs more than it saves."""


def propagate(
    network: Network,
    region: Region,
    method: Method,
    effort: Effort,
    rules: Mapping[str, Rule] = RULES,
    known: Mapping[int, Bounds] | None = None,
    roundoff: Roundoff | None = None,
) -> LinearBounds:
    """Bounds of all nodes, ready for backward passes.

    Args:
        network: in some arithmetic.
        region: ``n`` input sets in the same arithmetic.
        method: how inner nodes are bounded.
        effort: limits.
        rules: operator -> rule.
        known: node -> bounds that hold already, of larger sets, say: what is found is cut to them.
        roundoff: allow in all bounds for what rounding takes.
    """
    known = known or {}
    done: dict[int, Tensor] = {}
    forward = ForwardPass(network, region, form_symbols(network, effort), roundoff) if method.forward else None
    bounds: dict[int, Bounds] = {0: Bounds(region.lower, region.upper)}
    runs = roundoff is not None and roundoff.run
    result = LinearBounds(network, region, bounds, rules, roundoff=roundoff, runs=runs)
    exactness = {0: _LOOSE if region.center is not None else _BOX}
    ball = _Ball(network, region, roundoff) if region.norm == "l2" else None
    for node in network.graph.nodes[1:]:
        effort.check()
        found = interval_step(node, [bounds[i] for i in node.inputs], len(region), rules)
        if node.kind is Kind.AFFINE and node.op not in REARRANGING:
            found = _never_nan(found)
        if roundoff is not None:
            found = _never_nan(roundoff.widened(node, found, [bounds[i] for i in node.inputs], len(region)))
        exact = _exactness(node, network, exactness)
        if ball is not None and node.index in network.affine_prefix:
            found = ball.followed(node, found)
        if node.index in known:
            before = known[node.index]
            found = Bounds(torch.maximum(found.lower, before.lower), torch.minimum(found.upper, before.upper))
        if forward is not None:
            found = _followed(forward, result, node, found, exact == _LOOSE)
        bounds[node.index], exactness[node.index] = found, exact
        if method.inner and exact == _LOOSE and node.index in network.relaxed_operands:
            chain = network.copies(node.index)
            if chain:
                _tighten_original(result, bounds, chain, method, effort, done)
            else:
                bounds[node.index] = _Tightening(result, node, method, effort).of(found)
    if forward is not None:
        result.output = forward.of(network.graph.output)
    return result


def _tighten_original(
    linear: LinearBounds,
    bounds: dict[int, Bounds],
    chain: Sequence[Node],
    method: Method,
    effort: Effort,
    done: dict[int, Tensor],
) -> None:
    """Where a node only repeats elements of an earlier one, that one is bounded, and its copies follow.

    Args:
        linear: the pass.
        bounds: its bounds, changed.
        chain: from the first copy to the node that is read.
        method, effort: see ``propagate``.
        done: original -> bool ``[n, elements]``: what was bounded before; changed.
    """
    batch, graph = len(linear.region), linear.network.graph
    original = graph.nodes[chain[0].inputs[0]]
    matters = _open(linear, chain[-1], *bounds[chain[-1].index].flat(batch)).to(graph.dtype)[:, None]
    for node in reversed(chain):
        (matters,) = adjoint(graph, node, matters)
    wanted = matters[:, 0] > 0
    fresh = wanted & ~done[original.index] if original.index in done else wanted
    done[original.index] = wanted | done[original.index] if original.index in done else wanted
    tighter = _Tightening(linear, original, method, effort, matters=fresh).of(bounds[original.index])
    bounds[original.index] = tighter
    for node in chain:
        found = interval_step(node, [bounds[i] for i in node.inputs], batch, linear.rules)
        before = bounds[node.index]
        bounds[node.index] = Bounds(torch.maximum(found.lower, before.lower), torch.minimum(found.upper, before.upper))


def _followed(forward: ForwardPass, linear: LinearBounds, node: Node, found: Bounds, loose: bool) -> Bounds:
    """The form of a node; and its bounds, tightened by it where they are loose and lines are made from them."""
    batch = len(linear.region)
    relaxed = None if node.kind is Kind.AFFINE else linear.relaxation(node, family=True)
    lower, upper = found.flat(batch)
    forward.add(node, relaxed, [linear.bounds[i].flat(batch) for i in node.inputs], (lower, upper))
    if not loose or node.index not in linear.network.relaxed_operands:
        return found
    low, high = forward.of(node.index).bounds()
    low, high = torch.maximum(low, lower), torch.minimum(high, upper)
    crossed = low > high  # by rounding
    low, high = torch.where(crossed, lower, low), torch.where(crossed, upper, high)
    return Bounds(low.reshape(found.lower.shape), high.reshape(found.upper.shape))


_BOX, _REACHED, _LOOSE = 0, 1, 2
"""How good interval bounds of a node are: its values fill the box, reach each end, or neither."""


def _exactness(node: Node, network: Network, known: dict[int, int]) -> int:
    worst = max(known[i] for i in node.inputs)
    if worst == _LOOSE or (node.kind is Kind.ELEMENTWISE and len(node.inputs) == 1):
        return worst
    source = network.graph.nodes[node.inputs[0]]
    diagonal = node.op in ("add", "mul") and source.shape == node.shape
    if len(node.inputs) == 1 and (node.op in REARRANGING or diagonal):
        return worst
    return _REACHED if len(node.inputs) == 1 and worst == _BOX else _LOOSE


class _Ball:
    """Affine functions over an L2 ball: they reach ``radius * norm of the row`` beyond the centre's value, no further.

    With ``roundoff`` the value at the centre comes with its error. Rows that are multiplied out err by a share of the
    product of magnitudes, which is as if every input were off by that share of the radius.
    """

    def __init__(self, network: Network, region: Region, roundoff: Roundoff | None) -> None:
        self.network, self.roundoff = network, roundoff
        center = region.lower if region.center is None else region.center
        self.radius = center.new_zeros(len(center)) if region.radius is None else region.radius
        self.centers = {0: center}
        share = 0.0 if roundoff is None else roundoff.of_prefix()
        self.errors = {0: (share * self.radius).reshape(-1, *[1] * (center.ndim - 1)).expand_as(center)}

    def followed(self, node: Node, found: Bounds) -> Bounds:
        """Bounds of a node that is an affine function of the input, cut to what the ball allows if they are relaxed."""
        batch, operands = len(self.radius), [self.centers[i] for i in node.inputs]
        center = self.centers[node.index] = node.apply(operands, batch)
        if self.roundoff is not None:
            errors = self.roundoff.of_points(node, operands, [self.errors[i] for i in node.inputs], batch)
            self.errors[node.index] = errors.reshape(center.shape)
        norms = self.network.row_norms(node.index) if node.index in self.network.relaxed_operands else None
        if norms is None:
            return found
        reach = (self.radius[:, None] * norms).reshape(center.shape)
        if self.roundoff is not None:
            inputs = self.network.graph.nodes[0].elements
            reach = reach + self.roundoff.gamma(inputs + 8) * (reach + center.abs()) + self.errors[node.index]
        return _never_nan(
            Bounds(torch.maximum(found.lower, center - reach), torch.minimum(found.upper, center + reach))
        )


def _never_nan(bounds: Bounds) -> Bounds:
    """What overflowed is not bounded at all: rules may rely on that no end is NaN."""
    lower = torch.nan_to_num(bounds.lower, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    upper = torch.nan_to_num(bounds.upper, nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    return Bounds(lower, upper)


@dataclass(eq=False)
class _Tightening:
    """Backward passes for the open neurons of one node."""

    linear: LinearBounds
    node: Node
    method: Method
    effort: Effort
    matters: Tensor | None = None
    lower: Tensor = field(default_factory=lambda: torch.empty(0))
    upper: Tensor = field(default_factory=lambda: torch.empty(0))

    def of(self, found: Bounds) -> Bounds:
        """Bounds at least as tight as ``found``."""
        batch = len(self.linear.region)
        self.lower, self.upper = found.flat(batch)
        if self.node.elements <= min(SMALL, self.effort.rows):
            if batch <= FEW or not self._scattered():
                self._all()
        else:
            self._selected(optimise=False)
        if self.method.inner_steps:
            self._selected(optimise=True)
        return Bounds(self.lower.reshape(found.lower.shape), self.upper.reshape(found.upper.shape))

    def _all(self) -> None:
        """Every neuron of every sample, in one pass."""
        ends = self.linear.minimum(self.linear.network.signed_elements(self.node.index))
        ends = torch.nan_to_num(ends, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        low, negative = ends[:, : self.node.elements], ends[:, self.node.elements :]
        low, negative = self._of_runs(low, negative, None, None)
        if self.method.alone:
            open_ = self._open()
            low, negative = torch.where(open_, low, self.lower), torch.where(open_, negative, -self.upper)
        self.lower, self.upper = torch.maximum(self.lower, low), torch.minimum(self.upper, -negative)

    def _of_runs(
        self, low: Tensor, negative: Tensor, samples: Tensor | None, places: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Bounds of elements and of their negatives that hold for what a run makes of this node, too."""
        own = None if self.linear.roundoff is None else self.linear.roundoff.own(self.node.index)
        if own is None:
            return low, negative
        if samples is not None and places is not None:
            own = own[samples].gather(1, places)
        return low - own, negative - own

    def _open(self) -> Tensor:
        """Neurons to be bounded: those asked for, or those that matter to a reader."""
        if self.matters is not None:
            return self.matters & (self.upper > self.lower)
        return _open(self.linear, self.node, self.lower, self.upper)

    def _scattered(self) -> bool:
        """Open neurons one by one, each with a copy of its set; False, and nothing done, where most are open."""
        owners, places = self._open().nonzero(as_tuple=True)
        if 2 * len(owners) > self.lower.numel():
            return False
        self.lower, self.upper = self.lower.clone(), self.upper.clone()
        size = chunk_rows(self.linear.network, 2, self.effort)
        for some, at in zip(torch.split(owners, size), torch.split(places, size), strict=True):
            if len(some):
                self._bound(some, at[:, None], False)
        return True

    def _selected(self, *, optimise: bool) -> None:
        """Open neurons alone, the widest first; samples with about as many go together."""
        open_ = self._open()
        score = torch.where(open_, self.upper - self.lower, -1.0)
        counts = open_.sum(1).clamp_max(self.effort.rows)
        order = counts.argsort(descending=True, stable=True)
        self.lower, self.upper = self.lower.clone(), self.upper.clone()
        start, sizes = 0, counts[order].tolist()
        while start < len(order) and sizes[start]:
            step = samples_together(sizes, start, chunk_rows(self.linear.network, 1, self.effort))
            samples = order[start : start + step]
            places = score[samples].topk(sizes[start], dim=1).indices
            rows = chunk_rows(self.linear.network, 2 * len(samples), self.effort)
            for part in torch.split(places, rows, dim=1):
                self._bound(samples, part, optimise)
            start += step

    def _bound(self, samples: Tensor, places: Tensor, optimise: bool) -> None:
        self.effort.check()
        functions = self.linear.network.signed_elements(self.node.index, places)
        if optimise:
            search = SlopeSearch(self.linear, samples, effort=self.effort)
            ends = search.maximise(functions, self.method.inner_steps)
        else:
            ends = self.linear.minimum(functions, samples=samples)
        ends = torch.nan_to_num(ends, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        low, negative = ends[:, : places.shape[1]], ends[:, places.shape[1] :]
        low, negative = self._of_runs(low, negative, samples, places)
        at = (samples[:, None], places)
        if self.method.alone:
            open_ = self._open()[at]
            low, negative = torch.where(open_, low, self.lower[at]), torch.where(open_, negative, -self.upper[at])
        self.lower[at] = torch.maximum(self.lower[at], low)
        self.upper[at] = torch.minimum(self.upper[at], -negative)


def samples_together(sizes: list[int], start: int, rows: int) -> int:
    """How many of the samples from ``start`` on, ordered by size, share a pass: as many rows as fit, little padding."""
    stop, used = start, 0
    while stop < len(sizes) and sizes[stop] and (used := used + 2 * sizes[start]) <= rows:
        if 2 * sizes[stop] < sizes[start]:
            break
        stop += 1
    return max(1, stop - start)


def _open(linear: LinearBounds, node: Node, lower: Tensor, upper: Tensor) -> Tensor:
    """Neurons whose bounds matter: bool ``[n, elements]``."""
    matters = torch.zeros_like(lower, dtype=torch.bool)
    batch = len(lower)
    for reader in linear.network.readers[node.index]:
        if reader.kind is Kind.MAXIMUM:
            matters |= maximum_lines(reader, lower, upper).undecided(node.elements)
        elif reader.kind not in (Kind.AFFINE, Kind.INPUT):
            operands = [
                (lower, upper) if source == node.index else linear.bounds[source].flat(batch)
                for source in reader.inputs
                if source == node.index or source in linear.bounds
            ]
            if len(operands) == len(reader.inputs):
                matters |= linear.rules[reader.op].loose(reader, operands)
            else:
                matters |= upper > lower
    return matters
