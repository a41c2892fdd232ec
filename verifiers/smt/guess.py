"""A cheap guess at a counterexample, so that the solver is asked only where it is needed.

Steepest descent of the clause's distance on the operation graph (normalised steps of the box's half width, shrinking),
from points that are handed in. No randomness: the same question gets the same guess.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robust.graph import Graph
from robust.properties import Box, Halfspaces

STEPS = 24


def descend(graph: Graph, box: Box, clause: Halfspaces, starts: Tensor, replays: Callable[[Tensor], Tensor]) -> Tensor:
    """Points of the box that the real model sends into the clause, if descent finds one.

    Args:
        graph: the network, differentiable.
        box: where the points may be.
        clause: what to reach.
        starts: ``[n, *input_shape]``.
        replays: from points to bool ``[n]``: whether the real model confirms each.

    Returns:
        ``[m, *input_shape]`` with ``m`` 0 or 1.
    """
    lower, upper = box.lower.to(starts), box.upper.to(starts)
    half, x = (upper - lower) / 2, box.clamp(starts)
    for step in range(STEPS):
        hits = replays(x).nonzero()
        if len(hits):
            return x[hits[0]]
        varying = x.detach().to(graph.dtype).requires_grad_(True)
        with torch.enable_grad():
            distance = clause.distance(graph.forward(varying).flatten(1))
            (gradient,) = torch.autograd.grad(distance.sum(), varying)
        x = box.clamp(x - half * 2 * (1 - step / STEPS) * gradient.sign().to(x))
    return x[:0]
