"""Parts that boxes leave open: optimised bounds, splitting of neurons, and at last Z3 over whole numbers.

Each takes a box of people as a set of real numbers (Z3: of whole ones), so that what they prove holds for the people in
it; what they find is brought back to whole people and asked on the real model. A box that none of them decides is
halved, and its halves are tried, while there is time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.properties.counterparts import Counterparts
from robust.properties.lattice import LatticeBox
from robust.properties.property import Property
from robust.properties.unsafe_sets import Halfspaces, UnsafeSet
from robust.record.answer import Verdict
from verifiers.branching.neuron_splitting import split_neurons
from verifiers.deadline import Deadline
from verifiers.individual.bounder import Bounder
from verifiers.individual.boxes import Boxes
from verifiers.individual.questions import BROKEN, PairQuestion
from verifiers.individual.search import Replay
from verifiers.individual.survey import Pair, Part
from verifiers.network import Network
from verifiers.smt import Limits, Size, SmtVerifier

FIRST_SHARE = 0.3
"""Share of the time of a part that its whole may take before halves are tried."""


@dataclass(frozen=True)
class FinishBudget:
    """Work per part.

    Attributes:
        seconds: of optimised bounds and neuron splitting; 0: none.
        smt_seconds: of Z3 for one box, which is asked last and only of parts with few open boxes; 0: not at all.
        smt_boxes: how many boxes Z3 is asked about.
        smt_memory: of the solver, in MiB.
    """

    seconds: float = 10.0
    smt_seconds: float = 10.0
    smt_boxes: int = 4
    smt_memory: int = 2048


class Finisher:
    """Decides open parts one after the other.

    Args:
        network: of ``counterparts.paired(...)``, prepared.
        counterparts: who is compared with whom.
        question: what must hold of the two.
        replay: the real model.
        budget: of work.
        slack: by how much the real model's logits may differ from the graph's.
    """

    def __init__(
        self,
        network: Network,
        counterparts: Counterparts,
        question: PairQuestion,
        replay: Replay,
        budget: FinishBudget,
        slack: float = 0.0,
    ) -> None:
        self.network, self.counterparts, self.question = network, counterparts, question
        self.replay, self.budget = replay, budget
        self.bounder = Bounder(network, counterparts, question, slack)
        clauses = []
        for rows in question.clauses:
            matrix, offset = question.matrix[list(rows)], question.offset[list(rows)]
            clauses.append(Halfspaces(matrix, offset + slack * matrix.abs().sum(1)))
        self.unsafe = UnsafeSet(tuple(clauses))

    def finish(self, part: Part) -> Part:
        """The part, decided if that was possible. Decided parts are handed back as they are."""
        if part.verdict is not Verdict.UNKNOWN or part.open is None or not len(part.open):
            return part
        left, pair = self._split(part.open) if self.budget.seconds > 0 else (part.open, None)
        if pair is not None:
            return Part(Verdict.FALSIFIED, "neuron splitting", part.boxes, pair)
        if not len(left):
            return Part(Verdict.VERIFIED, "neuron splitting", part.boxes)
        if not 0 < len(left) <= self.budget.smt_boxes or self.budget.smt_seconds <= 0:
            return Part(Verdict.UNKNOWN, "", part.boxes, None, left)
        return self._ask_solver(part, left)

    def _split(self, open_: Boxes) -> tuple[Boxes, Pair | None]:
        """What stays open of boxes, after the box around them and then halves of it, and a pair where one is found."""
        deadline = Deadline(self.budget.seconds)
        stack = [self._hull(open_, step) for step in sorted(set(open_.step.tolist()))]
        given_up: list[Boxes] = []
        share = FIRST_SHARE
        while stack and not deadline.expired:
            box = stack.pop()
            verdict, pair = self._neurons(box, deadline.within(deadline.left * share / (len(stack) + 1)))
            if pair is not None:
                return box, pair
            if verdict is Verdict.VERIFIED:
                continue
            cut = self._cut(box)
            (stack if int(cut.cut) >= 0 else given_up).append(cut)
            if int(cut.cut) >= 0:
                halves = stack.pop().halves(self.bounder.counted)
                stack += [halves.take(slice(1, 2)), halves.take(slice(0, 1))]
        return Boxes.joined([open_.take(slice(0, 0)), *given_up, *stack]), None

    def _hull(self, boxes: Boxes, step: int) -> Boxes:
        rows = boxes.take(boxes.step == step)
        one = rows.take(slice(0, 1))
        return Boxes(
            rows.lower.amin(0, keepdim=True),
            rows.upper.amax(0, keepdim=True),
            one.step,
            one.part,
            rows.share.sum(0, keepdim=True),
            one.cut,
        )

    def _cut(self, box: Boxes) -> Boxes:
        with torch.no_grad():
            _, slopes = self.bounder.bounds(box)
            most = self.bounder.reach(box, slopes).max(1)
        cut = torch.where(most.values > 0, most.indices, -1)
        return Boxes(box.lower, box.upper, box.step, box.part, box.share, cut)

    def _neurons(self, box: Boxes, deadline: Deadline) -> tuple[Verdict, Pair | None]:
        found: list[Pair] = []

        def replayed(points: Tensor) -> Tensor | None:
            pair = self._pair(points, box)
            if pair is None:
                return None
            found.append(pair)
            return points[0]

        outcome = split_neurons(self.network, self._property(box), deadline, replay=replayed)
        return outcome.verdict, found[0] if found else None

    def _pair(self, points: Tensor, box: Boxes) -> Pair | None:
        """The first joint input ``[k, joint]`` that stands for people who are treated differently, as these people."""
        people, width = self.counterparts.people, self.counterparts.people.width
        numbers, _ = people.numbers(points[:, :width].cpu(), torch.inf)
        moves = points[:, points.shape[1] - len(self.counterparts.tolerances) :].double().cpu()
        steps = [people.attributes[item.attribute].step or 1.0 for item in self.counterparts.tolerances]
        moves = moves / torch.tensor(steps, dtype=torch.float64)
        all_ = torch.cat([numbers, moves], 1)
        all_ = torch.where(self.bounder.counted, all_.round(), all_).clamp(box.lower, box.upper)
        first, second = self.counterparts.pairs(all_, box.step.expand(len(all_)))
        device = self.network.graph.device
        for one, other in zip(first, second, strict=True):
            outputs = [self.replay(people.inputs(person[None]).to(device)) for person in (one, other)]
            if int(self.question.answers(*outputs)[0]) == BROKEN:
                return Pair(one, other, torch.cat(outputs).cpu())
        return None

    def _property(self, box: Boxes) -> Property:
        low, high = self.counterparts.region(box.lower, box.upper, box.step)
        people = self.counterparts.people
        whole = [item.columns[0] for item in people.attributes if _counts_by_ones(item.levels) and not item.one_hot]
        groups = [item.columns for item in people.attributes if item.one_hot]
        start = self.counterparts.joint - len(self.counterparts.tolerances)
        for number, item in enumerate(self.counterparts.tolerances, start):
            if _counts_by_ones(people.attributes[item.attribute].levels):
                whole.append(number)
        return Property(LatticeBox(low[0], high[0], tuple(whole), tuple(groups)), self.unsafe, "counterparts")

    def _ask_solver(self, part: Part, left: Boxes) -> Part:
        limits = Limits(steps=2**31 - 1, seconds=self.budget.smt_seconds, megabytes=self.budget.smt_memory)
        verifier = SmtVerifier(replay=self._both, limits=limits, size=Size(), guess=False)
        boxes = [left.take(slice(at, at + 1)) for at in range(len(left))]
        results = verifier.verify(self.network.to(torch.float32).graph, [self._property(box) for box in boxes])
        open_ = [left.take(slice(0, 0))]
        for box, result in zip(boxes, results, strict=True):
            if result.verdict is Verdict.FALSIFIED and result.witness is not None:
                pair = self._pair(torch.tensor([result.witness]), box)
                if pair is not None:
                    return Part(Verdict.FALSIFIED, "z3", part.boxes, pair)
            if result.verdict is not Verdict.VERIFIED:
                open_.append(box)
        rest = Boxes.joined(open_)
        if len(rest):
            return Part(Verdict.UNKNOWN, "", part.boxes, None, rest)
        return Part(Verdict.VERIFIED, "z3", part.boxes)

    def _both(self, joint: Tensor) -> Tensor:
        """The real model's outputs for both people of joint inputs, ``[n, 2 * outputs]``."""
        people, count = self.counterparts.people, len(self.counterparts.tolerances)
        first = joint[:, : people.width]
        second = first.clone()
        columns = list(people.attributes[self.counterparts.changed].columns)
        second[:, columns] = joint[:, people.width : people.width + len(columns)]
        for number, item in enumerate(self.counterparts.tolerances):
            second[:, people.attributes[item.attribute].columns[0]] += joint[:, joint.shape[1] - count + number]
        return torch.cat([self.replay(first.float()), self.replay(second.float())], 1)


def _counts_by_ones(levels: tuple[float, ...] | None) -> bool:
    return (
        levels is not None
        and all(value == round(value) for value in levels)
        and levels[-1] - levels[0] == len(levels) - 1
    )
