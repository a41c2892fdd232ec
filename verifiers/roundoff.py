"""What rounding takes from bounds, bounded rigorously while they are computed.

A backward pass turns coefficients ``A`` on a node ``v = W u + b`` into coefficients ``A'`` on its operand. Whatever
numbers ``A'`` are, ``A v >= A' u + A b - |A W - A'| |u|``; and a sum of ``n`` products, in any order, errs by at most
``gamma(n)`` times the sum of their magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
3.1). So the step costs at most ``gamma(n) |A| (|W| |u|)``: one inner product of ``|A|`` with a *charge* per element
that is the same for all functions, made once by an interval pass over magnitudes.

The model's own run in float32 is off in every node by at most ``gamma(n) (|W| |u| + |b|)``, with float32's unit. If the
charge holds that too, and the bounds of all nodes enclose what a run computes, then the result holds for every run, in
any order of summation, fused or not.

Rules of nonlinear operators allow for the rounding of their own lines (``verifiers.relaxations.rule``); charged here
is what the pass does with them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.graph import Kind, Node
from robust.graph.operators import BILINEAR, REARRANGING, RELATIVE
from verifiers.interval import Bounds, absolute_coefficients
from verifiers.network import Network
from verifiers.relaxations import Lines, Relaxation
from verifiers.relaxations.maximum import MaximumRelaxation

RUN_UNIT = 2.0**-24
"""Largest relative error of one rounding to float32, in which models run."""
RUN_TINY = 2.0**-126
"""What a run may lose where numbers are too small for float32."""
FUNCTION_UNITS = 4
"""Units by which a run's nonlinear function may be off, of its value or (unless ``RELATIVE``) its operand."""
LARGEST = 0.01
"""Sums so long that they may lose more than this are not bounded."""
ABOVE = 1.03
"""What a charge is raised by, as it is computed with rounding itself."""
COPIES = frozenset({"cat", "stack"})
"""Operators, besides those that rearrange, that round nothing in either direction."""
AFFORDABLE = 0.05
"""Share of their width by which bounds may widen, for runs to be asked about beside real numbers."""
LOOSE_MODES = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
"""Environment variables by which a processor's library may be told to use fewer digits."""


def dependable(network: Network) -> bool:
    """Whether products in the network's arithmetic are sums of rounded products, of all its digits.

    Accelerators' convolutions may be of other algorithms (Winograd's, with larger errors), and float32 products may be
    switched to fewer digits.
    """
    graph = network.graph
    if graph.dtype == torch.float64:
        return True
    if torch.get_float32_matmul_precision() != "highest":
        return False
    if any(os.environ.get(name, "STRICT").upper() != "STRICT" for name in LOOSE_MODES):
        return False
    return graph.device.type == "cpu" or all(node.op != "convolution" for node in graph.nodes)


def gamma(terms: float, unit: float) -> float:
    """Relative error of a sum of so many products; infinite where that is no small number."""
    product = terms * unit
    return product / (1 - product) if product < LARGEST else math.inf


def sum_lengths(network: Network, node: Node) -> tuple[int, int]:
    """How many products an affine node adds up for one element at most, forward and in its adjoint."""
    sources = [network.graph.nodes[index] for index in node.inputs]
    if node.op in REARRANGING or node.op in COPIES:
        return 0, 0
    read = sum(source.elements for source in sources)
    spread = math.ceil(node.elements / min(source.elements for source in sources))
    weight = node.arguments.get("weight")
    if node.op == "linear" and isinstance(weight, Tensor):
        rows, columns = weight.shape
        more = network.absorbed[node.index].terms if node.index in network.absorbed else 0
        return columns + more + 1, rows + more
    if node.op == "convolution" and isinstance(weight, Tensor):
        taps, groups = weight[0, 0].numel(), node.arguments["groups"]
        across = (weight.shape[1] * taps + 1, weight.shape[0] // groups * taps)
        return (across[1] + 1, across[0]) if node.arguments["transposed"] else across
    if node.op in ("add", "mul"):
        return len(sources) + 1, spread
    if node.op in ("expand", "repeat"):
        return 0, spread
    if node.op in ("sum", "mean"):
        return math.ceil(read / node.elements) + 1, 2
    return read + 1, node.elements


@dataclass(eq=False)
class Roundoff:
    """The charges of one pass.

    Attributes:
        network: in the arithmetic of the pass.
        run: also charge the model's own run in float32.
        reach: node -> largest magnitudes ``[n, elements]`` where the pass shall use these, and not its own bounds.
    """

    network: Network
    run: bool
    underflow: Tensor | float = 0.0
    reach: Mapping[int, Tensor] = field(default_factory=dict)
    _affine: dict[int, Tensor] = field(default_factory=dict)
    _own: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def over(cls, network: Network, bounds: Mapping[int, Bounds], batch: int, *, run: bool) -> Roundoff:
        """Charges for passes over parts of sets of which all bounds are known; for runs if the bounds hold there."""
        result = cls(network, run, reach={index: largest_of(found, batch) for index, found in bounds.items()})
        for node in network.graph.nodes[1:]:
            result._forward(node, bounds[node.index], [bounds[i] for i in node.inputs], batch)
        return result

    def take(self, samples: Tensor) -> Roundoff:
        """The charges of the sets ``samples``, in their order; without copies where there is one set."""
        affine, own, reach = (
            {index: rows_of(table, samples) for index, table in tables.items()}
            for tables in (self._affine, self._own, self.reach)
        )
        underflow = self.underflow if isinstance(self.underflow, float) else rows_of(self.underflow, samples)
        return Roundoff(self.network, self.run, underflow, reach, affine, own)

    @property
    def _unit(self) -> float:
        return torch.finfo(self.network.graph.dtype).eps / 2

    def gamma(self, terms: float) -> float:
        """Relative error of a sum of so many products in this arithmetic, and a little more."""
        return ABOVE * gamma(terms, self._unit)

    def widened(self, node: Node, found: Bounds, operands: Sequence[Bounds], batch: int) -> Bounds:
        """Interval bounds of a node that hold for real numbers and for runs, where they were computed in this
        arithmetic from such bounds."""
        lost = [part for part in self._forward(node, found, operands, batch) if part is not None]
        if not lost:
            return found
        total = sum(lost[1:], lost[0]).reshape(found.lower.shape)
        return Bounds(found.lower - total, found.upper + total)

    def _forward(
        self, node: Node, found: Bounds, operands: Sequence[Bounds], batch: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """How far a run may be off ``[batch, elements]``, and the interval pass itself; None for nothing."""
        largest = [_largest(bounds) for bounds in operands]
        tiny = torch.finfo(found.lower.dtype).tiny
        if node.kind is not Kind.AFFINE:
            sizes = [size.reshape(batch, -1) for size in largest]
            shared = node.windows.shape[1] if node.windows is not None else 1  # windows that may hold one element
            self.underflow = self.underflow + 16 * shared * tiny * sum(sizes[1:], sizes[0]).sum(1, keepdim=True)
            if not self.run or node.op == "relu" or node.kind is Kind.MAXIMUM:
                return None, None
            size = _largest(found).reshape(batch, -1)
            size = size if node.op in RELATIVE else torch.stack([size, *sizes]).amax(0)
            self._own[node.index] = FUNCTION_UNITS * RUN_UNIT * ABOVE * size + RUN_TINY
            return self._own[node.index], None
        forward, backward = sum_lengths(self.network, node)
        offset = self.network.offsets.get(node.index)
        if not forward and not backward and offset is None:
            return None, None
        magnitude = self._magnitude(node, largest, batch, offset)
        self.underflow = self.underflow + tiny * (forward + backward + 16) * magnitude.sum(1, keepdim=True)
        charge = ABOVE * gamma(backward + 3, self._unit) * magnitude
        if offset is not None:
            charge = charge + ABOVE * gamma(len(offset) + len(self.network.graph.nodes) + 2, self._unit) * offset.abs()
        drift = self._drift(node, magnitude)
        if drift is not None:  # real numbers, too, are those of the model's own constants
            charge = charge + drift
        own = None
        if self.run and forward:
            own = ABOVE * gamma(forward + 1, RUN_UNIT) * magnitude + RUN_TINY * forward
            self._own[node.index] = own
        self._affine[node.index] = charge if own is None else charge + own
        lost = 2 * ABOVE * gamma(forward + 2, self._unit) * magnitude + tiny * forward if forward else None
        if drift is not None:
            lost = drift if lost is None else lost + drift
        return own, lost

    def _drift(self, node: Node, magnitude: Tensor) -> Tensor | None:
        """How far a node may be off because its constants are not the model's own: ``[batch, elements]``."""
        found = self.network.drifts.get(node.index)
        return None if found is None else ABOVE * found[0] * (magnitude + found[1])

    def of_points(self, node: Node, points: Sequence[Tensor], errors: Sequence[Tensor], batch: int) -> Tensor:
        """How far an affine node may be off where its operands are computed points: ``[batch, elements]``.

        Args:
            node: in this arithmetic; ``widened`` has seen it.
            points: of its operands ``[batch, *shape]``.
            errors: how far each of them is off, of the same shapes.
            batch: number of points.
        """
        forward, _ = sum_lengths(self.network, node)
        offset = self.network.offsets.get(node.index)
        sizes = [point.abs() + error for point, error in zip(points, errors, strict=True)]
        if node.op in BILINEAR:
            carried = node.apply(errors, batch, **absolute_coefficients(node)).reshape(batch, -1)
        else:
            carried = node.apply(errors, batch).reshape(batch, -1)
            if offset is not None:
                carried = (carried - offset).clamp_min(0) + self.gamma(4) * (carried.abs() + offset.abs())
        tiny = torch.finfo(carried.dtype).tiny
        lost = ABOVE * carried + tiny * forward
        magnitude = self._magnitude(node, sizes, batch, offset)
        if forward:
            lost = lost + 2 * ABOVE * gamma(forward + 2, self._unit) * magnitude
        drift = self._drift(node, magnitude)
        lost = lost if drift is None else lost + drift
        own = self._own.get(node.index)
        return lost if own is None else lost + own

    def of_form(self, size: Tensor, terms: int) -> Tensor:
        """What sums of so many numbers may be off, whose magnitudes add up to ``size``."""
        share = self.gamma(terms + 4)
        if math.isinf(share):
            return torch.full_like(size, torch.inf)
        return share * size + terms * torch.finfo(size.dtype).tiny

    def of_forms(self, node: Node, sizes: Sequence[Tensor], batch: int) -> Tensor | None:
        """How far an affine node may be off where its operands are forms of ``sizes``, each ``[batch, elements]``.

        What a run does there is included, where runs are charged; ``widened`` has seen the node.
        """
        forward, _ = sum_lengths(self.network, node)
        own = self._own.get(node.index)
        if not forward:
            return own
        sources = [self.network.graph.nodes[index] for index in node.inputs]
        shaped = [size.reshape(source.batched(batch)) for size, source in zip(sizes, sources, strict=True)]
        magnitude = self._magnitude(node, shaped, batch, self.network.offsets.get(node.index))
        lost = self.of_form(magnitude, forward)
        drift = self._drift(node, magnitude)
        lost = lost if drift is None else lost + drift
        return lost if own is None else lost + own

    def of_prefix(self) -> float:
        """Relative error of rows of affine functions of the input, multiplied out backward."""
        nodes = (self.network.graph.nodes[index] for index in self.network.affine_prefix if index)
        return self.gamma(sum(sum_lengths(self.network, node)[1] + 2 for node in nodes))

    def _magnitude(self, node: Node, largest: Sequence[Tensor], batch: int, offset: Tensor | None) -> Tensor:
        """``|W| |u| + |b|`` or more, with all that a rounded ``b`` was added up from: ``[batch, elements]``."""
        if node.op in BILINEAR:
            found = node.apply(largest, batch, **absolute_coefficients(node)).reshape(batch, -1)
            absorbed = self.network.absorbed.get(node.index)
            if absorbed is not None:
                return found + absorbed.magnitude.to(found)
            return found if offset is None else found + offset.abs()
        found = node.apply(largest, batch).reshape(batch, -1)  # no coefficient is negative
        return found if offset is None else found + 2 * offset.abs()

    def affordable(self, bounds: Mapping[int, Bounds]) -> bool:
        """Whether what a run rounds is little against the widths of the bounds of all nodes."""
        for index, own in self._own.items():
            width = (bounds[index].upper - bounds[index].lower).sum()
            if not bool(own.sum() <= AFFORDABLE * width):
                return False
        return True

    def own(self, index: int) -> Tensor | None:
        """By how much a run's value of a node may differ from what it should be, given its operands."""
        return self._own.get(index)

    def of_affine(self, index: int) -> Tensor | None:
        """The charge ``[n, elements]`` per unit of coefficient for a step through an affine node; None for nothing."""
        return self._affine.get(index)

    def of_lines(self, node: Node, relaxed: Relaxation | MaximumRelaxation, operands: Sequence[Tensor]) -> Tensor:
        """The same for a step through lines.

        Args:
            node: the nonlinear node.
            relaxed: its lines, with families where they may be mixed.
            operands: largest magnitudes ``[n, elements]`` of each operand.
        """
        if isinstance(relaxed, MaximumRelaxation):
            reach, level = _planes(relaxed, operands[0])
            terms = relaxed.windows.shape[1] + 8
        else:
            sides = [_line(side, operands) for side in (relaxed.lower, relaxed.upper)]
            reach, level = (torch.maximum(sides[0][i], sides[1][i]) for i in (0, 1))
            terms = 8
        terms_of_level = node.elements + len(self.network.graph.nodes) + 8
        charge = ABOVE * (gamma(terms, self._unit) * reach + gamma(terms_of_level, self._unit) * level)
        own = self._own.get(node.index)
        return charge if own is None else charge + own

    def underflow_of(self, samples: Tensor | None) -> Tensor | None:
        """What numbers too small for the arithmetic take from any function: ``[n, 1]``."""
        if isinstance(self.underflow, float):
            return None
        return self.underflow if samples is None else self.underflow[samples]

    def of_sum(self, sizes: Tensor) -> Tensor:
        """The same for adding up coefficients of a node of magnitudes ``[n, elements]``, as several nodes read it."""
        return ABOVE * self._unit * sizes

    def of_ends(self, sizes: Tensor) -> Tensor:
        """The same for taking the minimum over a box of magnitudes ``[n, elements]``."""
        terms = sizes.shape[1] + len(self.network.graph.nodes) + 6
        return ABOVE * gamma(terms, self._unit) * sizes


def rows_of(table: Tensor, samples: Tensor) -> Tensor:
    """``table [s, ...]`` at ``samples [n]``; without a copy where there is one row."""
    return table.expand(len(samples), *table.shape[1:]) if len(table) == 1 else table[samples]


def largest_of(bounds: Bounds, batch: int) -> Tensor:
    """The largest magnitude of each element: ``[batch, elements]``."""
    return _largest(bounds).reshape(batch, -1)


def _largest(bounds: Bounds) -> Tensor:
    return torch.maximum(bounds.lower.abs(), bounds.upper.abs())


def _line(lines: Lines, operands: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The largest ``|slope| |operand|`` and ``|intercept|`` of a line and its family: ``[n, elements]``."""
    reach = torch.zeros_like(operands[0])
    for place, (slope, size) in enumerate(zip(lines.slopes, operands, strict=True)):
        steepest = slope.abs()
        if lines.family is not None:
            steepest = torch.maximum(steepest, lines.family.slopes[place].abs().amax(0))
        reach = reach + steepest * size
    level = torch.zeros_like(reach) if lines.intercept is None else lines.intercept.abs()
    if lines.family is not None and lines.family.intercept is not None:
        level = torch.maximum(level, lines.family.intercept.abs().amax(0))
    return reach, level


def _planes(relaxed: MaximumRelaxation, operand: Tensor) -> tuple[Tensor, Tensor]:
    weights = torch.maximum(relaxed.lower.weights.abs(), relaxed.upper.weights.abs())
    return (weights * operand[:, relaxed.windows]).sum(2), relaxed.upper.intercept.abs()
