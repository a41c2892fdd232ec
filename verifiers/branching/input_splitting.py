"""Input splitting: boxes are bounded, cut to what may still be unsafe, and split, thousands at a time.

CROWN bounds get tighter quadratically as a box shrinks, so that for few varying inputs splitting them decides what no
relaxation of neurons does (Wang et al., Formal Security Analysis of Neural Networks using Symbolic Intervals, 2018).
Everything is computed in float64; a part counts as proved when its bound exceeds what rounding may be worth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.properties import Property
from robust.record.answer import Verdict
from verifiers.branching.clipping import clipped
from verifiers.branching.outcome import Outcome, Replay
from verifiers.branching.questions import Questions
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.functions import Functions
from verifiers.interval import Bounds
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort, chunk_samples
from verifiers.methods import METHODS
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region, region_of
from verifiers.rounding import execution_noise

MARGIN = 1e-6
"""Share of the outputs' magnitude that a bound must exceed, as in ``verifiers.certify``."""
import os
MODE=os.environ.get('MODE','gap'); WHICH=os.environ.get('WHICH','worst')
FLOOR = float(os.environ.get('FLOOR','0.2'))
"""Share of a row's largest coefficient that every coefficient counts with when a dimension is chosen."""
BATCH = 1024
"""Boxes that are bounded together, at most."""
CANDIDATES = 64
"""Points per round that the real model is asked about, at most."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """Parts of input sets.

    Attributes:
        lower, upper: ``[n, d]``, float64, of the inputs that vary.
        owner: int64 ``[n]``: the case.
        bounds: node -> lower and upper ends ``[n, elements]`` that hold already.
    """

    lower: Tensor
    upper: Tensor
    owner: Tensor
    bounds: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.lower.shape[0]

    def take(self, rows: Tensor | slice) -> Boxes:
        """Some of them."""
        bounds = {index: (low[rows], high[rows]) for index, (low, high) in self.bounds.items()}
        return Boxes(self.lower[rows], self.upper[rows], self.owner[rows], bounds)

    def halves(self, dimension: Tensor) -> Boxes:
        """Each cut in the middle of one dimension ``[n]``; lower halves first."""
        at = dimension[:, None]
        middle = (self.lower.gather(1, at) + self.upper.gather(1, at)) / 2
        lower = torch.cat([self.lower, self.lower.scatter(1, at, middle)])
        upper = torch.cat([self.upper.scatter(1, at, middle), self.upper])
        twice = {index: (torch.cat([low, low]), torch.cat([high, high])) for index, (low, high) in self.bounds.items()}
        return Boxes(lower, upper, torch.cat([self.owner, self.owner]), twice)


def split_inputs(
    network: Network,
    cases: Sequence[Property],
    deadline: Deadline,
    *,
    replay: Replay | None = None,
    effort: Effort | None = None,
) -> list[Outcome]:
    """Answer cases over boxes by splitting the boxes.

    Args:
        network: prepared graph.
        cases: properties over boxes; of all of them the first witness ends the search.
        deadline: honoured inside bounds as well.
        replay: confirms witnesses on the real model; without, nothing is FALSIFIED.
        effort: limits on work and memory.

    Returns:
        An outcome per case, in order; after a witness the other cases say how far they were.
    """
    return _Search(network.to(torch.float64), cases, deadline, replay, effort or Effort()).run()


class _Search:
    def __init__(
        self, network: Network, cases: Sequence[Property], deadline: Deadline, replay: Replay | None, effort: Effort
    ) -> None:
        graph = network.graph
        self.network, self.deadline, self.replay = network, deadline, replay
        self.effort = Effort(effort.rows, effort.bytes, lambda: deadline.expired)
        self.questions = Questions.of(cases, graph.dtype, graph.device)
        region = region_of([case.inputs for case in cases]).to(graph.dtype, graph.device)
        self.root_lower, self.root_upper = region.lower.flatten(1), region.upper.flatten(1)
        self.varying = torch.nonzero((self.root_upper > self.root_lower).any(0))[:, 0]
        self.kept = [index for index in network.relaxed_operands if index not in network.affine_prefix]
        self.domains = torch.zeros(len(cases), dtype=torch.int64, device=graph.device)
        self.best_closed = torch.full((len(cases),), torch.inf, dtype=graph.dtype, device=graph.device)
        self.size = min(BATCH, chunk_samples(network, self.questions.matrix.shape[1], self.effort))

    def run(self) -> list[Outcome]:
        start = torch.arange(len(self.root_lower), device=self.root_lower.device)
        stack = [Boxes(self.root_lower[:, self.varying], self.root_upper[:, self.varying], start)]
        found: tuple[int, Tensor] | None = None
        reason = ""
        while found is None:
            boxes = self._next(stack)
            if not len(boxes):
                break
            try:
                left, found = self._round(boxes)
            except OutOfTimeError:
                stack.append(boxes)
                reason = "time ran out"
                break
            if found is None and len(left):
                left = self._children(left, sum(map(len, stack)))
            stack.append(left)
        return self._outcomes(stack, found, reason)

    def _next(self, stack: list[Boxes]) -> Boxes:
        """The newest boxes, as many as fit."""
        boxes = stack.pop()
        while stack and len(boxes) + len(stack[-1]) <= self.size:
            boxes = _joined(boxes, stack.pop())
        if len(boxes) > self.size:
            stack.append(boxes.take(slice(self.size, None)))
            boxes = boxes.take(slice(0, self.size))
        return boxes

    def _round(self, boxes: Boxes) -> tuple[Boxes, tuple[int, Tensor] | None]:
        """What is left of boxes, and a witness."""
        self.effort.check()
        self.domains.index_add_(0, boxes.owner, torch.ones_like(boxes.owner))
        lower, upper = self._whole(boxes)
        shape = self.network.graph.input_shape
        region = Region(lower.reshape(-1, *shape), upper.reshape(-1, *shape))
        known = {
            index: Bounds(*(end.reshape(self.network.graph.nodes[index].batched(len(boxes))) for end in ends))
            for index, ends in boxes.bounds.items()
        }
        linear = propagate(self.network, region, METHODS["crown"], self.effort, known=known)
        matrices = self.questions.matrix[boxes.owner]
        passed: dict[int, Tensor] = {}
        slopes, constants = linear.lines(Functions.of(self.network.graph.output, matrices), passed=passed)
        slopes, constants = slopes.expand(len(boxes), -1, -1), constants.expand(len(boxes), -1)
        minimum = constants + region.minimum(slopes)
        need = self._rounding(linear, matrices, minimum, boxes)
        excess = self.questions.excess(minimum - need, boxes.owner)
        margins = self.questions.margins(excess, boxes.owner)
        closed = (margins > 0).all(1)
        self._note(closed, margins, boxes.owner)
        rows = torch.nonzero(~closed)[:, 0]
        if not len(rows):
            return boxes.take(rows), None
        found = self._witness(slopes[rows], region.take(rows), boxes.owner[rows])
        if found is not None:
            return boxes.take(rows), found
        bounds = {index: tuple(end[rows] for end in linear.bounds[index].flat(len(boxes))) for index in self.kept}
        left = Boxes(boxes.lower[rows], boxes.upper[rows], boxes.owner[rows], bounds)
        slopes = slopes[rows]
        fixed = torch.ones(lower.shape[1], dtype=torch.bool, device=lower.device)
        fixed[self.varying] = False
        constants = constants[rows] - need[rows] - self.questions.offset[left.owner]
        constants = constants + (slopes[:, :, fixed] * lower[rows][:, None, fixed]).sum(2)
        left, empty = self._clipped(left, slopes[:, :, self.varying], constants, margins[rows])
        if bool(empty.any()):
            self.best_closed.scatter_reduce_(0, left.owner[empty], torch.zeros_like(left.lower[empty][:, 0]), "amin")
        if MODE == "gap":
            score = self._gap_scores(linear, passed, rows, left, margins[rows], excess[rows])
        else:
            score = self._scores(left, slopes[:, :, self.varying], excess[rows], margins[rows])
        self.score = score[~empty]
        return left.take(~empty), None

    def _rounding(self, linear: LinearBounds, matrices: Tensor, minimum: Tensor, boxes: Boxes) -> Tensor:
        """What a bound must exceed: ``[n, m]``; estimated where a bound is near to counting."""
        offset = self.questions.offset[boxes.owner]
        output = linear.bounds[self.network.graph.output]
        low, high = output.flat(len(boxes))
        size = torch.maximum(low.abs(), high.abs())
        need = MARGIN * (torch.bmm(matrices.abs(), size[:, :, None])[:, :, 0] + offset.abs())
        near = self.questions.margins(self.questions.excess(minimum, boxes.owner), boxes.owner)
        rows = torch.nonzero((near > 0).all(1))[:, 0]
        if len(rows):
            part = linear if len(rows) == len(boxes) else linear.take(rows)
            need[rows] += execution_noise(part, self.network.graph.output, matrices[rows])
        return need

    def _clipped(
        self, boxes: Boxes, slopes: Tensor, constants: Tensor, margins: Tensor
    ) -> tuple[Boxes, Tensor]:
        """Boxes cut to where some clause may hold, and which of them are empty."""
        rows = self.questions.rows
        real = self.questions.real[boxes.owner].flatten(1)
        constants = torch.where(real, constants, -torch.inf)
        lower, upper = torch.full_like(boxes.lower, torch.inf), torch.full_like(boxes.upper, -torch.inf)
        for clause in range(margins.shape[1]):
            part = slice(clause * rows, (clause + 1) * rows)
            low, high = clipped(boxes.lower, boxes.upper, slopes[:, part], constants[:, part])
            gone = ((low > high).any(1) | (margins[:, clause] > 0))[:, None]
            lower = torch.minimum(lower, torch.where(gone, torch.inf, low))
            upper = torch.maximum(upper, torch.where(gone, -torch.inf, high))
        empty = (lower > upper).any(1)
        return Boxes(lower, upper, boxes.owner, boxes.bounds), empty

    def _witness(self, slopes: Tensor, region: Region, owner: Tensor) -> tuple[int, Tensor] | None:
        """Points where linear bounds are smallest, tried on the graph, and the best of them on the real model."""
        if self.replay is None:
            return None
        points = region.minimiser(slopes)
        middle = ((region.lower + region.upper) / 2).flatten(1)[:, None]
        points = torch.cat([points, middle], 1)
        graph = self.network.graph
        outputs = graph.forward(points.reshape(-1, *graph.input_shape)).reshape(*points.shape[:2], -1)
        distance = self.questions.distance(outputs, owner)
        best, at = distance.min(1)
        order = best.argsort()[:CANDIDATES]
        order = order[best[order] <= 0]
        for case in owner[order].unique().tolist():
            rows = order[owner[order] == case]
            found = self.replay(case, points[rows, at[rows]].reshape(-1, *graph.input_shape).float())
            if found is not None:
                return case, found
        return None

    def _scores(self, boxes: Boxes, slopes: Tensor, excess: Tensor, margins: Tensor) -> Tensor:
        """How much each dimension matters to the constraint that is nearest to a proof: ``[n, d]``."""
        worst = margins.argmin(1)
        best = worst * self.questions.rows + excess[torch.arange(len(worst)), worst].argmax(1)
        chosen = slopes.gather(1, best[:, None, None].expand(-1, 1, slopes.shape[2]))[:, 0].abs()
        chosen = torch.nan_to_num(chosen, nan=1.0, posinf=1.0)
        floor = FLOOR * chosen.amax(1, keepdim=True)
        return torch.maximum(chosen, floor).clamp_min(1e-30) * (boxes.upper - boxes.lower)

    def _gap_scores(self, linear, passed, rows, boxes, margins, excess) -> Tensor:
        n, d = boxes.lower.shape
        middle = (boxes.lower + boxes.upper) / 2
        half = torch.diag_embed((boxes.upper - boxes.lower) / 2)
        points = torch.cat([middle[:, None] - half, middle[:, None] + half], 1)
        lower, _ = self._whole(boxes)
        full = lower[:, None].expand(-1, 2 * d, -1).clone()
        full[:, :, self.varying] = points
        graph = self.network.graph
        batch = n * 2 * d
        values = {0: full.reshape(graph.nodes[0].batched(batch))}
        score = torch.zeros_like(boxes.lower)
        if WHICH == "worst":
            worst = margins.argmin(1)
            best = worst * self.questions.rows + excess[torch.arange(len(worst)), worst].argmax(1)
        for node in graph.nodes[1:]:
            values[node.index] = node.apply([values[i] for i in node.inputs], batch)
            if node.index not in passed:
                continue
            weight = passed[node.index].expand(len(linear.region), -1, -1)[rows].abs()
            if WHICH == "worst":
                weight = weight[torch.arange(n), best]
            else:
                weight = (weight * (self.questions.real[boxes.owner] & (margins <= 0)[:, :, None]).flatten(1)[:, :, None]).sum(1)
            relaxed = linear.relaxation(node).take(rows)
            gap = 0
            width = 0
            for k, source in enumerate(node.inputs):
                low, high = (e[rows] for e in linear.bounds[source].flat(len(linear.region)))
                gap = gap + (relaxed.upper.slopes[k] - relaxed.lower.slopes[k]) * (low + high) / 2
                width = width + (high - low)
            for lines, sign in ((relaxed.upper, 1), (relaxed.lower, -1)):
                if lines.intercept is not None:
                    gap = gap + sign * lines.intercept
            weight = weight * (gap / width.clamp_min(1e-30)).nan_to_num(0, 0, 0)
            for source in node.inputs:
                v = values[source].reshape(n, 2, d, -1)
                score += (weight[:, None] * (v[:, 0] - v[:, 1]).abs()).sum(2)
        return score + 1e-6 * score.amax(1, keepdim=True) * 0 + 1e-30 * (boxes.upper - boxes.lower)

    def _children(self, boxes: Boxes, waiting: int) -> Boxes:
        """Halves; of few boxes halves of halves, so that a batch is full."""
        score = self.score
        depth = max(1, min(boxes.lower.shape[1], int(math.log2(max(2, self.size // 2 / max(1, len(boxes) + waiting))))))
        for _ in range(depth):
            dimension = score.argmax(1)
            boxes = boxes.halves(dimension)
            score = score.scatter(1, dimension[:, None], score.gather(1, dimension[:, None]) / 2)
            score = torch.cat([score, score])
        return boxes

    def _whole(self, boxes: Boxes) -> tuple[Tensor, Tensor]:
        """All inputs of boxes, fixed ones included: lower and upper ends ``[n, inputs]``."""
        lower, upper = self.root_lower[boxes.owner].clone(), self.root_upper[boxes.owner].clone()
        lower[:, self.varying], upper[:, self.varying] = boxes.lower, boxes.upper
        return lower, upper

    def _note(self, closed: Tensor, margins: Tensor, owner: Tensor) -> None:
        self.best_closed.scatter_reduce_(0, owner[closed], margins[closed].amin(1), "amin")

    def _outcomes(self, stack: list[Boxes], found: tuple[int, Tensor] | None, reason: str) -> list[Outcome]:
        open_ = torch.zeros_like(self.domains)
        for boxes in stack:
            open_.index_add_(0, boxes.owner, torch.ones_like(boxes.owner))
        result = []
        for case, (count, left, bound) in enumerate(
            zip(self.domains.tolist(), open_.tolist(), self.best_closed.tolist(), strict=True)
        ):
            if found is not None and found[0] == case:
                result.append(Outcome(Verdict.FALSIFIED, "witness", None, count, left, found[1]))
            elif left or found is not None:
                result.append(Outcome(Verdict.UNKNOWN, reason or "another case has a witness", None, count, left))
            else:
                result.append(Outcome(Verdict.VERIFIED, "every part is proved", bound, count, 0))
        return result


def _joined(one: Boxes, two: Boxes) -> Boxes:
    bounds = {}
    if one.bounds and two.bounds:
        bounds = {
            index: (torch.cat([low, two.bounds[index][0]]), torch.cat([high, two.bounds[index][1]]))
            for index, (low, high) in one.bounds.items()
        }
    lower, upper = torch.cat([one.lower, two.lower]), torch.cat([one.upper, two.upper])
    return Boxes(lower, upper, torch.cat([one.owner, two.owner]), bounds)
