"""Backward linear bounds: one pass from linear functions of a node to linear functions of the input.

A pure function of (network, region, coefficients, intermediate bounds, slopes, arithmetic): given the intermediate
bounds and slopes, the same pass serves the search and, in another arithmetic, the confirmation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import Kind, Node
from verifiers.adjoint import adjoint
from verifiers.interval import Bounds
from verifiers.network import Network
from verifiers.region import Region
from verifiers.relaxations import RELAXATIONS, Relaxation, Rule


@dataclass(eq=False)
class MaximumRule:
    """Bounds of maxima over windows, for one batch of operand bounds.

    From below: the operand element with the largest lower bound. From above: that same element where no other of the
    window can exceed it, else the largest upper bound, a constant.

    Attributes:
        picked: int64 ``[n, elements]``, flat place of that element.
        decided: ``[n, elements]``, 1 where no other can exceed it, else 0.
        ceiling: ``[n, elements]``, largest upper bound where undecided, else 0.
        undecided: bool ``[n, operand elements]``: elements whose bounds, were they tighter, could decide a window.
    """

    picked: Tensor
    decided: Tensor
    ceiling: Tensor
    undecided: Tensor

    def take(self, samples: Tensor) -> MaximumRule:
        """The rule of some of the samples."""
        parts = (self.picked, self.decided, self.ceiling, self.undecided)
        return MaximumRule(*[part[samples] for part in parts])


def maximum_rule(node: Node, lower: Tensor, upper: Tensor) -> MaximumRule:
    """Relax a ``Kind.MAXIMUM`` node from bounds ``[n, operand elements]``."""
    windows = node.windows
    if windows is None:
        raise UnsupportedOperatorError(f"{node.op} has no windows, at {node.place}")
    nothing = torch.full_like(lower[:, :1], -torch.inf)
    low = torch.cat([lower, nothing], 1)[:, windows]
    high = torch.cat([upper, nothing], 1)[:, windows]
    best, place = low.max(2)
    others = high.scatter(2, place[:, :, None], -torch.inf).amax(2)
    decided = others <= best
    picked = windows[None].expand(len(lower), -1, -1).gather(2, place[:, :, None])[:, :, 0]
    rival = (~decided)[:, :, None] & (high > best[:, :, None])
    flagged = torch.zeros(len(lower), lower.shape[1] + 1, dtype=torch.bool, device=lower.device)
    target = torch.where(windows < 0, lower.shape[1], windows)[None].expand_as(rival).reshape(len(lower), -1)
    flagged = flagged.scatter_reduce(1, target, rival.reshape(len(lower), -1), reduce="amax")
    ceiling = torch.where(decided, torch.zeros_like(best), high.amax(2))
    return MaximumRule(picked, decided.to(lower), ceiling, flagged[:, :-1])


@dataclass(eq=False)
class LinearBounds:
    """The backward pass over one network and region, with bounds of the nodes that nonlinear nodes read.

    Attributes:
        network: what is bounded.
        region: ``n`` input sets, in the network's arithmetic.
        bounds: node -> its bounds; complete up to whatever node the pass starts from.
        slopes: nonlinear node -> lower slopes ``[n, elements]`` to use instead of the default ones.
        rules: operator -> relaxation.
    """

    network: Network
    region: Region
    bounds: Mapping[int, Bounds]
    slopes: Mapping[int, Tensor] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=lambda: RELAXATIONS)
    _relaxed: dict[int, Relaxation | MaximumRule] = field(default_factory=dict)

    def minimum(
        self,
        index: int,
        coefficients: Tensor,
        *,
        samples: Tensor | None = None,
        stop_at_nonlinear: bool = False,
    ) -> Tensor:
        """Lower bounds of linear functions of a node's value.

        Args:
            index: the node.
            coefficients: ``[n, m, elements]``: ``m`` functions per sample.
            samples: int64 ``[n]``, which sets of the region they are asked of; all of them, in order, by default.
            stop_at_nonlinear: take interval bounds where the pass meets a nonlinear node (this is IBP with its last
                affine layers merged into the question) instead of relaxing it.

        Returns:
            ``[n, m]``; NaN where bounds overflow.
        """
        graph = self.network.graph
        total = torch.zeros_like(coefficients[:, :, 0])
        collected = {index: coefficients}
        for node in reversed(graph.nodes[1 : index + 1]):
            current = collected.pop(node.index, None)
            if current is None:
                continue
            if node.kind is Kind.AFFINE:
                constant = self.network.offsets.get(node.index)
                if constant is not None:
                    total = total + current @ constant
                parts = adjoint(graph, node, current)
            elif stop_at_nonlinear:
                ends = self.bounds[node.index].flat(len(self.region))
                total = total + interval_minimum(current, *(_rows(end, samples) for end in ends))
                continue
            else:
                part, constant = self._through(node, current, samples)
                total, parts = total + constant, [part]
            for source, part in zip(node.inputs, parts, strict=True):
                collected[source] = collected[source] + part if source in collected else part
        region = self.region if samples is None else self.region.take(samples)
        return total + region.minimum(collected[0]) if 0 in collected else total

    def _through(self, node: Node, coefficients: Tensor, samples: Tensor | None) -> tuple[Tensor, Tensor]:
        relaxed = self._relaxation(node)
        if samples is not None:
            relaxed = relaxed.take(samples)
        if isinstance(relaxed, MaximumRule):
            return _through_maximum(self.network, node, relaxed, coefficients)
        rising, falling = coefficients.clamp_min(0), coefficients.clamp_max(0)
        constant = torch.bmm(falling, relaxed.upper_intercept[:, :, None])[:, :, 0]
        if relaxed.lower_intercept is not None:
            constant = constant + torch.bmm(rising, relaxed.lower_intercept[:, :, None])[:, :, 0]
        return rising.mul_(relaxed.lower_slope[:, None]).add_(falling.mul_(relaxed.upper_slope[:, None])), constant

    def _relaxation(self, node: Node) -> Relaxation | MaximumRule:
        if node.index not in self._relaxed:
            lower, upper = self.bounds[node.inputs[0]].flat(len(self.region))
            if node.kind is Kind.MAXIMUM:
                self._relaxed[node.index] = maximum_rule(node, lower, upper)
            elif node.op in self.rules:
                self._relaxed[node.index] = self.rules[node.op](node, lower, upper, self.slopes.get(node.index))
            else:
                raise UnsupportedOperatorError(f"linear bounds have no relaxation of {node.op}, at {node.place}")
        return self._relaxed[node.index]


def _rows(value: Tensor, samples: Tensor | None) -> Tensor:
    return value if samples is None else value[samples]


def interval_minimum(coefficients: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Minimum of ``[n, m, elements]`` linear functions over boxes ``[n, elements]``: ``[n, m]``."""
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    return (torch.bmm(coefficients, middle[:, :, None]) - torch.bmm(coefficients.abs(), half[:, :, None]))[:, :, 0]


def _through_maximum(network: Network, node: Node, rule: MaximumRule, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    rising, falling = coefficients.clamp_min(0), coefficients.clamp_max(0)
    constant = torch.bmm(falling, rule.ceiling[:, :, None])[:, :, 0]
    moved = rising + falling * rule.decided[:, None]
    samples, rows, _ = coefficients.shape
    result = coefficients.new_zeros(samples, rows, network.graph.nodes[node.inputs[0]].elements)
    return result.scatter_add_(2, rule.picked[:, None].expand_as(moved), moved), constant
