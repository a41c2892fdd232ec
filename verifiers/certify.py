"""Certified accuracy: which samples provably keep their label within a radius, for whole test sets at once.

A float32 pass that bounds its own rounding, and that of every float32 run, proves by itself. What it misses only
because of rounding is computed again in float64, and counts when it exceeds an estimate of the rounding of a run
(``verifiers.rounding``). Where a pass does not bound its rounding (``provable``), the float64 bound must also exceed
twice its difference to the float32 bound, and ``MARGIN`` of the outputs' magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.errors import LabelError, PropertyError
from robust.graph import Graph
from robust.properties import Box
from verifiers.bounding import bounds_and_noise, lower_bounds, provable, rounded_bounds
from verifiers.memory import Effort, chunk_samples, in_chunks
from verifiers.methods import METHODS, Method, method_of
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region, ball_region
from verifiers.rounding import MARGIN, execution_noise

ARITHMETIC = (
    "real numbers and every float32 run, rounding bounded in the pass; where that falls short, "
    "float64 with an estimate of first order for the rounding of a run"
)
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
                )
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
    typical: bool = False,
) -> Tensor:
    """Lower bounds of ``matrix @ outputs - offset``, less what rounding may be worth.

    Args:
        network: prepared graph, in any arithmetic.
        region: ``n`` input sets, in float64.
        matrices: ``[n, m, outputs]``.
        offsets: ``[n, m]``, or None for zeros.
        method: a name of ``METHODS``.
        effort: limits on work and memory.
        every: ask in float64 only about sets for which all ``m`` may exceed ``slack``; else those with any.
        slack: what is wanted; optimisation stops when it has that.
        typical: allow for what rounding typically does to a float32 run at the middle of a set, instead of for the
            worst that it may do anywhere in it.

    Returns:
        float64 ``[n, m]``. Positive means proved, of sets that are settled in float32 or confirmed in float64. Of the
        others, the float32 bound, but never positive. NaN, and lack of memory even for one set, give minus infinity.
    """
    shift = matrices.new_zeros(matrices.shape[:2]).double() if offsets is None else offsets.double()
    rigorous = provable(network.to(torch.float32), method)
    enough, magnitude = shift + slack, torch.zeros_like(shift)
    if not rigorous or method_of(method).steps:
        magnitude = _magnitude(network.to(torch.float32), region, matrices) + shift.abs()
        enough = enough + COMFORT * magnitude
    sure, found = (ends - shift for ends in _in_single(network, region, matrices, method, effort, enough, typical))
    promising = (found > slack).all(1) if every else (found > slack).any(1)
    result = torch.where(promising[:, None], found, found.clamp_max(0))
    rows = torch.nonzero(promising)[:, 0]
    if rigorous and len(rows):
        if typical:
            sure[rows] -= noise_at_middle(network.to(torch.float64), region.take(rows), matrices[rows])
        settled = ((sure > slack) | ~(found > slack))[rows].all(1)
        result[rows[settled]] = sure[rows[settled]]
        rows = rows[~settled]
    if len(rows):
        confirmed = _in_double(network, region.take(rows), matrices[rows], method, effort, enough[rows], typical)
        bound, noise = confirmed[:, :, 0] - shift[rows], confirmed[:, :, 1]
        if not rigorous:
            own = MARGIN * magnitude[rows]
            if not method_of(method).steps:  # an optimiser's ways in two arithmetics part for other reasons
                own = torch.maximum(own, 2 * (bound - found[rows]).abs())
            noise = noise + own
        result[rows] = torch.maximum(bound - noise, sure[rows])
    return torch.nan_to_num(result, nan=-torch.inf, posinf=-torch.inf)


def _in_single(
    network: Network,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort,
    target: Tensor,
    typical: bool,
) -> tuple[Tensor, Tensor]:
    """Bounds by a float32 pass that hold whatever it rounded (minus infinity where that is not known), and as they were
    computed: float64 ``[n, m]`` each."""
    single, goal = network.to(torch.float32), target.float()
    if provable(single, method):
        pairs = rounded_bounds(single, region, matrices, method, effort, run=not typical, target=goal).double()
        return pairs[:, :, 0], pairs.sum(2)
    found = lower_bounds(single, region, matrices, method, effort, target=goal).double()
    return torch.full_like(found, -torch.inf), found


def _in_double(
    network: Network,
    region: Region,
    matrices: Tensor,
    method: str | Method,
    effort: Effort,
    target: Tensor,
    typical: bool,
) -> Tensor:
    """Bounds in float64, and what rounding may be worth to a float32 run: ``[n, m, 2]``."""
    double = network.to(torch.float64)
    pairs = bounds_and_noise(double, region, matrices, method, effort, noise=not typical, target=target)
    if typical:
        pairs[:, :, 1] = noise_at_middle(double, region, matrices)
    return pairs


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
