"""Certified accuracy: which samples provably keep their label within a radius, for whole test sets at once.

A float32 pass that bounds its own rounding, and that of every float32 run, proves by itself. What it misses only
because of rounding is computed again in float64, where the pass rounds next to nothing and the runs are charged as
before. So what is certified holds in both meanings: for real numbers and for every float32 run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import LabelError, PropertyError
from robust.graph import Graph
from robust.properties import Box
from verifiers.bounding import lower_bounds, rounded_bounds
from verifiers.memory import Effort, chunk_samples, in_chunks
from verifiers.methods import METHODS, Method, method_of
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region, ball_region
from verifiers.rounding import execution_noise
from verifiers.roundoff import dependable

ARITHMETIC = "real numbers, and every float32 run in any order of summation: all rounding is bounded in the pass"
REALS = "real numbers, whatever the pass rounded; a float32 run may round more than what is left"
COMFORT = 1e-4
"""An optimiser stops when a bound exceeds what is wanted by this share of the outputs' magnitude."""
LADDER = tuple(name for name, method in METHODS.items() if not method.forward)
"""What is tried before a dearer method. Zonotopes are not: they cost more than CROWN, which is tighter as a rule."""


def certify(
    graph: Graph | Network,
    samples: Tensor,
    labels: Tensor,
    epsilons: Sequence[float],
    *,
    norm: str,
    box: Box,
    method: str,
    effort: Effort | None = None,
    slack: float = 0.0,
) -> Tensor:
    """Which samples are proved to keep their label, for each radius.

    Certified at a radius implies certified at each smaller one: radii are tried from the largest down, and only for
    samples that are still open. A wrongly classified sample is never certified.

    Args:
        graph: the network; outputs are logits.
        samples: ``[n, *input_shape]`` inside ``box``.
        labels: int64 ``[n]``, the classes that must stay.
        epsilons: radii in input units, in any order.
        norm: ``linf`` or ``l2``.
        box: the declared input box; balls are cut to it.
        method: a name of ``METHODS``. Looser ones are tried first, on the samples that are still open.
        effort: limits on work and memory.
        slack: by how much a proved margin must exceed zero, for a model that is only nearly this graph.

    Returns:
        bool ``[len(epsilons), n]``, in the order of ``epsilons``.

    Raises:
        LabelError: a label is not a class.
        PropertyError: a sample outside the box, a negative radius, an unknown norm, a slack that is no number >= 0.
    """
    return (
        certified_by(graph, samples, labels, epsilons, norm=norm, box=box, method=method, effort=effort, slack=slack)
        >= 0
    )


def certified_by(
    graph: Graph | Network,
    samples: Tensor,
    labels: Tensor,
    epsilons: Sequence[float],
    *,
    norm: str,
    box: Box,
    method: str,
    effort: Effort | None = None,
    slack: float = 0.0,
) -> Tensor:
    """Like ``certify``, but by which of the methods that are tried: int64 ``[len(epsilons), n]``, a place in
    ``attempts(method)``, or -1 where no method proves it. A proof at a larger radius keeps its method."""
    if not slack >= 0:
        raise PropertyError("a slack is a distance", wanted="a number >= 0", got=slack)
    network = graph if isinstance(graph, Network) else Network(graph)
    matrices = rival_matrices(labels, network.graph.outputs)
    with torch.no_grad():
        clean = network.graph.forward(samples).reshape(len(samples), -1)
        right = (torch.bmm(matrices.to(clean), clean[:, :, None])[:, :, 0] > 0).all(1)
    result = torch.full((len(epsilons), len(samples)), -1, device=samples.device)
    by = torch.full((len(samples),), -1, device=samples.device)
    for place in sorted(range(len(epsilons)), key=lambda i: -epsilons[i]):
        region = ball_region(samples, epsilons[place], norm, box)
        for rung, attempt in enumerate(attempts(method)):
            rows = torch.nonzero(right & (by < 0))[:, 0]
            if len(rows):
                margins = confirmed_bounds(
                    network, region.take(rows), matrices[rows], None, attempt, effort or Effort(), slack=slack
                ).runs
                by[rows] = torch.where((margins > slack).all(1).to(by.device), rung, -1)
        result[place] = by
    return result


def attempts(method: str) -> tuple[str, ...]:
    """What is asked, in order, where a method is wanted: the rungs of ``LADDER`` that are cheaper, and the method."""
    cheaper = tuple(METHODS)[: tuple(METHODS).index(method)] if method in METHODS else ()
    return (*(name for name in LADDER if name in cheaper), method)


def rival_matrices(labels: Tensor, classes: int) -> Tensor:
    """Rows ``label - rival`` for every rival: ``[n, classes - 1, classes]``.

    Raises:
        LabelError: a label is not a class, or there is only one class.
    """
    if classes < 2 or bool(((labels < 0) | (labels >= classes)).any()):
        raise LabelError("a label is not a class", wanted=f"0 <= label < {classes}", got=sorted(set(labels.tolist())))
    unit = torch.eye(classes, device=labels.device)
    rows = unit[labels][:, None] - unit[None]
    others = torch.arange(classes, device=labels.device)[None] != labels[:, None]
    return rows[others].reshape(len(labels), classes - 1, classes)


@dataclass(frozen=True, eq=False)
class Confirmed:
    """Lower bounds that hold whatever was rounded, float64 ``[n, m]``; minus infinity where nothing is known.

    Attributes:
        reals: of the network as a function of real numbers.
        runs: of what every float32 run of the graph computes, too; at most ``reals``.
        computed: an estimate of both, where neither is positive; not to be relied on.
        bare: ``reals`` before whoever asked took an allowance for runs from it; None: there is none.
    """

    reals: Tensor
    runs: Tensor
    computed: Tensor
    bare: Tensor | None = None


def confirmed_bounds(
    network: Network,
    region: Region,
    matrices: Tensor,
    offsets: Tensor | None,
    method: str | Method,
    effort: Effort,
    *,
    every: bool = True,
    slack: float = 0.0,
) -> Confirmed:
    """Lower bounds of ``matrix @ outputs - offset``, less all that rounding may be worth.

    A float32 pass settles what it can; what is promising and left is computed in float64.

    Args:
        network: prepared graph, in any arithmetic.
        region: ``n`` input sets, in float64.
        matrices: ``[n, m, outputs]``.
        offsets: ``[n, m]``, or None for zeros.
        method: a name of ``METHODS``.
        effort: limits on work and memory.
        every: ask in float64 only about sets for which all ``m`` may exceed ``slack``; else those with any.
        slack: what is wanted; optimisation stops when it has that.
    """
    shift = matrices.new_zeros(matrices.shape[:2]).double() if offsets is None else offsets.double()
    single, double = network.to(torch.float32), network.to(torch.float64)
    rigorous = dependable(single)
    enough = shift + slack
    if not rigorous or method_of(method).steps:
        enough = enough + COMFORT * (_magnitude(single, region, matrices) + shift.abs())
    goal = enough.float()
    if rigorous:
        found = rounded_bounds(single, region, matrices, method, effort, run=True, target=goal)
        runs, reals, computed = (_known(part, shift) for part in (found.runs, found.reals, found.computed))
    else:
        computed = _known(lower_bounds(single, region, matrices, method, effort, target=goal), shift)
        runs = reals = torch.full_like(computed, -torch.inf)
    promising = computed > slack
    settled = (runs > slack) | ~promising
    rows = torch.nonzero((promising.all(1) if every else promising.any(1)) & ~settled.all(1))[:, 0]
    if len(rows):
        found = rounded_bounds(double, region.take(rows), matrices[rows], method, effort, run=True, target=enough[rows])
        runs[rows] = torch.maximum(runs[rows], _known(found.runs, shift[rows]))
        reals[rows] = torch.maximum(reals[rows], _known(found.reals, shift[rows]))
        computed[rows] = _known(found.computed, shift[rows])
    return Confirmed(torch.maximum(reals, runs), runs, computed)


def _known(bound: Tensor, shift: Tensor) -> Tensor:
    """Less the offsets, rounded down; minus infinity for what overflowed."""
    least = torch.nan_to_num(bound.double(), nan=-torch.inf, posinf=-torch.inf)
    return least - shift - (least.abs() + shift.abs()).nan_to_num(0.0, 0.0, 0.0) * 2.0**-52


def noise_at_middle(network: Network, region: Region, matrices: Tensor) -> Tensor:
    """What rounding typically does to a float32 run at the middle of each set: ``[n, m]``."""
    middle = ((region.lower + region.upper) / 2).to(network.graph.device, network.graph.dtype)
    matrices = matrices.to(middle)

    def noise(rows: Tensor) -> Tensor:
        point = Region(middle[rows], middle[rows])
        linear = propagate(network, point, METHODS["interval"], Effort())
        return execution_noise(linear, network.graph.output, matrices[rows], typical=True)

    with torch.no_grad():
        size = chunk_samples(network, matrices.shape[1], Effort())
        return in_chunks(noise, len(region), size, matrices.new_zeros(0, matrices.shape[1]))


def _magnitude(network: Network, region: Region, matrices: Tensor) -> Tensor:
    """The sum ``[n, m]`` of the magnitudes that the functions add up, at the middle of each region."""
    middle = ((region.lower + region.upper) / 2).to(network.graph.device)
    size = chunk_samples(network, 1, Effort())
    with torch.no_grad():
        outputs = torch.cat([network.graph.forward(part) for part in torch.split(middle, size)])
    return torch.bmm(matrices.double().abs(), outputs.reshape(len(middle), -1, 1).double().abs())[:, :, 0]
