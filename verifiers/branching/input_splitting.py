"""Input splitting: boxes are bounded, cut to what may still be unsafe, and split, thousands at a time.

CROWN bounds get tighter quadratically as a box shrinks, so that for few varying inputs splitting them decides what no
relaxation of neurons does (Wang et al., Formal Security Analysis of Neural Networks using Symbolic Intervals, 2018).
Everything is computed in float64; a part counts as proved when its bound exceeds what rounding may be worth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties import Property
from robust.record.answer import Verdict
from verifiers.branching.box_margins import box_margins
from verifiers.branching.box_method import quickest
from verifiers.branching.box_witnesses import BoxWitnesses
from verifiers.branching.boxes import Boxes, divided, newest, varying
from verifiers.branching.clipping import clipped
from verifiers.branching.dimensions import scores
from verifiers.branching.input_tree import InputTree
from verifiers.branching.outcome import Outcome, Replay, Search
from verifiers.branching.questions import Questions
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.functions import Functions
from verifiers.interval import Bounds
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort, chunk_samples, out_of_memory
from verifiers.methods import METHODS
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region, region_of
from verifiers.rounding import execution_noise
from verifiers.roundoff import AFFORDABLE, Roundoff

FINEST = 2.0**-30
"""A box is not split where every side is at most this share of the whole input set's."""
BATCH = 1024
"""Boxes that are bounded together, at most."""


def split_inputs(
    network: Network,
    cases: Sequence[Property],
    deadline: Deadline,
    *,
    replay: Replay | None = None,
    search: Search | None = None,
    effort: Effort | None = None,
    domains: int | None = None,
    keep_proof: bool = False,
) -> list[Outcome]:
    """Answer cases over boxes by splitting the boxes.

    Args:
        network: prepared graph.
        cases: properties over boxes; of all of them the first witness ends the search.
        deadline: honoured inside bounds as well.
        replay: confirms witnesses on the real model; without, nothing is FALSIFIED.
        search: proposes further candidates; asked now and then, more and more rarely.
        effort: limits on work and memory.
        domains: about how many boxes may be bounded in all. Then the bounds are CROWN's, whatever they cost, so that
            without ``search`` the same call gives the same answers.
        keep_proof: hand back the trees of proofs.

    Returns:
        An outcome per case, in order; after a witness the other cases say how far they were.

    Raises:
        PropertyError: an input set that is no box.
    """
    with torch.no_grad():
        return _Search(network, cases, deadline, replay, search, effort or Effort(), domains, keep_proof).run()


class _Search:
    def __init__(
        self,
        network: Network,
        cases: Sequence[Property],
        deadline: Deadline,
        replay: Replay | None,
        search: Search | None,
        effort: Effort,
        most: int | None,
        keep_proof: bool,
    ) -> None:
        self.most = most
        self.single, self.network = network.to(torch.float32), network.to(torch.float64)
        graph = self.network.graph
        self.effort = dataclasses.replace(effort, expired=lambda: deadline.expired)
        self.questions = Questions.of(cases, graph.dtype, graph.device)
        region = region_of([case.inputs for case in cases]).to(graph.dtype, graph.device)
        if region.norm != "linf":
            raise PropertyError("inputs are split for boxes only", wanted="boxes", got=region.norm)
        self.root_lower, self.root_upper = region.lower.flatten(1), region.upper.flatten(1)
        self.witnesses = BoxWitnesses(graph, self.questions, region, deadline, replay, search)
        self.varying = torch.nonzero(varying(self.root_lower, self.root_upper).any(0))[:, 0]
        self.whole = (
            torch.ones_like(self.root_lower[0], dtype=torch.bool).index_fill(0, self.varying, False).nonzero()[:, 0]
        )
        self.kept = [index for index in self.network.relaxed_operands if index not in self.network.affine_prefix]
        self.domains = torch.zeros(len(cases), dtype=torch.int64, device=graph.device)
        self.runs, self.rounds = True, 0
        self.real_alone = torch.zeros(len(cases), dtype=torch.bool, device=graph.device)
        self.smallest = torch.full((len(cases),), torch.inf, dtype=graph.dtype, device=graph.device)
        self.method = (
            METHODS["crown"]
            if most is not None
            else quickest(self.network, region.take(torch.zeros(1, dtype=torch.int64)), self.effort)
        )
        if keep_proof:
            self.method = dataclasses.replace(self.method, alone=True)
        name = "crown over zonotopes" if self.method.forward else "crown"
        self.tree = InputTree(self.varying, name) if keep_proof else None
        rows = self.questions.matrix.shape[1]
        self.size = min(BATCH, chunk_samples(self.network, rows, self.effort, forms=self.method.forward))

    def run(self) -> list[Outcome]:
        """Until nothing is left, a witness is found, or time is up."""
        start = torch.arange(len(self.root_lower), device=self.root_lower.device)
        ends = self.root_lower[:, self.varying], self.root_upper[:, self.varying]
        stack = [Boxes(*ends, start, torch.full_like(start, -1))]
        found: tuple[int, Tensor] | None = None
        reason = "another case has a witness"
        while found is None and stack:
            if self.most is not None and int(self.domains.sum()) >= self.most:
                reason = f"the limit of {self.most} domains is reached"
                break
            boxes = newest(stack, self.size)
            mark = 0 if self.tree is None else len(self.tree)
            try:
                left, score, found = self._round(boxes)
                if found is None:
                    found = self.witnesses.searched(left.owner)
            except OutOfTimeError:
                stack.append(boxes)
                reason = "time ran out"
                break
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                stack.append(boxes)
                reason = "not even one part fits into the memory"
                if len(boxes) == 1:
                    break
                self.size = len(boxes) // 2
                if self.tree is not None:
                    self.tree.back_to(mark)
                continue
            if found is None and len(left) and self._stuck(left):
                stack.append(left)
                if self.runs:  # real numbers alone may still be told from the threshold
                    self.runs = False
                    continue
                reason = "a part as small as arithmetic allows stays within rounding of the threshold"
                break
            if len(left):
                room = self.size // 2 / max(1, len(left) + sum(map(len, stack)))
                stack.append(left if found is not None else divided(left, score, room))
        return self._outcomes(stack, found, reason)

    def _round(self, boxes: Boxes) -> tuple[Boxes, Tensor, tuple[int, Tensor] | None]:
        """What is left of boxes, how much each dimension matters there ``[n, d]``, and a witness."""
        self.effort.check()
        self.domains.index_add_(0, boxes.owner, torch.ones_like(boxes.owner))
        lower, upper = self._whole(boxes)
        shape = self.network.graph.input_shape
        region = Region(lower.reshape(-1, *shape), upper.reshape(-1, *shape))
        linear = self._bounded(region, self._known(boxes))
        matrices = self.questions.matrix[boxes.owner]
        passed: dict[int, Tensor] = {}
        slopes, constants, toll = linear.lines(Functions.of(self.network.graph.output, matrices), passed=passed)
        slopes, constants = slopes.expand(len(boxes), -1, -1), constants.expand(len(boxes), -1)
        minimum = constants + region.minimum(slopes)
        reals, runs = toll.of_reals(minimum), toll.off(minimum)
        margins, sure = box_margins(self.questions, linear, reals, runs if self.runs else None, boxes.owner)
        worst = margins.amin(1)
        closed = worst > 0
        self.real_alone[boxes.owner[closed & ~sure]] = True
        self.smallest.scatter_reduce_(0, boxes.owner[closed], worst[closed], "amin")
        rows = torch.nonzero(~closed)[:, 0]
        bounds = {index: _rows_of(linear.bounds[index].flat(len(boxes)), rows) for index in self.kept}
        ids = boxes.parent
        if self.tree is not None:
            inherits = bool(boxes.bounds)
            ids = self.tree.bounded(boxes.parent, boxes.owner, boxes.lower, boxes.upper, worst, inherits=inherits)
        left = Boxes(boxes.lower[rows], boxes.upper[rows], boxes.owner[rows], ids[rows], bounds)
        if not len(rows):
            return left, left.lower, None
        slopes, constants = slopes[rows], toll.off(constants)[rows] - self.questions.offset[left.owner]
        if not self.runs:  # what is cut away has to exceed what rounding typically does to a run
            self.real_alone[left.owner] = True
            constants = constants - execution_noise(
                linear.take(rows), self.network.graph.output, matrices[rows], typical=True
            )
        found = self.witnesses.at_minimisers(slopes, region.take(rows), left.owner)
        constants = constants + _least(slopes, lower[rows], upper[rows], self.whole)
        slopes = slopes[:, :, self.varying]
        left, empty = self._clipped(left, slopes, constants, margins[rows])
        if self.tree is not None:
            self.tree.cut(left.parent, left.lower, left.upper)
        wanted = (self.questions.real[left.owner] & (margins[rows] <= 0)[:, :, None]).flatten(1)
        x = self._whole(left)[0].float()
        score = scores(linear, passed, rows, left, slopes, wanted, self.single.graph, x, self.varying)
        self.smallest.scatter_reduce_(0, left.owner, worst.new_zeros(len(left)), "amin")
        if bool(empty.any()):
            return left.take(~empty), score[~empty], found
        return left, score, found

    def _bounded(self, region: Region, known: Mapping[int, Bounds]) -> LinearBounds:
        """Bounds of all nodes, of runs as well as of real numbers as long as that costs little.

        Whether it does is asked of the first box, and again now and then, as boxes get smaller.
        """
        self.rounds += 1
        asked = self.runs and self.rounds & (self.rounds - 1) == 0
        if asked and self.method.forward:  # what runs are off adds up in radii, which only another pass shows
            first = torch.zeros(1, dtype=torch.int64, device=region.lower.device)
            one = {index: Bounds(found.lower[:1], found.upper[:1]) for index, found in known.items()}
            wide, narrow = (self._propagated(region.take(first), one, run) for run in (True, False))
            self.runs = all(_little_wider(wide, narrow, index) for index in (*self.kept, self.network.graph.output))
            if len(region) == 1:
                return wide if self.runs else narrow
        linear = self._propagated(region, known, self.runs)
        if asked and self.runs and linear.roundoff is not None and not linear.roundoff.affordable(linear.bounds):
            self.runs = False
            linear = self._propagated(region, known, False)
        return linear

    def _propagated(self, region: Region, known: Mapping[int, Bounds], run: bool) -> LinearBounds:
        roundoff = Roundoff(self.network, run=run)
        return propagate(self.network, region, self.method, self.effort, known=known, roundoff=roundoff)

    def _known(self, boxes: Boxes) -> dict[int, Bounds]:
        nodes = self.network.graph.nodes
        shapes = {index: nodes[index].batched(len(boxes)) for index in boxes.bounds}
        return {
            index: Bounds(low.reshape(shapes[index]), high.reshape(shapes[index]))
            for index, (low, high) in boxes.bounds.items()
        }

    def _clipped(self, boxes: Boxes, slopes: Tensor, constants: Tensor, margins: Tensor) -> tuple[Boxes, Tensor]:
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
        return Boxes(lower, upper, boxes.owner, boxes.parent, boxes.bounds), empty

    def _stuck(self, boxes: Boxes) -> bool:
        """Whether a box is too small to be split."""
        root = (self.root_upper - self.root_lower)[:, self.varying][boxes.owner]
        return bool((boxes.upper - boxes.lower <= FINEST * root).all(1).any())

    def _whole(self, boxes: Boxes) -> tuple[Tensor, Tensor]:
        """All inputs of boxes, fixed ones included: lower and upper ends ``[n, inputs]``."""
        lower, upper = self.root_lower[boxes.owner].clone(), self.root_upper[boxes.owner].clone()
        lower[:, self.varying], upper[:, self.varying] = boxes.lower, boxes.upper
        return lower, upper

    def _outcomes(self, stack: list[Boxes], found: tuple[int, Tensor] | None, reason: str) -> list[Outcome]:
        open_ = torch.zeros_like(self.domains)
        for boxes in stack:
            open_.index_add_(0, boxes.owner, torch.ones_like(boxes.owner))
        result = []
        for case, (count, left, bound) in enumerate(
            zip(self.domains.tolist(), open_.tolist(), self.smallest.tolist(), strict=True)
        ):
            if found is not None and found[0] == case:
                result.append(
                    Outcome(Verdict.FALSIFIED, "an input reaches the unsafe set", None, count, left, found[1])
                )
            elif left or found is not None:
                result.append(Outcome(Verdict.UNKNOWN, reason, None, count, left))
            else:
                proof = None if self.tree is None else self.tree.of(case)
                runs = not bool(self.real_alone[case])
                reason_of = "every part is proved"
                result.append(Outcome(Verdict.VERIFIED, reason_of, bound, count, 0, runs=runs, proof=proof))
        return result


def _little_wider(runs: LinearBounds, reals: LinearBounds, index: int) -> bool:
    """Whether bounds of a node that hold for runs are hardly wider than those of real numbers."""
    wide, narrow = (float((found.bounds[index].upper - found.bounds[index].lower).sum()) for found in (runs, reals))
    return wide <= (1 + AFFORDABLE) * narrow


def _least(slopes: Tensor, lower: Tensor, upper: Tensor, places: Tensor) -> Tensor:
    """The smallest that some inputs contribute to rows ``[n, m, inputs]``: ``[n, m]``."""
    low, high, slopes = lower[:, None, places], upper[:, None, places], slopes[:, :, places]
    return torch.minimum(slopes * low, slopes * high).sum(2)


def _rows_of(ends: tuple[Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
    return ends[0][rows], ends[1][rows]
