"""Lower bounds of linear functions of a network's outputs, over many input sets at once."""

from __future__ import annotations

from dataclasses import dataclass

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
from verifiers.roundoff import Roundoff
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

    The bounds of inner nodes are made once for each region and serve all its functions. In float64 they allow for their
    own rounding; in float32 they are as computed.

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
    network = network if isinstance(network, Network) else Network(network)
    run = False if network.graph.dtype == torch.float64 else None
    return _bounds(network, region, matrices, method, effort, run, target)[:, :, 0]


@dataclass(frozen=True, eq=False)
class RoundedBounds:
    """Lower bounds in each of their meanings, ``[n, m]``.

    Attributes:
        runs: of what every float32 run of the graph computes, and of real numbers; minus infinity where not asked for.
        reals: of the network as a function of real numbers.
        computed: as they were computed, with nothing taken off.
    """

    runs: Tensor
    reals: Tensor
    computed: Tensor


def rounded_bounds(
    network: Network,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort | None = None,
    *,
    run: bool,
    target: Tensor | None = None,
) -> RoundedBounds:
    """``lower_bounds`` less all that rounding may be worth, in whatever arithmetic they are computed.

    Args:
        run: also ask about every float32 run of the graph. Bounds of inner nodes are then those of runs, so that
            ``reals`` is a little looser than without.
        network, region, matrices, method, effort, target: see ``lower_bounds``; ``dependable`` says which networks
            are possible.
    """
    found = _bounds(network, region, matrices, method, effort, run, target)
    runs = found[:, :, 0] if run else torch.full_like(found[:, :, 0], -torch.inf)
    return RoundedBounds(runs, found[:, :, 1], found[:, :, 2])


def _bounds(
    network: Network,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort | None,
    run: bool | None,
    target: Tensor | None,
) -> Tensor:
    """Less all that was charged, less what was charged for real numbers, and as computed: ``[n, m, 3]``."""
    chosen, effort = method_of(method), effort or Effort()
    graph = network.graph
    region, matrices = region.to(graph.dtype, graph.device), matrices.to(device=graph.device, dtype=graph.dtype)
    functions = matrices.shape[1]

    def bound(rows: Tensor) -> Tensor:
        part = region if len(rows) == len(region) else region.take(rows)
        wanted = matrices if len(matrices) == 1 or len(rows) == len(region) else matrices[rows]
        goal = None if target is None else target.to(matrices)[rows]
        roundoff = None if run is None else Roundoff(network, run)
        linear = propagate(network, part, chosen, effort, roundoff=roundoff)
        return _final(linear, wanted, chosen, effort, goal)

    with torch.no_grad():
        size = chunk_samples(network, functions, effort, forms=chosen.forward)
        return in_chunks(bound, len(region), size, matrices.new_zeros(0, functions, 3))


def _final(linear: LinearBounds, matrices: Tensor, method: Method, effort: Effort, target: Tensor | None) -> Tensor:
    """The questions themselves, as many samples and functions at a time as the budget allows: ``[n, m, 3]``."""
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
            blocks.append(_bounded(linear, samples, block, method, effort, goal))
        found.append(torch.cat(blocks, 1))
    return torch.cat(found)


def _bounded(
    linear: LinearBounds,
    samples: Tensor | None,
    matrices: Tensor,
    method: Method,
    effort: Effort,
    target: Tensor | None,
) -> Tensor:
    """What intervals and the method find: ``[n, m, 3]``.

    Where bounds hold for every run, samples whose interval bounds all exceed the target are done. Others may still need
    every bit.
    """
    effort.check()
    functions = Functions.of(linear.network.graph.output, matrices)
    value, toll = linear.valued(functions, samples=samples, stop_at_nonlinear=True, apart=True)
    found = _less(linear, samples, matrices, toll.off(value), toll.of_reals(value), value)
    if linear.output is not None:
        forms = linear.output.minimum(matrices, samples)
        found = torch.maximum(found, _less(linear, samples, matrices, forms, forms, forms))
    if not method.steps and not method.backward:
        return found
    open_ = torch.ones(len(found), dtype=torch.bool, device=found.device)
    if target is not None and linear.roundoff is not None and linear.roundoff.run:
        open_ = ~(found[:, :, 0] > target).all(1)
    rows = torch.nonzero(open_)[:, 0]
    if len(rows) == len(found):
        return _closer(linear, samples, matrices, method, effort, target, found)
    if len(rows):
        of_rows = matrices if len(matrices) == 1 else matrices[rows]
        goal = None if target is None else target[rows]
        own = rows if samples is None else samples[rows]
        found[rows] = _closer(linear, own, of_rows, method, effort, goal, found[rows])
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
    """The better of ``before [n, m, 3]`` and what backward passes find."""
    functions = Functions.of(linear.network.graph.output, matrices)
    if method.steps:
        search = SlopeSearch(linear, samples, effort=effort, apart=True)
        search.maximise(functions, method.steps, target)
        found = _less(linear, samples, matrices, *search.reached)
    else:
        value, toll = linear.valued(functions, samples=samples, apart=True)
        found = _less(linear, samples, matrices, toll.off(value), toll.of_reals(value), value)
    return torch.maximum(found, before)


def _less(
    linear: LinearBounds, samples: Tensor | None, matrices: Tensor, runs: Tensor, reals: Tensor, computed: Tensor
) -> Tensor:
    """Bounds, the first two less what the cast of their functions may have lost: ``[n, m, 3]``."""
    cast = _cast(linear, samples, matrices)
    return torch.stack([runs - cast, reals - cast, computed.expand_as(runs)], 2)


def _cast(linear: LinearBounds, samples: Tensor | None, matrices: Tensor) -> Tensor | float:
    """What the functions' coefficients may have lost on the way into the pass's arithmetic: ``[n, m]``."""
    if linear.roundoff is None:
        return 0.0
    unit = linear.roundoff.of_sum(linear.largest(linear.network.graph.output))
    return inner(matrices.abs(), unit if samples is None else unit[samples])
