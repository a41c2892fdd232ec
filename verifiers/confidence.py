"""How sure a classifier can be of any input of a box: never more than what is proved, as much as what is reached.

A fooling input is one that shows nothing and is called a class with near certainty. Over a box of such inputs, noise
around grey, say, an upper bound of all confidences proves that there is none.

With logits ``y`` the softmax of class ``k`` is ``1 / (1 + sum_j exp(y_j - y_k))``. So lower bounds of the differences
bound it from above. And where it exceeds ``t``, every ``y_j - y_k`` is below ``log((1 - t) / t)``, and their mean below
``log((1 - t) / t / (K - 1))`` by convexity: linear constraints on the outputs, which branch and bound can exclude.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from robust.record.answer import Verdict
from verifiers.bounding import lower_bounds
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.decide import decide
from verifiers.memory import Effort
from verifiers.network import Network
from verifiers.region import region_of

DRAWN, STEPS = 256, 40
"""Points that the ascent begins from, for each class, and its steps."""
ROUNDS = 12
"""Levels that are tried between what is proved and what is reached."""
UPWARD = 1 + 1e-12
"""What a proved confidence is raised by for the rounding of its own formula."""


@dataclass(frozen=True, eq=False)
class LargestConfidence:
    """The largest softmax of any class over a box.

    Attributes:
        bound: proved, in real numbers: no input of the box has more. 1 where nothing is known.
        reached: what ``witness`` has, in the graph's own arithmetic.
        label: the class that it has it in.
        witness: ``[*shape]``, inside the box.
        reason: why the two are apart, if they are.
    """

    bound: float
    reached: float
    label: int
    witness: Tensor
    reason: str = ""


def largest_confidence(
    network: Network, box: Box, deadline: Deadline, *, share: float = 0.02, labels: Sequence[int] | None = None
) -> LargestConfidence:
    """Bounds first, then levels between what is proved and what is reached, each by branch and bound.

    Args:
        network: prepared graph, whose outputs are logits.
        box: of inputs.
        deadline: for all of it.
        share: stop when bound and reached are within this share of ``1 - 1 / classes``.
        labels: the classes that are asked about, all by default; without one that rejects, say.

    Raises:
        PropertyError: there are fewer than two classes, or a label is none.
    """
    classes = network.graph.outputs
    if classes < 2:
        raise PropertyError("confidence needs classes", wanted="two outputs or more", got=classes)
    asked = tuple(range(classes)) if labels is None else tuple(dict.fromkeys(labels))
    if not asked or not all(0 <= label < classes for label in asked):
        raise PropertyError("a confidence is in a class", wanted=f"some of 0..{classes - 1}", got=asked)
    witness, label, reached = _surest(network, box, asked)
    bound, reason = _by_bounds(network, box, deadline, asked), ""
    low, close = reached, share * (1 - 1 / classes)
    for _ in range(ROUNDS):
        if bound - low <= close or deadline.expired:
            break
        level = (low + bound) / 2
        case = Property(box, above(level, classes, asked))
        replay = _Replay(network, case)
        found = decide(network, [case], deadline=deadline.within(deadline.left / 2), replay=replay)
        if found.verdict is Verdict.VERIFIED:
            bound = min(bound, level)
        elif found.witness is not None:
            other, surest, sure = _best(network, found.witness[None], asked)
            if sure > reached:
                witness, label, reached = other, surest, sure
            low = level  # the constraints can be met there, though perhaps by no input so sure
            reason = "the linear constraints that a confidence implies can be met above what was reached"
        else:
            low, reason = level, found.reason
    if bound - reached > close and not reason:
        reason = "time ran out"
    return LargestConfidence(min(1.0, bound), reached, label, witness, reason if bound - reached > close else "")


def above(level: float, classes: int, labels: Sequence[int] | None = None) -> UnsafeSet:
    """Outputs that a softmax above ``level`` implies: for each class the differences to all others, and their mean.

    Args:
        level: between 0 and 1.
        classes: outputs.
        labels: of the softmax, all by default.
    """
    odds = math.log((1 - level) / level)
    clauses = []
    for label in range(classes) if labels is None else labels:
        rows = torch.eye(classes, dtype=torch.float64)
        rows[:, label] -= 1
        rows = torch.cat([rows[:label], rows[label + 1 :]])
        matrix = torch.cat([rows, rows.mean(0, keepdim=True)])
        offset = torch.full((len(matrix),), odds, dtype=torch.float64)
        offset[-1] -= math.log(classes - 1)
        slack = 1e-12 * (1 + offset.abs())  # for the rounding of the logarithms
        clauses.append(Halfspaces(matrix, offset + slack))
    return UnsafeSet(tuple(clauses))


class _Replay:
    def __init__(self, network: Network, case: Property) -> None:
        self._graph, self._case = network.graph, case

    def __call__(self, place: int, points: Tensor) -> Tensor | None:
        inside = self._case.inputs.bounding_box().clamp(points)
        reached = self._case.unsafe.contains(self._graph.forward(inside).flatten(1).double())
        return inside[reached][0] if bool(reached.any()) else None


def _by_bounds(network: Network, box: Box, deadline: Deadline, labels: Sequence[int]) -> float:
    """From lower bounds of all differences of logits, in float64 with their rounding."""
    double, region, classes = network.to(torch.float64), region_of([box]), network.graph.outputs
    unit = torch.eye(classes, dtype=torch.float64)
    worst, effort = 0.0, Effort(expired=lambda: deadline.expired)
    for label in labels:
        rows = torch.cat([unit[:label], unit[label + 1 :]]) - unit[label]
        try:
            least = lower_bounds(double, region, rows[None], "crown", effort)[0]
        except OutOfTimeError:
            return 1.0
        total = float(torch.exp(torch.nan_to_num(least, nan=-torch.inf)).sum())
        worst = max(worst, UPWARD / (1 + total) if math.isfinite(total) else 1.0)
    return min(1.0, worst)


def _surest(network: Network, box: Box, labels: Sequence[int]) -> tuple[Tensor, int, float]:
    """The surest input that an ascent finds, by the gradient's sign, from random points and corners."""
    graph, generator = network.graph, torch.Generator().manual_seed(0)
    lower, upper = box.lower.to(graph.device).float(), box.upper.to(graph.device).float()
    unit = torch.rand(DRAWN, *box.shape, generator=generator).to(lower)
    unit[DRAWN // 2 :] = unit[DRAWN // 2 :].round()
    x, rate = lower + unit * (upper - lower), 0.25
    best = _best(network, box.clamp(x), labels)
    among = torch.tensor(labels, device=x.device)
    wanted = among[torch.arange(len(x), device=x.device) % len(among)]
    for _ in range(STEPS):
        leaf = x.detach().requires_grad_(True)
        with torch.enable_grad():
            scores = torch.log_softmax(graph.forward(leaf).flatten(1).double(), 1)
            (slope,) = torch.autograd.grad(scores[range(len(x)), wanted].sum(), leaf)
        x = box.clamp(x + rate * (upper - lower) * torch.nan_to_num(slope).sign())
        found, rate = _best(network, x, labels), 0.93 * rate
        best = found if found[2] > best[2] else best
    return best


def _best(network: Network, points: Tensor, labels: Sequence[int]) -> tuple[Tensor, int, float]:
    with torch.no_grad():
        outputs = network.graph.forward(points.to(network.graph.device, network.graph.dtype)).flatten(1).double()
    scores = torch.where(outputs.isfinite().all(1, keepdim=True), torch.softmax(outputs, 1), 0.0)
    own = scores[:, list(labels)]
    place = int(own.max(1).values.argmax())
    label = labels[int(own[place].argmax())]
    return points[place], label, float(scores[place, label])
