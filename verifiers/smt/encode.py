"""From an operation graph and an input box to a program: exact, with the stable neurons folded away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from robust.errors import NonFiniteError, RobustError, UnsupportedOperatorError
from robust.graph import Graph, Kind, Node
from robust.graph.passes import absolute_as_relu
from robust.properties import Box
from verifiers.network import Network
from verifiers.smt import linear_part
from verifiers.smt.bounds import Relaxation
from verifiers.smt.program import ONE, ZERO, Program, Row, Unit
from verifiers.smt.units import Candidate, maximum, rectifier

Array = NDArray[np.float64]
UNIT_32 = 2.0**-24
"""Unit roundoff of float32."""
UNDERFLOW_32 = 2.0**-125
"""More than one float32 operation can lose to underflow, also where subnormals are flushed to zero."""
LARGEST_32 = 3.4e38
"""A float32 sum of terms whose magnitudes add up to no more than this does not overflow, in any order."""


ELSEWHERE = (
    "neuron splitting decides it: robust verify, with --data and --complete too; the check certificates bounds it"
)
"""Who decides what this engine cannot say."""


class TooLargeError(RobustError):
    """The network is too large for an exact solver to be worth starting."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Where encoding stops.

    Attributes:
        unstable: most nonlinear neurons whose phase the bounds leave open.
        neurons: most nonlinear neurons in all.
        entries: most entries of one dense affine matrix.
    """

    unstable: int = 400
    neurons: int = 2_000
    entries: int = 30_000_000


@dataclass(frozen=True)
class _Value:
    """A node's elements: exact rows, how far float32 may be from them, how large they may be."""

    rows: list[Row]
    error: Array
    magnitude: Array


def refuse_unsupported(graph: Graph, size: Size) -> None:
    """Whether this engine could speak of the network at all, before any work.

    Raises:
        UnsupportedOperatorError: an operator that real linear arithmetic cannot say exactly (sigmoid, tanh, ...).
        TooLargeError: more neurons or larger matrices than ``size`` allows.
    """
    graph = absolute_as_relu(graph)
    for node in graph.nodes:
        if node.kind is Kind.PRODUCT:
            raise UnsupportedOperatorError(
                f"a product of two values that depend on the input is not piecewise linear, at {node.place}",
                wanted="affine operators, relu, leaky_relu and maxima",
                hint=ELSEWHERE,
            )
        if node.kind is Kind.ELEMENTWISE and node.op not in ("relu", "leaky_relu"):
            raise UnsupportedOperatorError(
                f"operator {node.op} is not piecewise linear, at {node.place}",
                wanted="affine operators, relu, leaky_relu and maxima",
                hint=ELSEWHERE,
            )
    neurons = sum(node.elements for node in graph.nodes if node.kind in (Kind.ELEMENTWISE, Kind.MAXIMUM))
    if neurons > size.neurons:
        raise TooLargeError(
            f"{neurons} nonlinear neurons, more than {size.neurons}",
            hint=f"raise the limit of neurons, or: {ELSEWHERE}",
        )
    for node in graph.nodes:
        for source in node.inputs if node.kind is Kind.AFFINE else ():
            entries = node.elements * graph.nodes[source].elements
            if entries > size.entries:
                raise TooLargeError(f"an affine matrix of {entries} entries, more than {size.entries}, at {node.place}")


@dataclass(frozen=True)
class Encoding:
    """A program and the bounds that go with it."""

    program: Program
    relaxation: Relaxation


def encode(graph: Graph, box: Box, size: Size) -> Encoding:
    """The network over the box.

    Args:
        graph: in the arithmetic of its stored constants; each is taken as the rational that it is.
        box: ``[*input_shape]``; a coordinate whose ends coincide becomes a constant.
        size: where to stop.

    Raises:
        UnsupportedOperatorError: see ``refuse_unsupported``.
        TooLargeError: more unstable neurons, neurons or entries than ``size`` allows.
        NonFiniteError: a stored constant is NaN or infinite, or bounds overflow.
    """
    graph = absolute_as_relu(graph)
    refuse_unsupported(graph, size)
    single = graph.dtype == torch.float32
    try:
        encoder = _Encoder(graph.to(torch.float64), box, size, single)
        return Encoding(encoder.program(), encoder.relaxation)
    except OverflowError as error:
        raise NonFiniteError("the network's numbers overflow", wanted="values that float64 holds") from error


class _Encoder:
    def __init__(self, graph: Graph, box: Box, size: Size, single: bool) -> None:
        self.graph, self.size, self.single = graph, size, single
        self.drifts = Network(graph).drifts
        ends = [end.detach().cpu().double().flatten().tolist() for end in (box.lower, box.upper)]
        self.low, self.high = ([Fraction(value) for value in end] for end in ends)
        self.places = tuple(i for i, (low, high) in enumerate(zip(self.low, self.high, strict=True)) if low < high)
        self.relaxation = Relaxation([ends[0][i] for i in self.places], [ends[1][i] for i in self.places])
        self.units: list[Unit] = []

    def program(self) -> Program:
        values: dict[int, _Value] = {0: self._input()}
        for node in self.graph.nodes[1:]:
            operands = [values[index] for index in node.inputs]
            values[node.index] = (
                self._affine(node, operands) if node.kind is Kind.AFFINE else self._nonlinear(node, operands[0])
            )
        output = values[self.graph.output]
        return Program(
            inputs=len(self.places),
            places=self.places,
            lower=tuple(self.low[i] for i in self.places),
            upper=tuple(self.high[i] for i in self.places),
            point=tuple(self.low),
            units=tuple(self.units),
            outputs=tuple(output.rows),
            rounding=tuple(output.error.tolist()),
            magnitude=tuple(output.magnitude.tolist()),
        )

    def _input(self) -> _Value:
        numbers = {place: number for number, place in enumerate(self.places)}
        rows = [Row.unknown(numbers[i]) if i in numbers else Row({}, low) for i, low in enumerate(self.low)]
        size = [float(max(abs(low), abs(high))) for low, high in zip(self.low, self.high, strict=True)]
        return _Value(rows, np.zeros(len(rows)), np.array(size))

    def _affine(self, node: Node, operands: Sequence[_Value]) -> _Value:
        constants = linear_part.offsets(self.graph, node)
        _require_finite(constants, node)
        weighted: list[list[tuple[Fraction, Row]]] = [[] for _ in range(node.elements)]
        error, magnitude = np.zeros(node.elements), np.abs(np.asarray(constants))
        for position, operand in enumerate(operands):
            for output, element, weight in linear_part.columns(self.graph, node, position):
                if not np.isfinite(weight):
                    _require_finite([weight], node)
                weighted[output].append((ONE if weight == 1.0 else Fraction(weight), operand.rows[element]))
                error[output] += abs(weight) * operand.error[element]
                magnitude[output] += abs(weight) * operand.magnitude[element]
        if node.inexact is not None:  # constants that are not the model's own; what is added was added up from more
            share = node.inexact.share + node.inexact.share_in(self.graph.dtype)
            added = self.drifts[node.index][1].cpu().numpy()
            error += share * (magnitude - np.abs(np.asarray(constants)) + added) * 1.01
        rows, rounded = [], np.zeros(node.elements)
        for output, (parts, constant) in enumerate(zip(weighted, constants, strict=True)):
            if len(parts) == 1 and parts[0][0] is ONE and not constant:
                rows.append(parts[0][1])
                continue
            rows.append(Row.combine(parts, Fraction(constant)))
            rounded[output] = len(parts) + 3
        error = error * 1.01 + rounded * (UNIT_32 * (magnitude + error) + UNDERFLOW_32)
        if not bool((magnitude * 1.01 + error < LARGEST_32).all()):
            raise NonFiniteError(
                f"float32 may overflow, at {node.place}", wanted="sums below 3.4e38", got=f"{magnitude.max():.3g}"
            )
        return _Value(rows, error, magnitude * 1.01)

    def _nonlinear(self, node: Node, operand: _Value) -> _Value:
        lower, upper = self.relaxation.bound(operand.rows)
        if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
            raise NonFiniteError(f"bounds overflow, at {node.place}", wanted="values that float64 holds")
        windows, slope = self._windows(node), ZERO
        if node.op == "leaky_relu":
            stored = node.arguments["negative_slope"]
            slope = Fraction(float(np.float32(stored)) if self.single else float(stored))
        elements = [
            [Candidate(operand.rows[i], float(lower[i]), float(upper[i])) for i in window] for window in windows
        ]
        pooled = node.kind is Kind.MAXIMUM
        settled = [maximum(window) if pooled else rectifier(window[0], slope) for window in elements]
        open_ones = [i for i, item in enumerate(settled) if item.row is None]
        self._room_for(len(open_ones), node)
        rows, start = [item.row for item in settled], len(self.relaxation.lower)
        for number, place in enumerate(open_ones):
            rows[place] = Row.unknown(start + number)
            self.units.append(settled[place].unit(start + number))
        chosen = [settled[place] for place in open_ones]
        if chosen:
            self.relaxation.append(
                [item.below for item in chosen],
                [item.above for item in chosen],
                np.array([item.lower for item in chosen]),
                np.array([item.upper for item in chosen]),
            )
        scale = max(1.0, abs(float(slope)))
        error = np.array([operand.error[window].max() for window in windows]) * scale
        magnitude = np.array([max(abs(item.lower), abs(item.upper)) for item in settled])
        if node.op == "leaky_relu":
            error = error * 1.01 + 4 * UNIT_32 * magnitude + UNDERFLOW_32
        return _Value([row for row in rows if row is not None], error, magnitude + error)

    def _windows(self, node: Node) -> list[list[int]]:
        if node.windows is None:
            return [[i] for i in range(node.elements)]
        return [[i for i in window if i >= 0] for window in node.windows.cpu().tolist()]

    def _room_for(self, more: int, node: Node) -> None:
        total = len(self.units) + more
        if total > self.size.unstable:
            last = all(later.kind in (Kind.AFFINE, Kind.INPUT) for later in self.graph.nodes[node.index + 1 :])
            least = "" if last else "at least "
            raise TooLargeError(
                f"{least}{total} unstable neurons, more than {self.size.unstable}",
                hint=f"a smaller input set, a higher limit of unstable neurons, or: {ELSEWHERE}",
            )


def _require_finite(values: Sequence[float], node: Node) -> None:
    for value in values:
        if not np.isfinite(value):
            raise NonFiniteError(
                f"operator {node.op} holds a constant that is NaN or infinite, at {node.place}", got=value
            )
