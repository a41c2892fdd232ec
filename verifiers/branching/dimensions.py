"""Which input to split: the one whose variation causes most of what relaxations lose.

A bound falls short of the truth by what the lines of nonlinear nodes leave between them. How much an input widens the
operands of such nodes is seen by moving it alone through the network; weighted with the gap between the lines, and
with the coefficient that the node has in the bound, it tells what halving that input would gain.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robust.graph import Graph, Node
from verifiers.branching.boxes import Boxes
from verifiers.linear_bounds import LinearBounds
from verifiers.relaxations.maximum import MaximumRelaxation

SMEAR = 0.01
"""Share of coefficient times width, of the row's largest, in what a dimension is chosen by: decides where nothing
is relaxed."""


def scores(
    linear: LinearBounds,
    passed: Mapping[int, Tensor],
    rows: Tensor,
    boxes: Boxes,
    slopes: Tensor,
    wanted: Tensor,
    single: Graph,
    x: Tensor,
    varying: Tensor,
) -> Tensor:
    """How much each dimension matters to the constraints of open clauses: ``[n, d]``.

    Args:
        linear: bounds and lines, of ``k`` boxes.
        passed: nonlinear node -> coefficients ``[k, m, elements]`` of the constraints there.
        rows: int64 ``[n]``, which of them are left.
        boxes: what is left, ``n``.
        slopes: ``[n, m, d]`` of the constraints.
        wanted: bool ``[n, m]``: the constraints of open clauses.
        single: the graph in float32.
        x: float32 ``[n, inputs]``, a point of each box; its varying inputs do not matter.
        varying: int64 ``[d]``.
    """
    counted = wanted.to(slopes)
    weights = {}
    for index, coefficients in passed.items():
        chosen = coefficients.expand(len(linear.region), -1, -1)[rows].abs()
        weights[index] = torch.bmm(counted[:, None], chosen)[:, 0]
    width = (boxes.upper - boxes.lower).float()
    middle = ((boxes.lower + boxes.upper) / 2).float()
    points = x[:, None].repeat(1, boxes.lower.shape[1] + 1, 1)
    points[:, :, varying] = torch.cat([middle[:, None], middle[:, None] + torch.diag_embed(width / 2)], 1)
    gain = gains(linear, weights, rows, single, points)
    smear = torch.bmm(counted[:, None], slopes.abs())[:, 0].float() * width
    smear = torch.nan_to_num(smear, nan=0.0, posinf=0.0)
    return _normed(gain) + SMEAR * _normed(smear) + 1e-6 * _normed(width)


def gains(linear: LinearBounds, weights: Mapping[int, Tensor], samples: Tensor, single: Graph, x: Tensor) -> Tensor:
    """What each varying input contributes to the gaps of relaxations: ``[n, d]``, in float32, at least 0.

    Args:
        linear: bounds and lines.
        weights: nonlinear node -> ``[n, elements]``, at least 0: how much its value counts.
        samples: int64 ``[n]``, which sets of the region.
        single: the graph in float32.
        x: float32 ``[n, d + 1, inputs]``: a point of each set, then that point with one input moved, for each.
    """
    count, moves = x.shape[0], x.shape[1] - 1
    batch = count * (moves + 1)
    values = {0: x.reshape(single.nodes[0].batched(batch))}
    total = x.new_zeros(count, moves)
    last = max(weights, default=0)
    for node in single.nodes[1 : last + 1]:
        if node.index in weights:
            weight = (weights[node.index] * _share(linear, node, samples)).float()
            for source in set(node.inputs):
                spread = values[source].reshape(count, moves + 1, -1)
                moved = (spread[:, 1:] - spread[:, :1]).abs()
                total = total + torch.bmm(moved, _weight_of(weight, moved)[:, :, None])[:, :, 0]
        values[node.index] = node.apply([values[i] for i in node.inputs], batch)
    return torch.nan_to_num(total, nan=0.0, posinf=0.0)


def _weight_of(weight: Tensor, moved: Tensor) -> Tensor:
    """A node's weights on an operand; of operands of another size (windows) the mean on each element."""
    if weight.shape[1] == moved.shape[2]:
        return weight
    return weight.mean(1, keepdim=True).expand(-1, moved.shape[2])


def _share(linear: LinearBounds, node: Node, samples: Tensor) -> Tensor:
    """The gap between the lines in the middle of the operands, per width of these: ``[n, elements]``."""
    relaxed = linear.relaxation(node).take(samples)
    if isinstance(relaxed, MaximumRelaxation):
        return torch.ones(1, 1, dtype=linear.network.graph.dtype, device=samples.device)
    gap = width = torch.zeros_like(relaxed.upper.slopes[0])
    for above, below, source in zip(relaxed.upper.slopes, relaxed.lower.slopes, node.inputs, strict=True):
        low, high = (end[samples] for end in linear.bounds[source].flat(len(linear.region)))
        gap = gap + (above - below) * (low + high) / 2
        width = width + (high - low)
    for lines, sign in ((relaxed.upper, 1), (relaxed.lower, -1)):
        if lines.intercept is not None:
            gap = gap + sign * lines.intercept
    return torch.nan_to_num(
        gap / width.clamp_min(torch.finfo(width.dtype).tiny), nan=0.0, posinf=0.0, neginf=0.0
    ).clamp_min(0)


def _normed(values: Tensor) -> Tensor:
    """Rows ``[n, d]`` divided by their largest entry."""
    if values.shape[1] == 0:
        return values
    return values / values.amax(1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)
