"""Bounds of a pair question over many boxes of people, and where to look and to cut next."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.properties.counterparts import Counterparts
from verifiers.functions import Functions
from verifiers.individual.boxes import Boxes
from verifiers.individual.questions import PairQuestion
from verifiers.memory import Effort, chunk_samples
from verifiers.methods import METHODS
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region
from verifiers.rounding import execution_noise
from verifiers.roundoff import Roundoff

BATCH = 2048
"""Boxes that are bounded together, at most."""
FINEST = 1e-6
"""A continuous range is not halved where a box has at most this share of it."""


class Bounder:
    """CROWN over the product network, in float64.

    Args:
        network: of ``counterparts.paired(...)``, prepared.
        counterparts: who is compared with whom.
        question: what must hold of the two.
        slack: by how much a bound must exceed zero, for a model that is only nearly this graph.
    """

    def __init__(self, network: Network, counterparts: Counterparts, question: PairQuestion, slack: float) -> None:
        self.network, self.counterparts, self.slack = network.to(torch.float64), counterparts, slack
        device = self.network.graph.device
        self.matrix, self.offset = question.matrix.to(device), question.offset.to(device)
        self.effort = Effort()
        self.size = min(BATCH, chunk_samples(self.network, len(self.matrix), self.effort))
        self.owners, self.counted = counterparts.owners(), counterparts.counted
        self.step_of = {
            place: item.step or 1.0 for place, item in enumerate(counterparts.people.attributes) if not item.one_hot
        }

    def bounds(self, boxes: Boxes) -> tuple[Tensor, Tensor]:
        """Which rows of the question are proved positive all over, bool ``[n, rows]``, and slopes ``[n, rows, joint]``.

        The rows lie above linear functions of the joint input with these slopes.
        """
        ends = self.counterparts.region(boxes.lower, boxes.upper, boxes.step)
        shape = self.network.graph.input_shape
        low, high = (end.to(self.matrix.device).reshape(-1, *shape) for end in ends)
        region = Region(low, high)
        roundoff = Roundoff(self.network, run=True)
        linear = propagate(self.network, region, METHODS["crown"], self.effort, roundoff=roundoff)
        matrices = self.matrix.expand(len(boxes), -1, -1)
        slopes, constants, toll = linear.lines(Functions.of(self.network.graph.output, matrices))
        slopes, constants = slopes.expand(len(boxes), -1, -1), constants.expand(len(boxes), -1)
        minimum, wanted = constants + region.minimum(slopes), self.offset + self.slack * matrices.abs().sum(2)
        reals, runs = (
            torch.nan_to_num(part, nan=-torch.inf, posinf=-torch.inf) - wanted
            for part in (toll.of_reals(minimum), toll.off(minimum))
        )
        near = torch.nonzero(((reals > 0) & (runs <= 0)).any(1))[:, 0]
        proved = runs > 0
        if len(near):
            noise = execution_noise(linear.take(near), self.network.graph.output, matrices[near], typical=True)
            proved[near] |= reals[near] > noise
        return proved.cpu(), slopes.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).cpu()

    def reach(self, boxes: Boxes, slopes: Tensor) -> Tensor:
        """How much each dimension moves the question, ``[n, dimensions]``; 0 where it cannot be halved."""
        low, high = self.counterparts.region(boxes.lower, boxes.upper, boxes.step)
        moved = slopes.abs().amax(1) * (high - low)
        total = torch.zeros_like(boxes.lower)
        joint = torch.nonzero(self.owners >= 0)[:, 0]
        total.index_add_(1, self.owners[joint], moved[:, joint])
        width = boxes.upper - boxes.lower
        return torch.where(width > 0, total + 1e-9 * (1 + width), 0.0)

    def corners(self, boxes: Boxes, slopes: Tensor) -> Tensor:
        """The corner of each box where a linear function of the joint input is smallest: ``[n, dimensions]``.

        Args:
            boxes: ``n``.
            slopes: ``[n, joint]``.
        """
        found = boxes.lower.clone()
        for place, item in enumerate(self.counterparts.people.attributes):
            if place == self.counterparts.changed:
                continue
            part = slopes[:, list(item.columns)]
            if item.one_hot:
                number = torch.arange(part.shape[1], dtype=torch.float64)
                outside = (number < boxes.lower[:, place, None]) | (number > boxes.upper[:, place, None])
                found[:, place] = part.masked_fill(outside, torch.inf).argmin(1).double()
            else:
                found[:, place] = torch.where(part[:, 0] > 0, boxes.lower[:, place], boxes.upper[:, place])
        count = len(self.counterparts.people.attributes)
        if found.shape[1] > count:
            part = slopes[:, -(found.shape[1] - count) :]
            found[:, count:] = torch.where(part > 0, boxes.lower[:, count:], boxes.upper[:, count:])
        return found
