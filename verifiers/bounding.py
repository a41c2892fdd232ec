"""Lower bounds of linear functions of a network's outputs, over many input sets at once."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.graph import Graph
from verifiers.functions import Functions, inner
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort, chunk_rows, chunk_samples, in_chunks
from verifiers.methods import Method, method_of
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region
from verifiers.rounding import execution_noise
from verifiers.roundoff import Roundoff, dependable
from verifiers.slope_search import SlopeSearch


def lower_bounds(
    network: Network | Graph,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort | None = None,
    *,
    target: Tensor | None = None,
) -> Tensor:
    """Lower bounds of linear functions of the outputs over each region.

    The bounds of inner nodes are made once for each region and serve all its functions.

    Args:
        network: a graph, or one prepared (which saves a little when asked often).
        region: ``n`` input sets.
        matrices: ``[n, m, outputs]``: ``m`` functions for each; ``[1, m, outputs]``: the same for all.
        method: a name of ``METHODS``; each is at least as tight as ``interval``, and the later the tighter as a rule.
        effort: limits on work and memory.
        target: ``[n, m]``: optimisation may stop when all bounds of a block exceed it; None: never.

    Returns:
        ``[n, m]`` in the network's arithmetic; NaN where bounds overflow, or where even one region is too much for
        the memory.

    Raises:
        ValueError: unknown method.
        UnsupportedOperatorError: an operator without a rule.
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
    target: Tensor | None = None,
) -> Tensor:
    """``lower_bounds``, and beside them what float32 rounding of the model may be worth: ``[n, m, 2]``.

    In float64 the bounds allow for their own rounding, where ``provable`` says that this is known.
    """
    network = network if isinstance(network, Network) else Network(network)
    run = False if network.graph.dtype == torch.float64 and provable(network, method) else None
    return _pairs(network, region, matrices, method, effort, noise, run, target)


def rounded_bounds(
    network: Network,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort | None = None,
    *,
    run: bool,
    target: Tensor | None = None,
) -> Tensor:
    """``lower_bounds`` less all that rounding may be worth, and beside them what that was about: ``[n, m, 2]``.

    The bounds hold for the network as a function of real numbers, whatever the arithmetic that they are computed in.

    Args:
        run: they hold for every float32 run of the graph as well.
        network, region, matrices, method, effort, target: see ``lower_bounds``; ``provable`` says which are possible.
    """
    return _pairs(network, region, matrices, method, effort, False, run, target)


def provable(network: Network, method: str | Method) -> bool:
    """Whether ``rounded_bounds`` knows the question: no forward forms, and products that can be relied on."""
    return not method_of(method).forward and dependable(network)


def _pairs(
    network: Network | Graph,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort | None,
    noise: bool,
    run: bool | None,
    target: Tensor | None,
) -> Tensor:
    chosen, effort = method_of(method), effort or Effort()
    network = network if isinstance(network, Network) else Network(network)
    graph = network.graph
    region, matrices = region.to(graph.dtype, graph.device), matrices.to(device=graph.device, dtype=graph.dtype)
    functions = matrices.shape[1]

    def bound(rows: Tensor) -> Tensor:
        part = region if len(rows) == len(region) else region.take(rows)
        wanted = matrices if len(matrices) == 1 or len(rows) == len(region) else matrices[rows]
        goal = None if target is None else target.to(matrices)[rows]
        roundoff = None if run is None else Roundoff(network, run)
        linear = propagate(network, part, chosen, effort, roundoff=roundoff)
        return _final(linear, wanted, chosen, effort, goal, noise)

    with torch.no_grad():
        size = chunk_samples(network, functions, effort, forms=chosen.forward)
        return in_chunks(bound, len(region), size, matrices.new_zeros(0, functions, 2))


def _final(
    linear: LinearBounds, matrices: Tensor, method: Method, effort: Effort, target: Tensor | None, noise: bool
) -> Tensor:
    """The questions themselves, as many samples and functions at a time as the budget allows: ``[n, m, 2]``."""
    network, count, functions = linear.network, len(linear.region), matrices.shape[1]
    width = chunk_rows(network, 1, effort)
    size = max(1, width // max(1, functions))
    found = []
    for start in range(0, count, size):
        samples = None if size >= count else torch.arange(start, min(start + size, count), device=matrices.device)
        blocks = []
        for left in range(0, functions, width):
            block = matrices[:, left : left + width]
            if samples is not None and len(block) > 1:
                block = block[samples]
            goal = None if target is None else target[slice(start, start + size), left : left + width]
            blocks.append(_bounded(linear, samples, block, method, effort, goal, noise))
        found.append(torch.cat(blocks, 1))
    return torch.cat(found)


def _bounded(
    linear: LinearBounds,
    samples: Tensor | None,
    matrices: Tensor,
    method: Method,
    effort: Effort,
    target: Tensor | None,
    noise: bool,
) -> Tensor:
    """What intervals and the method find: ``[n, m, 2]``.

    Where bounds hold for every run, nothing more is taken from them, and samples whose interval bounds all exceed the
    target are done. Others may still need every bit.
    """
    effort.check()
    functions = Functions.of(linear.network.graph.output, matrices)
    best, paid = linear.valued(functions, samples=samples, stop_at_nonlinear=True)
    if linear.output is not None:
        best = torch.maximum(best, linear.output.minimum(matrices, samples))
    found = _less(linear, samples, matrices, best if paid is None else best - paid, paid)
    if method.steps or method.backward:
        open_ = torch.ones(len(found), dtype=torch.bool, device=found.device)
        if target is not None and linear.roundoff is not None and linear.roundoff.run:
            open_ = ~(found[:, :, 0] > target).all(1)
        rows = torch.nonzero(open_)[:, 0]
        if len(rows) == len(found):
            found = _closer(linear, samples, matrices, method, effort, target, found)
        elif len(rows):
            of_rows = matrices if len(matrices) == 1 else matrices[rows]
            goal = None if target is None else target[rows]
            own = rows if samples is None else samples[rows]
            found[rows] = _closer(linear, own, of_rows, method, effort, goal, found[rows])
    if noise:
        part = linear if samples is None else linear.take(samples)
        found[:, :, 1] = execution_noise(part, part.network.graph.output, matrices.expand(len(found), -1, -1))
    return found


def _closer(
    linear: LinearBounds,
    samples: Tensor | None,
    matrices: Tensor,
    method: Method,
    effort: Effort,
    target: Tensor | None,
    before: Tensor,
) -> Tensor:
    """The better of ``before [n, m, 2]`` and what backward passes find; beside it what these took for rounding."""
    functions = Functions.of(linear.network.graph.output, matrices)
    if method.steps:
        search = SlopeSearch(linear, samples, effort=effort)
        best = search.maximise(functions, method.steps, target)
        paid = search.paid
    else:
        best, paid = linear.valued(functions, samples=samples)
        best = best if paid is None else best - paid
    found = _less(linear, samples, matrices, best, paid)
    return torch.stack([torch.maximum(found[:, :, 0], before[:, :, 0]), found[:, :, 1]], 2)


def _less(linear: LinearBounds, samples: Tensor | None, matrices: Tensor, best: Tensor, paid: Tensor | None) -> Tensor:
    """Bounds, less what the cast of their functions may have lost, and what rounding took in all: ``[n, m, 2]``."""
    if paid is None:
        return torch.stack([best, torch.zeros_like(best)], 2)
    cast = _cast(linear, samples, matrices)
    return torch.stack([best - cast, (paid + cast).expand_as(best)], 2)


def _cast(linear: LinearBounds, samples: Tensor | None, matrices: Tensor) -> Tensor | float:
    """What the functions' coefficients may have lost on the way into the pass's arithmetic: ``[n, m]``."""
    if linear.roundoff is None:
        return 0.0
    unit = linear.roundoff.of_sum(linear.largest(linear.network.graph.output))
    return inner(matrices.abs(), unit if samples is None else unit[samples])
