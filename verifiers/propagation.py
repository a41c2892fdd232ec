"""Bounds of every node, forward: intervals, and where they are loose and matter, CROWN.

CROWN (Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions, 2018) bounds a
neuron by relaxing every nonlinear node below it, backward to the input. It is run for the operands of nonlinear nodes
only, there only for neurons whose sign (or place in a maximum) intervals leave open, widest first. What it finds is
intersected with the interval bounds, and the intersection goes on forward.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.graph import Kind, Node
from robust.graph.operators import REARRANGING
from verifiers.interval import Bounds, interval_step
from verifiers.linear_bounds import LinearBounds, maximum_rule
from verifiers.network import Network
from verifiers.region import Region
from verifiers.relaxations import PIECEWISE_LINEAR
from verifiers.rounding import execution_noise

METHODS = ("interval", "crown")
GROUP = 8
"""Samples whose open neurons are bounded together: those with about as many."""


@dataclass(frozen=True)
class Effort:
    """How much work and memory a bound may take.

    Attributes:
        rows: at most so many neurons of one node are bounded by CROWN, the widest ones; the others keep intervals.
        bytes: aim for temporaries of at most about so many bytes. What stays near a processor's caches is up to three
            times as fast as what does not (``benchmarks/results/bounds.md``); an accelerator wants more.
    """

    rows: int = 4096
    bytes: int = 32 * 2**20


def propagate(network: Network, region: Region, method: str, effort: Effort) -> LinearBounds:
    """Bounds of all nodes, ready for backward passes.

    Args:
        network: in some arithmetic.
        region: ``n`` input sets in the same arithmetic.
        method: ``interval`` or ``crown``.
        effort: limits.
    """
    bounds: dict[int, Bounds] = {0: Bounds(region.lower, region.upper)}
    result = LinearBounds(network, region, bounds)
    exactness = {0: _Exactness.LOOSE if region.center is not None else _Exactness.BOX}
    centers = {} if region.center is None else {0: region.center}
    for node in network.graph.nodes[1:]:
        found = interval_step(node, [bounds[i] for i in node.inputs], len(region))
        exact = _exactness(node, network, exactness)
        if region.center is not None and node.index in network.affine_prefix:
            centers[node.index] = node.apply([centers[i] for i in node.inputs], len(region))
            if node.index in network.relaxed_operands:
                found = _dual_norm(network, region, node, centers[node.index], found)
        bounds[node.index], exactness[node.index] = found, exact
        if method == "crown" and exact == _Exactness.LOOSE and node.index in network.relaxed_operands:
            bounds[node.index] = _tightened(result, node, found, effort)
    return result


class _Exactness:
    """How good interval bounds of a node are: its values fill the box, reach each end, or neither."""

    BOX, REACHED, LOOSE = 0, 1, 2


def _exactness(node: Node, network: Network, known: dict[int, int]) -> int:
    worst = max(known[i] for i in node.inputs)
    if worst == _Exactness.LOOSE or node.kind is Kind.ELEMENTWISE:
        return worst
    source = network.graph.nodes[node.inputs[0]]
    diagonal = node.op in ("add", "mul") and source.shape == node.shape
    if len(node.inputs) == 1 and (node.op in REARRANGING or diagonal):
        return worst
    return _Exactness.REACHED if len(node.inputs) == 1 and worst == _Exactness.BOX else _Exactness.LOOSE


def _dual_norm(network: Network, region: Region, node: Node, center: Tensor, found: Bounds) -> Bounds:
    """Affine functions over an L2 ball reach ``radius * norm of the row`` beyond the centre's value, and no further."""
    norms = network.row_norms(node.index)
    if norms is None or region.radius is None:
        return found
    reach = (region.radius[:, None] * norms).reshape(center.shape)
    lower, upper = torch.maximum(found.lower, center - reach), torch.minimum(found.upper, center + reach)
    return Bounds(lower, upper)


def _tightened(linear: LinearBounds, node: Node, found: Bounds, effort: Effort) -> Bounds:
    batch = len(linear.region)
    lower, upper = found.flat(batch)
    score = torch.where(_open(linear.network, node, lower, upper), upper - lower, -1.0)
    counts = (score >= 0).sum(1).clamp_max(effort.rows)
    order = counts.argsort(descending=True, stable=True)
    lower, upper = lower.clone(), upper.clone()
    for samples in torch.split(order, GROUP):
        count = int(counts[samples[0]])
        if count == 0:
            break
        places = score[samples].topk(count, dim=1).indices
        for part in torch.split(places, chunk_rows(linear.network, len(samples), effort), dim=1):
            unit = torch.zeros(*part.shape, lower.shape[1], dtype=lower.dtype, device=lower.device)
            unit.scatter_(2, part[:, :, None], 1.0)
            low = linear.minimum(node.index, unit, samples=samples)
            high = -linear.minimum(node.index, unit.neg_(), samples=samples)
            at = (samples[:, None], part)
            lower[at], upper[at] = torch.maximum(lower[at], low), torch.minimum(upper[at], high)
    return Bounds(lower.reshape(found.lower.shape), upper.reshape(found.upper.shape))


def _open(network: Network, node: Node, lower: Tensor, upper: Tensor) -> Tensor:
    """Neurons whose bounds matter: bool ``[n, elements]``."""
    matters = torch.zeros_like(lower, dtype=torch.bool)
    for reader in network.graph.readers(node.index):
        if reader.kind is Kind.MAXIMUM:
            matters |= maximum_rule(reader, lower, upper).undecided
        elif reader.op in PIECEWISE_LINEAR:
            matters |= (lower < 0) & (upper > 0)
        elif reader.kind is Kind.ELEMENTWISE:
            matters |= upper > lower
    return matters


def chunk_rows(network: Network, batch: int, effort: Effort) -> int:
    """How many linear functions per sample a backward pass may carry at once."""
    itemsize = torch.finfo(network.graph.dtype).bits // 8
    return max(1, effort.bytes // (5 * itemsize * network.widest * batch))


def chunk_samples(network: Network, rows: int, effort: Effort) -> int:
    """How many samples may go together when each carries ``rows`` linear functions."""
    itemsize = torch.finfo(network.graph.dtype).bits // 8
    return max(1, min(256, effort.bytes // (5 * itemsize * network.widest * max(rows, 16))))


def lower_bounds(
    network: Network, region: Region, matrices: Tensor, method: str, effort: Effort | None = None
) -> Tensor:
    """Lower bounds of linear functions of the outputs over each region.

    Args:
        network: prepared graph.
        region: ``n`` input sets.
        matrices: ``[n, m, outputs]``: ``m`` functions for each.
        method: ``interval``, or ``crown`` (which is never below ``interval``).
        effort: limits on work and memory.

    Returns:
        ``[n, m]`` in the network's arithmetic; NaN where bounds overflow.
    """
    return bounds_and_noise(network, region, matrices, method, effort, noise=False)[:, :, 0]


def bounds_and_noise(
    network: Network,
    region: Region,
    matrices: Tensor,
    method: str,
    effort: Effort | None = None,
    *,
    noise: bool = True,
) -> Tensor:
    """``lower_bounds``, and beside them what float32 rounding of the model may be worth: ``[n, m, 2]``.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: wanted one of {METHODS}")
    effort = effort or Effort()
    graph = network.graph
    region, matrices = region.to(graph.dtype, graph.device), matrices.to(device=graph.device, dtype=graph.dtype)
    found = []
    with torch.no_grad():
        linear = propagate(network, region, method, effort)
        for part in torch.split(matrices, chunk_rows(network, len(region), effort), dim=1):
            best = linear.minimum(graph.output, part, stop_at_nonlinear=True)
            if method == "crown":
                best = torch.maximum(best, linear.minimum(graph.output, part))
            rounding = execution_noise(linear, graph.output, part) if noise else torch.zeros_like(best)
            found.append(torch.stack([best, rounding], 2))
    return torch.cat(found, 1)
