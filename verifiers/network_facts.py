"""What holds of a whole small network over a box: the range of an output, dead neurons, two networks that agree.

Each is answered by ``decide``: bounds, splitting of inputs, splitting of neurons; what time does not decide stays open.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.graph import Graph, trace
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from robust.record.answer import Verdict
from verifiers.bounding import lower_bounds
from verifiers.certify import confirmed_bounds
from verifiers.deadline import Deadline
from verifiers.decide import decide
from verifiers.decision import Decision
from verifiers.memory import Effort
from verifiers.network import Network
from verifiers.region import region_of

DRAWN = 512
"""Points that are tried before anything is to be proved."""
STEPS = 30
"""Steps of descent from the best of them."""
ROUNDS = 12
"""Halvings of the gap between what is proved and what is reached."""
ROOMS = (1e-5, 1e-3, 1e-1)
"""What a bound is given up for rounding, relative to its size; the first that confirms."""
NEURON_SECONDS = 5.0
"""For one neuron."""

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class OutputRange:
    """Where an output lies over a box.

    Attributes:
        low: proved: it is never smaller (in float64, with a margin for rounding).
        low_reached: a value that an input of the box gives it.
        high_reached: likewise.
        high: proved: it is never larger.
    """

    low: float
    low_reached: float
    high_reached: float
    high: float


class NeuronState(StrEnum):
    """What a rectifier does over the box."""

    DEAD = "dead"
    """Never active: it can be removed."""
    LINEAR = "linear"
    """Never inactive: it can be folded into its neighbours."""
    OPEN = "both"
    """Both happen, seen on inputs of the box."""
    UNKNOWN = "unknown"
    """Time ran out."""


@dataclass(frozen=True)
class Neurons:
    """The rectifiers of one node.

    Attributes:
        place: where in the model.
        states: one per neuron.
        twins: pairs of neurons of which the second is a positive multiple of the first, whatever the input.
    """

    place: str
    states: tuple[NeuronState, ...]
    twins: tuple[tuple[int, int], ...]


def output_range(network: Network, box: Box, index: int, deadline: Deadline, *, share: float = 0.01) -> OutputRange:
    """The range of an output.

    Args:
        network: prepared graph.
        box: of inputs.
        index: of the output.
        deadline: for both ends together.
        share: stop when a proved end is within this share of the range that is reached.

    Raises:
        PropertyError: no such output.
    """
    if not 0 <= index < network.graph.outputs:
        raise PropertyError("there is no such output", wanted=f"0 <= index < {network.graph.outputs}", got=index)
    row = torch.zeros(1, network.graph.outputs, dtype=torch.float64)
    row[0, index] = 1.0
    ends = []
    best = [
        float(_values(network.graph, _smallest(network.graph, box, sign * row, 0), sign * row)[0])
        for sign in (1.0, -1.0)
    ]
    close = share * max(-best[1] - best[0], 1e-9)
    for sign, reached in zip((1.0, -1.0), best, strict=True):
        until = deadline.within(deadline.left / 2) if sign > 0 else deadline
        ends.append(_end(network, box, sign * row, reached, close, until))
    (low, low_reached), (high, high_reached) = ends
    return OutputRange(low, low_reached, -high_reached, -high)


def neurons(network: Network, box: Box, deadline: Deadline) -> list[Neurons]:
    """The state of every rectifier over a box, node by node."""
    nodes = [node for node in network.graph.nodes if node.op == "relu"]
    found = []
    for number, node in enumerate(nodes):
        part = Network(dataclasses.replace(network.graph, output=node.inputs[0]))
        until = deadline.within(deadline.left / (len(nodes) - number))
        found.append(Neurons(node.place, tuple(_states(part, box, until)), tuple(_twins(part.graph))))
    return found


class Difference(nn.Module):
    """``first(x) - second(x)``, ``[n, outputs]``."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """Inputs to differences of outputs."""
        difference: Tensor = self.first(x).flatten(1) - self.second(x).flatten(1)
        return difference


def equivalent(first: nn.Module, second: nn.Module, box: Box, tolerance: float, deadline: Deadline) -> Decision:
    """Whether no output of two networks differs by ``tolerance`` or more, anywhere in a box.

    Args:
        first: ``[n, *shape]`` to outputs, in evaluation mode.
        second: likewise: quantised, pruned, converted.
        box: of inputs, ``[*shape]``.
        tolerance: above 0, in units of outputs.
        deadline: what is not decided by then is UNKNOWN.

    Returns:
        VERIFIED, FALSIFIED with the input at which they differ, or UNKNOWN.

    Raises:
        PropertyError: an impossible tolerance, networks of different outputs.
    """
    if not 0 < tolerance < float("inf"):
        raise PropertyError("an impossible tolerance of a difference", wanted="a finite number > 0", got=tolerance)
    with torch.no_grad():
        sizes = [module(box.lower[None].float()).flatten(1).shape[1] for module in (first, second)]
    if sizes[0] != sizes[1]:
        raise PropertyError("networks with different outputs cannot agree", wanted=sizes[0], got=sizes[1])
    both = Difference(first, second).eval()
    graph = trace(both, box.shape, device=box.lower.device, box=box)
    clauses = []
    for index in range(sizes[0]):
        for sign in (1.0, -1.0):
            row = torch.zeros(1, sizes[0], dtype=torch.float64)
            row[0, index] = sign
            clauses.append(Halfspaces(row, torch.tensor([-tolerance], dtype=torch.float64)))
    cases = [Property(box, UnsafeSet((clause,)), "networks agree") for clause in clauses]

    def real(x: Tensor) -> Tensor:
        with torch.no_grad():
            made: Tensor = both(x)
        return made

    return _decide(Network(graph), cases, box, deadline, real)


def _decide(network: Network, cases: Sequence[Property], box: Box, deadline: Deadline, real: Forward) -> Decision:
    """All stages, with descent on the graph as the search and one input at a time asked of the real model."""

    def search(case: int, turn: int, until: Deadline) -> Tensor | None:
        return _smallest(network.graph, box, cases[case].unsafe.clauses[0].matrix, turn)

    def replay(case: int, points: Tensor) -> Tensor | None:
        inside = points[box.contains(points)]
        with torch.no_grad():
            hits = (point for point in inside if bool(cases[case].unsafe.contains(real(point[None]).flatten(1))[0]))
            return next(hits, None)

    return decide(network, cases, deadline=deadline, search=search, replay=replay)


def _end(
    network: Network, box: Box, row: Tensor, reached: float, close: float, deadline: Deadline
) -> tuple[float, float]:
    """A proved lower end of ``row @ y``, ``row [1, outputs]``, and the smallest value that was reached."""
    proved = _bound(network, box, row)
    for _ in range(ROUNDS):
        if not (math.isfinite(proved) and reached - proved > close) or deadline.expired:
            break
        middle = (reached + proved) / 2
        case = Property(box, UnsafeSet((Halfspaces(row, torch.tensor([middle], dtype=torch.float64)),)), "range")
        found = _decide(network, [case], box, deadline.within(deadline.left / 3), network.graph.forward)
        if found.verdict is Verdict.VERIFIED:
            proved = middle
        elif found.witness is not None:
            reached = min(reached, float(_values(network.graph, found.witness[None], row)[0]))
        else:
            break
    return proved, reached


def _bound(network: Network, box: Box, row: Tensor) -> float:
    """A lower bound of ``row @ y`` that is confirmed with room for rounding; minus infinity where none is."""
    region, matrices = region_of([box]), row[None].to(network.graph.device)
    found = float(lower_bounds(network.to(torch.float64), region.to(torch.float64), matrices, "alpha-crown")[0, 0])
    for room in ROOMS if math.isfinite(found) else ():
        limit = found - room * (1.0 + abs(found))
        offset = torch.tensor([[limit]], dtype=torch.float64, device=matrices.device)
        if float(confirmed_bounds(network, region, matrices, offset, "alpha-crown", Effort()).runs[0, 0]) > 0:
            return limit
    return -math.inf


def _states(part: Network, box: Box, deadline: Deadline) -> list[NeuronState]:
    """What the outputs of a part of a network, which are operands of rectifiers, do over a box."""
    count = part.graph.outputs
    eye = torch.eye(count, dtype=torch.float64)
    values = part.graph.forward(_drawn(box, DRAWN, 0).to(part.graph.dtype)).flatten(1)
    positive, negative = (values > 0).any(0).tolist(), (values < 0).any(0).tolist()
    region, zeros = region_of([box]), torch.zeros(1, 2 * count, dtype=torch.float64, device=part.graph.device)
    rows = torch.cat([eye, -eye])[None].to(part.graph.device)
    margins = confirmed_bounds(part, region, rows, zeros, "crown", Effort(), every=False).runs[0].tolist()
    states = []
    for neuron in range(count):
        sides = []
        for seen, margin, sign in ((positive, margins[count + neuron], -1.0), (negative, margins[neuron], 1.0)):
            happens = True if seen[neuron] else (False if margin > 0 else None)
            sides.append(_happens(part, box, sign * eye[neuron : neuron + 1], deadline) if happens is None else happens)
        states.append(_STATE.get((sides[0], sides[1]), NeuronState.UNKNOWN))
    return states


_STATE: dict[tuple[bool | None, bool | None], NeuronState] = {
    (False, True): NeuronState.DEAD,
    (False, False): NeuronState.DEAD,
    (True, False): NeuronState.LINEAR,
    (True, True): NeuronState.OPEN,
}


def _happens(part: Network, box: Box, row: Tensor, deadline: Deadline) -> bool | None:
    """Whether ``row @ y`` falls below 0; None where time ran out or only 0 itself is reached."""
    case = Property(box, UnsafeSet((Halfspaces(row, torch.zeros(1, dtype=torch.float64)),)), "the other side")
    found = _decide(part, [case], box, deadline.within(min(NEURON_SECONDS, deadline.left / 2)), part.graph.forward)
    if found.witness is not None:
        return True if float(_values(part.graph, found.witness[None], row)[0]) < 0 else None
    return False if found.verdict is Verdict.VERIFIED else None


def _twins(graph: Graph) -> list[tuple[int, int]]:
    """Neurons of one linear layer whose weights and bias are positive multiples of another's."""
    node = graph.nodes[graph.output]
    if node.op != "linear":
        return []
    weight, bias = node.arguments["weight"].double(), node.arguments["bias"]
    rows = torch.cat([weight, (weight.new_zeros(len(weight)) if bias is None else bias.double())[:, None]], 1)
    size = rows.norm(dim=1, keepdim=True)
    unit = rows / size.clamp_min(1e-300)
    near = (unit[:, None] - unit[None]).abs().amax(2) <= 1e-6
    near &= (size > 0) & (size > 0).T
    return [(i, j) for i in range(len(rows)) for j in range(i + 1, len(rows)) if bool(near[i, j])]


def _drawn(box: Box, count: int, seed: int) -> Tensor:
    """Uniform points and corners of a box, float32 ``[count, *shape]``."""
    share = torch.rand(count, *box.shape, generator=torch.Generator().manual_seed(seed))
    share[count // 2 :] = share[count // 2 :].round()
    lower, upper = box.lower.cpu().double(), box.upper.cpu().double()
    return box.clamp((lower + share * (upper - lower)).float().to(box.lower.device))


def _smallest(graph: Graph, box: Box, row: Tensor, turn: int) -> Tensor:
    """Points at which a row of the outputs is small: the best drawn ones, and descent from them, ``[k, *shape]``."""
    points = _drawn(box, DRAWN, turn)
    best = points[_values(graph, points, row).argsort()[:8]]
    half, x = (box.upper - box.lower).to(best) / 2, best
    for step in range(STEPS):
        varying = x.detach().to(graph.dtype).requires_grad_(True)
        with torch.enable_grad():
            value = (graph.forward(varying).flatten(1) @ row[0].to(varying)).sum()
            (gradient,) = torch.autograd.grad(value, varying)
        x = box.clamp(x - half * (1 - step / STEPS) * gradient.sign().to(x))
    found = torch.cat([x, best])
    return found[_values(graph, found, row).argsort()]


def _values(graph: Graph, points: Tensor, row: Tensor) -> Tensor:
    with torch.no_grad():
        outputs = graph.forward(points.to(graph.dtype)).flatten(1).double()
    return outputs @ row[0].to(outputs)
