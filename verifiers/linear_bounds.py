"""Backward linear bounds: one pass from linear functions of a node to linear functions of the input.

A pure function of (network, region, coefficients, intermediate bounds, lines, arithmetic): given the intermediate
bounds and the choice of lines, the same pass serves the search and, in another arithmetic, the confirmation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import Kind, Node
from verifiers.adjoint import adjoint
from verifiers.functions import Coefficients, Functions, inner
from verifiers.interval import Bounds
from verifiers.network import Network
from verifiers.region import Region
from verifiers.relaxations import RULES, Lines, Relaxation, Rule
from verifiers.relaxations.maximum import MaximumRelaxation, maximum_lines
from verifiers.roundoff import LARGEST, Roundoff, largest_of
from verifiers.windows import convolution_adjoint, is_picture, is_plain_convolution
from verifiers.zonotope import Zonotope

SPARED = LARGEST
"""Share of what is for runs that is not given back, for the rounding of its sum."""


@dataclass(eq=False)
class LinearBounds:
    """The backward pass over one network and region, with bounds of the nodes that nonlinear nodes read.

    Attributes:
        network: what is bounded.
        region: ``n`` input sets, in the network's arithmetic.
        bounds: node -> its bounds; complete up to whatever node the pass starts from.
        rules: operator -> rule.
        output: the output as a zonotope, where the method makes one.
        roundoff: what rounding takes from the bounds; None: they are as computed.
        runs: the bounds enclose what every float32 run computes, not only the real numbers.
    """

    network: Network
    region: Region
    bounds: Mapping[int, Bounds]
    rules: Mapping[str, Rule] = field(default_factory=lambda: RULES)
    output: Zonotope | None = None
    roundoff: Roundoff | None = None
    runs: bool = False
    _charges: dict[tuple[int, bool], Tensor | None] = field(default_factory=dict)
    _relaxed: dict[tuple[int, bool], Relaxation | MaximumRelaxation] = field(default_factory=dict)

    def minimum(
        self, functions: Functions, *, samples: Tensor | None = None, stop_at_nonlinear: bool = False
    ) -> Tensor:
        """Lower bounds of linear functions of nodes' values.

        Args:
            functions: ``m`` per sample.
            samples: int64 ``[n]``, which sets of the region they are asked of; all of them, in order, by default.
            stop_at_nonlinear: take interval bounds where the pass meets a nonlinear node (this is IBP with its last
                affine layers merged into the question) instead of relaxing it.

        Returns:
            ``[n, m]``; NaN where bounds overflow.
        """
        value, toll = self.valued(functions, samples=samples, stop_at_nonlinear=stop_at_nonlinear)
        return toll.off(value)

    def valued(
        self,
        functions: Functions,
        *,
        samples: Tensor | None = None,
        stop_at_nonlinear: bool = False,
        apart: bool = False,
    ) -> tuple[Tensor, Toll]:
        """``minimum`` as computed ``[n, m]``, and what rounding takes; with ``apart`` also what of it is for runs."""
        toll = Toll(self, samples, apart=apart)
        coefficients, total = self._backward(functions, samples, stop_at_nonlinear, toll=toll)
        region = self.region if samples is None else self.region.take(samples)
        if coefficients is None:
            value = total.expand(len(region), -1)
        else:
            toll.ends(coefficients, 0)
            value = total + toll.minimum(region, coefficients)
        return value, toll

    def lines(
        self, functions: Functions, *, samples: Tensor | None = None, passed: dict[int, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Toll]:
        """Linear functions of the input that lie below linear functions of nodes' values, over each set.

        Their constants are as computed: ``toll.off`` takes what rounding may be worth, also to minima over a box.

        Args:
            functions: ``m`` per sample.
            samples: int64 ``[n]``, which sets of the region they are asked of; all of them, in order, by default.
            passed: gets the coefficients ``[n, m, elements]`` of every nonlinear node that the pass went through.

        Returns:
            Coefficients ``[n or 1, m, inputs]`` and constants ``[n or 1, m]``, NaN where bounds overflow; and the toll,
            with what is for runs apart.
        """
        toll = Toll(self, samples, apart=True)
        coefficients, total = self._backward(functions, samples, False, passed, toll)
        if coefficients is None:
            coefficients = Coefficients(total.new_zeros(*total.shape, self.network.graph.nodes[0].elements))
        toll.ends(coefficients, 0)
        return coefficients.dense(), total, toll

    def _backward(
        self,
        functions: Functions,
        samples: Tensor | None,
        stop_at_nonlinear: bool,
        passed: dict[int, Tensor] | None = None,
        toll: Toll | None = None,
    ) -> tuple[Coefficients | None, Tensor]:
        """Coefficients on the input, None where nothing depends on it, and the constants."""
        toll = toll or Toll(self, samples)
        total, collected = functions.constant, dict(functions.coefficients)
        nodes = self.network.graph.nodes
        for node in reversed(nodes[1 : max(collected) + 1]):
            current = collected.pop(node.index, None)
            if current is None:
                continue
            if node.kind is Kind.AFFINE:
                parts, constant = through_affine(self.network, node, current)
            elif stop_at_nonlinear:
                ends = self.bounds[node.index].flat(len(self.region))
                total = total + interval_minimum(current.dense(), *(_rows(end, samples) for end in ends))
                toll.ends(current, node.index)
                continue
            else:
                parts, constant = self._through(node, current, samples)
                if passed is not None:
                    passed[node.index] = current.dense()
            total = total if constant is None else total + constant
            toll.step(node, current)
            gather(collected, node, parts, toll)
        return collected.get(0), total

    def take(self, samples: Tensor) -> LinearBounds:
        """The same over some of the sets."""
        count = len(self.region)
        bounds = {
            index: Bounds(
                *(end.reshape(count, -1)[samples].reshape(-1, *end.shape[1:]) for end in (found.lower, found.upper))
            )
            for index, found in self.bounds.items()
        }
        return LinearBounds(self.network, self.region.take(samples), bounds, self.rules, runs=self.runs)

    def largest(self, index: int) -> Tensor:
        """The largest magnitude of each element of a node: ``[n, elements]``."""
        if self.roundoff is not None and index in self.roundoff.reach:
            return self.roundoff.reach[index]
        return largest_of(self.bounds[index], len(self.region))

    def charge(self, node: Node, family: bool = False) -> Tensor | None:
        """What a step through a node costs per unit of coefficient ``[n, elements]``; None for nothing."""
        if self.roundoff is None:
            return None
        if node.kind is Kind.AFFINE:
            return self.roundoff.of_affine(node.index)
        key = (node.index, family)
        if key not in self._charges:
            operands = [largest_of(self.bounds[source], len(self.region)) for source in node.inputs]
            self._charges[key] = self.roundoff.of_lines(node, self.relaxation(node, family), operands)
        return self._charges[key]

    def relaxation(self, node: Node, family: bool = False) -> Relaxation | MaximumRelaxation:
        """The lines of a nonlinear node, made once; with ``family`` those that an optimiser may choose from."""
        key = (node.index, family)
        if key not in self._relaxed:
            operands = [self.bounds[source].flat(len(self.region)) for source in node.inputs]
            if node.kind is Kind.MAXIMUM:
                self._relaxed[key] = maximum_lines(node, *operands[0])
            elif node.op in self.rules:
                self._relaxed[key] = self.rules[node.op].relax(node, operands, family=family)
            else:
                raise UnsupportedOperatorError(f"linear bounds have no relaxation of {node.op}, at {node.place}")
        return self._relaxed[key]

    def _through(
        self, node: Node, coefficients: Coefficients, samples: Tensor | None
    ) -> tuple[list[Coefficients], Tensor | None]:
        relaxed = self.relaxation(node)
        if samples is not None:
            relaxed = relaxed.take(samples)
        if isinstance(relaxed, MaximumRelaxation):
            elements = self.network.graph.nodes[node.inputs[0]].elements
            part, constant = relaxed.through(elements, coefficients.dense())
            return [Coefficients(part)], constant
        return through_lines(relaxed.lower, relaxed.upper, coefficients)


def through_lines(lower: Lines, upper: Lines, coefficients: Coefficients) -> tuple[list[Coefficients], Tensor | None]:
    """Coefficients on the operands, and the constant: the lower lines where they rise, the upper where they fall."""
    window = coefficients.window
    rising, falling = coefficients.values.clamp_min(0), coefficients.values.clamp_max(0)
    constant = None
    for part, lines in ((rising, lower), (falling, upper)):
        if lines.intercept is not None:
            added = Coefficients(part, window).inner(lines.intercept)
            constant = added if constant is None else constant + added
    parts = [
        Coefficients(torch.addcmul(rising * coefficients.spread(below), falling, coefficients.spread(above)), window)
        for below, above in zip(lower.slopes, upper.slopes, strict=True)
    ]
    return parts, constant


def through_affine(
    network: Network, node: Node, coefficients: Coefficients
) -> tuple[list[Coefficients], Tensor | None]:
    """Coefficients on the operands of an affine node, and the constant."""
    offset = network.offsets.get(node.index)
    if node.index in network.matrices:
        values = coefficients.values
        return [Coefficients(values @ network.matrices[node.index])], None if offset is None else values @ offset
    if coefficients.window is not None:
        parts = windowed_adjoint(network, node, coefficients)
        if parts is not None:
            return parts, None if offset is None else coefficients.inner(offset[None])
    dense = coefficients.dense()
    parts = [Coefficients(part) for part in adjoint(network.graph, node, dense)]
    return parts, None if offset is None else dense @ offset


def windowed_adjoint(network: Network, node: Node, coefficients: Coefficients) -> list[Coefficients] | None:
    """Windows through an affine node; None where they do not pass or would not save anything."""
    window, nodes = coefficients.window, network.graph.nodes
    if window is None:
        return None
    sources = [nodes[index] for index in node.inputs]
    if node.op == "add" and all(source.shape == node.shape for source in sources):
        return [coefficients] * len(sources)
    source = sources[0]
    if not is_plain_convolution(node) or not is_picture(source):
        return None
    below = window.below(node, source.rest[0], (source.rest[1], source.rest[2]))
    if below.whole:
        return None
    return [Coefficients(below.masked(convolution_adjoint(node, coefficients.values, window, below)), below)]


def _windowed_minimum(region: Region, coefficients: Coefficients) -> Tensor:
    """Lower bounds ``[n, m]`` of functions of windows of the input, over boxes."""
    middle, half = (region.lower + region.upper).flatten(1) / 2, (region.upper - region.lower).flatten(1) / 2
    return coefficients.inner(middle) - Coefficients(coefficients.values.abs(), coefficients.window).inner(half)


def gather(collected: dict[int, Coefficients], node: Node, parts: list[Coefficients], toll: Toll | None = None) -> None:
    """Add to each operand of a node its part."""
    for source, part in zip(node.inputs, parts, strict=True):
        if source not in collected:
            collected[source] = part
            continue
        collected[source] = collected[source].plus(part)
        if toll is not None:
            toll.sum(collected[source], source)


@dataclass(eq=False)
class Toll:
    """What rounding takes from the functions of one backward pass.

    Attributes:
        linear: the pass.
        samples: which sets its functions are asked of; None: all, in order.
        family: lines may be any of their families.
        apart: keep account of what is for the model's own runs.
        paid: ``[n, m]``, for all; None where rounding is not asked about.
        own: ``[n, m]``, what of it is for the model's own runs, where that is kept; None for nothing.
    """

    linear: LinearBounds
    samples: Tensor | None
    family: bool = False
    apart: bool = False
    paid: Tensor | None = None
    own: Tensor | None = None

    @property
    def runs(self) -> bool:
        """Whether what is paid makes bounds hold for every float32 run."""
        return self.linear.roundoff is not None and self.linear.roundoff.run

    def off(self, value: Tensor) -> Tensor:
        """Bounds ``[n, m]`` less all that was paid: of real numbers, and of runs where these are charged."""
        return value if self.paid is None else value - self.paid

    def of_reals(self, value: Tensor) -> Tensor:
        """Bounds ``[n, m]`` of the network over the real numbers alone."""
        less = self.off(value)
        return less if self.own is None else less + (1 - SPARED) * self.own

    def step(self, node: Node, current: Coefficients) -> None:
        """Through a node, with the coefficients on it."""
        charge, roundoff = self.linear.charge(node, self.family), self.linear.roundoff
        if charge is None or roundoff is None:
            return
        sizes = Coefficients(current.values.abs(), current.window)
        self._owe(sizes.inner(_rows(charge, self.samples)))
        own = roundoff.own(node.index) if self.apart and self.runs else None
        if own is not None:
            paid = sizes.inner(_rows(own, self.samples))
            self.own = paid if self.own is None else self.own + paid

    def sum(self, current: Coefficients, index: int) -> None:
        """Coefficients of a node were added to others."""
        if self.linear.roundoff is not None:
            self._pay(current, self.linear.roundoff.of_sum(self.linear.largest(index)))

    def ends(self, current: Coefficients, index: int) -> None:
        """Functions of a node were minimised between its bounds."""
        if self.linear.roundoff is not None:
            self._pay(current, self.linear.roundoff.of_ends(self.linear.largest(index)))

    def minimum(self, region: Region, current: Coefficients) -> Tensor:
        """Lower bounds ``[n, m]`` of functions of the input, over the sets that they are asked of."""
        if current.window is not None and region.center is None:
            return _windowed_minimum(region, current)
        value, loss = region.valued(current.dense(), self.gamma)
        self.owe(loss)
        return value

    @property
    def gamma(self) -> Callable[[float], float] | None:
        """From a number of terms to the relative error of their sum; None where rounding is not asked about."""
        return None if self.linear.roundoff is None else self.linear.roundoff.gamma

    def owe(self, loss: Tensor | None) -> None:
        """Something else was lost: ``[n, m]``, or None for nothing."""
        if loss is not None:
            self.paid = loss if self.paid is None else self.paid + loss

    def _pay(self, current: Coefficients, charge: Tensor | None) -> None:
        if charge is None:
            return
        self._owe(Coefficients(current.values.abs(), current.window).inner(_rows(charge, self.samples)))

    def _owe(self, paid: Tensor) -> None:
        if self.paid is None and self.linear.roundoff is not None:
            self.paid = self.linear.roundoff.underflow_of(self.samples)
        self.paid = paid if self.paid is None else self.paid + paid


def _rows(value: Tensor, samples: Tensor | None) -> Tensor:
    return value if samples is None else value[samples]


def interval_minimum(coefficients: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Minimum of ``[n or 1, m, elements]`` linear functions over boxes ``[n, elements]``: ``[n, m]``."""
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    return inner(coefficients, middle) - inner(coefficients.abs(), half)
