"""Local Lipschitz bounds: how much outputs can change per unit of input, anywhere in a region, sample by sample.

Over a convex region a function changes by at most the largest dual norm of its (generalised) gradient there times the
distance: L1 of the gradient for L-inf distances, L2 for L2. The gradient is enclosed elementwise by
``verifiers.sensitivity`` (Fast-Lip of Weng et al. 2018, here for any supported network and with node bounds of any
method; RecurJac of Zhang et al. 2019 and Shi et al. 2022 enclose it more tightly at a higher cost).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.graph import Graph, Kind
from robust.properties import Box
from verifiers.certify import rival_matrices
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort, chunk_samples
from verifiers.methods import method_of
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region, ball_region
from verifiers.rounding import MARGIN, execution_noise
from verifiers.roundoff import Roundoff
from verifiers.sensitivity import sensitivities

DUAL = {"linf": 1.0, "l2": 2.0, "l1": math.inf}
"""Norm of distances in the input -> order of the norm of gradients."""

LENGTH = {"linf": 0.0, "l2": 0.5, "l1": 1.0}
"""Norm -> the power of the number of inputs that is its largest value over the unit cube."""

WIDER = 1e-9
"""Share by which bounds are moved apart before derivatives are taken."""
INFLATION = 1e-9
"""The share that a bound computed in float64 is raised by."""


def lipschitz_bounds(
    graph: Graph | Network,
    region: Region,
    matrices: Tensor,
    *,
    norm: str,
    method: str,
    effort: Effort | None = None,
) -> Tensor:
    """Upper bounds of the local Lipschitz constants of linear functions of the outputs.

    For all ``x``, ``y`` of a region: ``|f(x) - f(y)| <= bound * ||x - y||``. Computed in float64 and raised a little;
    rounding is not bounded formally.

    Args:
        graph: the network.
        region: ``n`` convex input sets.
        matrices: ``[n, m, outputs]``: ``m`` functions for each.
        norm: of distances in the input: ``linf``, ``l2`` or ``l1``.
        method: of the bounds of the network's inner nodes, as for ``lower_bounds``.
        effort: limits on work and memory.

    Returns:
        float64 ``[n, m]``; infinite where bounds overflow.

    Raises:
        PropertyError: an unknown norm.
        UnsupportedOperatorError: an operator whose derivative has no known range.
    """
    network, effort = _double(graph), effort or Effort()
    bounds = [
        _largest_norm(_propagated(network, region.take(rows), method, effort), matrices[rows], norm)
        for rows in _chunks(network, len(region), matrices.shape[1], method, effort, region.lower.device)
    ]
    return torch.cat([matrices.new_zeros(0, matrices.shape[1], dtype=torch.float64), *bounds])


def lipschitz_radii(
    graph: Graph | Network,
    samples: Tensor,
    labels: Tensor,
    epsilon: float,
    *,
    norm: str,
    box: Box,
    method: str,
    effort: Effort | None = None,
) -> Tensor:
    """Radii within which no sample changes its label, by the smallest margin over its Lipschitz bound.

    The formula of CLEVER (Weng et al., Evaluating the Robustness of Neural Networks: An Extreme Value Theory Approach,
    2018, theorem 3.2) with a bound where that has an estimate: a proof, by another road than ``certify``.

    Args:
        graph: the network; outputs are logits.
        samples: ``[n, *input_shape]`` inside ``box``.
        labels: int64 ``[n]``.
        epsilon: the gradients are bounded within this radius, in input units; no returned radius is larger.
        norm: ``linf`` or ``l2``.
        box: the declared input box.
        method: as for ``lipschitz_bounds``.
        effort: limits on work and memory.

    Returns:
        float64 ``[n]``; 0 for a wrong answer or where nothing is proved.

    Raises:
        LabelError, PropertyError, UnsupportedOperatorError: as ``certify`` and ``lipschitz_bounds``.
    """
    network, effort = _double(graph), effort or Effort()
    region, matrices = ball_region(samples, epsilon, norm, box), rival_matrices(labels, network.graph.outputs).double()
    quotients = [torch.zeros(0, dtype=torch.float64, device=samples.device)]
    for rows in _chunks(network, len(samples), matrices.shape[1], method, effort, samples.device):
        linear = _propagated(network, region.take(rows), method, effort)
        steepest = _largest_norm(linear, matrices[rows], norm)
        margins = _margins(linear, samples[rows], matrices[rows])
        quotients.append((margins / steepest).nan_to_num(nan=0.0, posinf=math.inf).amin(1).to(samples.device))
    size = network.graph.nodes[0].elements ** LENGTH[norm]
    rounding = float(torch.finfo(torch.float32).eps) * float(torch.maximum(box.lower.abs(), box.upper.abs()).max())
    radii: Tensor = ((torch.cat(quotients) - rounding * size) / (1 + 1e-6)).clamp(0.0, epsilon)
    return radii


def _double(graph: Graph | Network) -> Network:
    return (graph if isinstance(graph, Network) else Network(graph)).to(torch.float64)


def _propagated(network: Network, region: Region, method: str, effort: Effort) -> LinearBounds:
    with torch.no_grad():
        inside = region.to(torch.float64, network.graph.device)
        return propagate(network, inside, method_of(method), effort, roundoff=Roundoff(network, run=False))


def _largest_norm(linear: LinearBounds, matrices: Tensor, norm: str) -> Tensor:
    if norm not in DUAL:
        raise PropertyError("unknown norm", wanted=", ".join(DUAL), got=norm)
    graph, region = linear.network.graph, linear.region
    moving = (region.upper > region.lower).flatten(1)[:, None]
    matrices = matrices.to(graph.device, torch.float64)
    size = torch.zeros_like(matrices[:, :, 0])
    with torch.no_grad():
        found = sensitivities(graph, linear.bounds, len(region), graph.output, matrices, linear.rules, wider=WIDER)
        for node, gradient in found:
            if node.kind is Kind.INPUT:
                size = torch.linalg.vector_norm(gradient.largest * moving, ord=DUAL[norm], dim=2)
    return (size * (1 + INFLATION)).nan_to_num(nan=math.inf, posinf=math.inf)


def _margins(linear: LinearBounds, samples: Tensor, matrices: Tensor) -> Tensor:
    """Label less rival at the samples, less what rounding may be worth anywhere in the regions: ``[n, m]``."""
    graph = linear.network.graph
    with torch.no_grad():
        outputs = graph.forward(samples).reshape(len(samples), -1)[:, :, None]
        matrices = matrices.to(outputs)
        noise = execution_noise(linear, graph.output, matrices)
        magnitude = torch.bmm(matrices.abs(), outputs.abs())[:, :, 0]
        return torch.bmm(matrices, outputs)[:, :, 0] - MARGIN * magnitude - noise


def _chunks(network: Network, count: int, rows: int, method: str, effort: Effort, device: torch.device) -> list[Tensor]:
    size = chunk_samples(network, rows, effort, forms=method_of(method).forward)
    return list(torch.split(torch.arange(count, device=device), size)) if count else []
