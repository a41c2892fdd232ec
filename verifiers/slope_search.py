"""Optimised lines: among the valid lines of every open neuron those that make a bound largest.

alpha-CROWN (Xu et al., Fast and Complete: Enabling Complete Verification with Rapid and Massively Parallel Incomplete
Verifiers, 2021). Two things are done differently. The bounds of inner nodes are optimised layer by layer, each for its
own sake, and then fixed: what is best for a neuron depends on earlier bounds alone, and every later bound only gains
from it, so nothing is lost against optimising all of them together. And with inner bounds fixed, the gradient needs
no automatic differentiation: a bound is the value of the relaxed network, where every neuron is on one of its two
lines, at the point that minimises it (duality of linear programs), so that the derivative by a neuron's slope is its
coefficient times its value at that point: one forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.graph import Kind, Node
from verifiers.functions import Coefficients, Functions
from verifiers.linear_bounds import LinearBounds, Toll, gather, through_affine
from verifiers.memory import Effort
from verifiers.relaxations import Family, Lines, Relaxation
from verifiers.relaxations.maximum import MaximumRelaxation

RATE = 0.25
DECAY = 0.9
"""First step of a parameter, as a share of its range, and what a step is of the one before it."""
MEMORY = 0.6
"""What the direction of a step keeps of the one before it."""


@dataclass(eq=False)
class Choice:
    """The lines of one node that are in use, and how they follow from the parameter.

    ``parameter`` ``[n, m, elements]``: for a *direct* choice the lower slope itself, between ``low`` and ``high``; else
    a share in [0, 1] of the way through the family of whichever line the coefficient's sign picks.
    """

    node: Node
    lines: Relaxation
    direct: bool
    parameter: Tensor
    low: Tensor
    high: Tensor
    momentum: Tensor | None = None
    rising: Tensor = field(default_factory=lambda: torch.empty(0))
    coefficients: Tensor = field(default_factory=lambda: torch.empty(0))
    slopes: tuple[Tensor, ...] = ()
    intercept: Tensor | None = None

    def through(self, coefficients: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Coefficients on the operands; remembers which line each neuron is on."""
        self.coefficients, self.rising = coefficients, coefficients > 0
        if self.direct:
            (above,) = self.lines.upper.slopes
            self.slopes = (torch.where(self.rising, self.parameter, above[:, None]),)
            self.intercept = None
        else:
            lower = _mixed(self.lines.lower, self.parameter)
            upper = _mixed(self.lines.upper, self.parameter)
            self.slopes = tuple(
                torch.where(self.rising, below, above) for below, above in zip(lower[0], upper[0], strict=True)
            )
            self.intercept = torch.where(self.rising, lower[1], upper[1])
        parts = [coefficients * slope for slope in self.slopes]
        if self.intercept is not None:
            return parts, (coefficients * self.intercept).sum(2)
        above_zero = self.lines.upper.intercept
        if above_zero is None:
            return parts, None
        return parts, torch.bmm(coefficients.clamp_max(0), above_zero[:, :, None])[:, :, 0]

    def values(self, operands: Sequence[Tensor]) -> Tensor:
        """What the node is worth on its lines, for operands ``[n, m, elements]``."""
        total = sum(
            (slope * x for slope, x in zip(self.slopes[1:], operands[1:], strict=True)), self.slopes[0] * operands[0]
        )
        if self.intercept is not None:
            return total + self.intercept
        above_zero = self.lines.upper.intercept
        return total if above_zero is None else torch.addcmul(total, (~self.rising).to(total), above_zero[:, None])

    def climb(self, operands: Sequence[Tensor], rate: float) -> None:
        """One step up the gradient, by its sign."""
        if self.direct:
            gradient = self.coefficients.clamp_min(0) * operands[0]
        else:
            below = _gradient(self.lines.lower, self.parameter, operands)
            above = _gradient(self.lines.upper, self.parameter, operands)
            gradient = self.coefficients * torch.where(self.rising, below, above)
        if self.parameter.shape[1] == 1 < gradient.shape[1]:
            gradient = gradient.sum(1, keepdim=True)
        if self.momentum is None:
            self.momentum = gradient
        else:
            self.momentum.mul_(MEMORY).add_(gradient, alpha=1 - MEMORY)
        self.parameter = torch.clamp(self.parameter.add(self.momentum.sign(), alpha=rate), self.low, self.high)


def _segment(family: Family, parameter: Tensor) -> tuple[Tensor, Tensor]:
    position = parameter * (len(family.slopes[0]) - 1)
    start = position.floor().clamp_max(len(family.slopes[0]) - 2)
    return start, position - start


def _pick(table: Tensor, start: Tensor) -> Tensor:
    """``table [K, n, elements]`` at ``start [n, m, elements]``."""
    result = table[0][:, None].expand(start.shape)
    for k in range(1, len(table)):
        result = torch.where(start == k, table[k][:, None], result)
    return result


def _mixed(lines: Lines, parameter: Tensor) -> tuple[list[Tensor], Tensor]:
    family = lines.family
    if family is None:
        zero = torch.zeros_like(lines.slopes[0]) if lines.intercept is None else lines.intercept
        return [slope[:, None] for slope in lines.slopes], zero[:, None]
    start, share = _segment(family, parameter)
    slopes = [_pick(table, start) + share * _pick(table.diff(dim=0), start) for table in family.slopes]
    if family.intercept is None:
        return slopes, torch.zeros_like(slopes[0])
    return slopes, _pick(family.intercept, start) + share * _pick(family.intercept.diff(dim=0), start)


def _gradient(lines: Lines, parameter: Tensor, operands: Sequence[Tensor]) -> Tensor:
    """Derivative of the line's value by the parameter, up to a positive factor."""
    family = lines.family
    if family is None:
        return torch.zeros_like(operands[0])
    start, _ = _segment(family, parameter)
    total = torch.zeros_like(operands[0])
    for table, x in zip(family.slopes, operands, strict=True):
        total = torch.addcmul(total, _pick(table.diff(dim=0), start), x)
    return total if family.intercept is None else total + _pick(family.intercept.diff(dim=0), start)


@dataclass(eq=False)
class SlopeSearch:
    """Optimisation of the lines for functions of one batch.

    Attributes:
        linear: the pass, with bounds of all nodes below.
        samples: which sets of the region; None for all.
        effort: asked between steps whether time is up.
        shared: one parameter per neuron for all functions of a sample, instead of one for each.
        apart: keep account of what rounding takes for the model's own runs.
        reached: the best bounds ``[n, m]``, after ``maximise``: less all that was charged, less what was charged for
            real numbers, and as computed. The last two are kept where ``apart`` says so.
    """

    linear: LinearBounds
    samples: Tensor | None = None
    shared: bool = False
    effort: Effort = field(default_factory=Effort)
    apart: bool = False
    reached: tuple[Tensor, ...] = ()
    _choices: dict[int, Choice | MaximumRelaxation] = field(default_factory=dict)
    _masks: dict[int, Tensor] = field(default_factory=dict)
    _last: tuple[Tensor, ...] = ()

    def maximise(self, functions: Functions, steps: int, target: Tensor | None = None) -> Tensor:
        """The best lower bounds ``[n, m]`` that ``steps`` steps find; stops early when all exceed ``target [n, m]``.

        Where the pass asks about rounding, it is taken off.
        """
        best, rate = self._descend(functions), RATE
        self.reached = self._last
        for _ in range(steps):
            self.effort.check()
            if target is not None and bool((best > target).all()):
                break
            self._climb(functions, rate)
            best = torch.maximum(best, self._descend(functions))
            self.reached = tuple(map(torch.maximum, self.reached, self._last))
            rate *= DECAY
        return best

    def _descend(self, functions: Functions) -> Tensor:
        linear, total = self.linear, functions.constant
        toll = Toll(linear, self.samples, family=True, apart=self.apart)
        count = len(linear.region) if self.samples is None else len(self.samples)
        collected = {
            index: Coefficients(found.dense().expand(count, -1, -1)) for index, found in functions.coefficients.items()
        }
        graph = linear.network.graph
        for node in reversed(graph.nodes[1 : max(collected) + 1]):
            current = collected.pop(node.index, None)
            if current is None:
                continue
            current, constant = self._enter(node, current, toll)
            total = total if constant is None else total + constant
            if node.kind is Kind.AFFINE:
                parts, constant = through_affine(linear.network, node, current)
            else:
                found, constant = self._through(node, current.values)
                parts = [Coefficients(part) for part in found]
            total = total if constant is None else total + constant
            toll.step(node, current)
            gather(collected, node, parts, toll)
        if 0 in collected:
            current, constant = self._enter(graph.nodes[0], collected[0], toll)
            self._input = current.values
            toll.ends(current, 0)
            total = (total if constant is None else total + constant) + self._least(self._input, toll)
        bound = toll.off(total).expand(count, -1)
        self._last = (bound,)
        if self.apart:
            self._last = (bound, toll.of_reals(total).expand(count, -1), total.expand(count, -1))
        return bound

    def _enter(self, node: Node, coefficients: Coefficients, toll: Toll) -> tuple[Coefficients, Tensor | None]:
        """Called with all coefficients on a node, before they go on; may change them and add a constant."""
        return coefficients, None

    def _leave(self, node: Node, values: Tensor, rate: float) -> None:
        """Called on the way forward with a node's values ``[n, m, elements]`` at the minimising point."""

    def _least(self, coefficients: Tensor, toll: Toll) -> Tensor:
        """Minimum ``[n, m]`` of functions of the input."""
        region = self.linear.region if self.samples is None else self.linear.region.take(self.samples)
        self._region = region
        return toll.minimum(region, Coefficients(coefficients))

    def _point(self) -> Tensor:
        """Where the functions of the last pass are minimal: ``[n, m, inputs]``."""
        return self._region.minimiser(self._input)

    def _through(self, node: Node, coefficients: Tensor) -> tuple[list[Tensor], Tensor | None]:
        choice = self._choices.get(node.index)
        if choice is None:
            choice = self._choices[node.index] = self._start(node, coefficients)
        if isinstance(choice, MaximumRelaxation):
            self._masks[node.index] = coefficients > 0
            elements = self.linear.network.graph.nodes[node.inputs[0]].elements
            part, constant = choice.through(elements, coefficients)
            return [part], constant
        return choice.through(coefficients)

    def _start(self, node: Node, coefficients: Tensor) -> Choice | MaximumRelaxation:
        relaxed = self.linear.relaxation(node, family=True)
        if self.samples is not None:
            relaxed = relaxed.take(self.samples)
        if isinstance(relaxed, MaximumRelaxation):
            return relaxed
        lower, upper = relaxed.lower.family, relaxed.upper.family
        batch = len(relaxed.lower.slopes[0])
        shape = (batch, 1 if self.shared else coefficients.shape[1], coefficients.shape[2])
        if lower is not None and lower.intercept is None and len(lower.slopes[0]) == 2 and upper is None:
            ends = lower.slopes[0]
            return Choice(
                node, relaxed, True, relaxed.lower.slopes[0][:, None].expand(shape), ends[0][:, None], ends[1][:, None]
            )
        zero = torch.zeros((), dtype=coefficients.dtype, device=coefficients.device)
        half = torch.full_like(relaxed.lower.slopes[0], 0.5)
        starts = [half if family is None else family.start / (len(family.slopes[0]) - 1) for family in (lower, upper)]
        start = torch.where(coefficients > 0, starts[0][:, None], starts[1][:, None])
        return Choice(node, relaxed, False, start[:, :1] if self.shared else start, zero, zero + 1)

    def _climb(self, functions: Functions, rate: float) -> None:
        """Run the relaxed network forward from the minimising inputs, and move every parameter."""
        graph = self.linear.network.graph
        point = self._point()
        count, rows = functions.constant.shape
        count = max(count, len(point))
        batch = count * rows
        point = point.expand(count, rows, -1)
        values: dict[int, Tensor] = {0: point}
        self._leave(graph.nodes[0], point, rate)
        last = max(functions.coefficients)
        for node in graph.nodes[1 : last + 1]:
            if any(source not in values for source in node.inputs):
                continue
            choice = self._choices.get(node.index)
            if choice is None:
                if node.kind is not Kind.AFFINE:
                    continue
                operands = [values[i].reshape(graph.nodes[i].batched(batch)) for i in node.inputs]
                values[node.index] = node.apply(operands, batch).reshape(count, rows, -1)
            elif isinstance(choice, MaximumRelaxation):
                values[node.index] = choice.values(values[node.inputs[0]], self._masks[node.index])
            else:
                operands = [values[i] for i in node.inputs]
                values[node.index] = choice.values(operands)
                choice.climb(operands, rate)
            self._leave(node, values[node.index], rate)
