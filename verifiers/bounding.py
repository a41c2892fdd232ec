"""Lower bounds of linear functions of a network's outputs, over many input sets at once."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.graph import Graph
from verifiers.functions import Functions
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort, chunk_rows
from verifiers.methods import Method, method_of
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region
from verifiers.rounding import execution_noise
from verifiers.slope_search import SlopeSearch


def lower_bounds(
    network: Network | Graph,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort | None = None,
    *,
    target: float | None = None,
) -> Tensor:
    """Lower bounds of linear functions of the outputs over each region.

    Args:
        network: prepared graph.
        region: ``n`` input sets.
        matrices: ``[n, m, outputs]``: ``m`` functions for each; ``[1, m, outputs]``: the same for all.
        method: a name of ``METHODS``; each is at least as tight as the one before it.
        effort: limits on work and memory.
        target: optimisation may stop when all bounds exceed it; None: never.

    Returns:
        ``[n, m]`` in the network's arithmetic; NaN where bounds overflow.
    """
    return bounds_and_noise(network, region, matrices, method, effort, noise=False, target=target)[:, :, 0]


def bounds_and_noise(
    network: Network | Graph,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort | None = None,
    *,
    noise: bool = True,
    target: float | None = None,
) -> Tensor:
    """``lower_bounds``, and beside them what float32 rounding of the model may be worth: ``[n, m, 2]``.

    Raises:
        ValueError: unknown method.
    """
    chosen, effort = method_of(method), effort or Effort()
    network = network if isinstance(network, Network) else Network(network)
    graph = network.graph
    region, matrices = region.to(graph.dtype, graph.device), matrices.to(device=graph.device, dtype=graph.dtype)
    found = []
    with torch.no_grad():
        linear = propagate(network, region, chosen, effort)
        for part in torch.split(matrices, chunk_rows(network, len(region), effort), dim=1):
            best = _minimum(linear, Functions.of(graph.output, part), chosen, target)
            rounding = execution_noise(linear, graph.output, part) if noise else torch.zeros_like(best)
            found.append(torch.stack([best, rounding], 2))
    return torch.cat(found, 1)


def _minimum(linear: LinearBounds, functions: Functions, method: Method, target: float | None) -> Tensor:
    best = linear.minimum(functions, stop_at_nonlinear=True)
    if method.steps:
        return torch.maximum(best, SlopeSearch(linear).maximise(functions, method.steps, target))
    return torch.maximum(best, linear.minimum(functions)) if method.backward else best
