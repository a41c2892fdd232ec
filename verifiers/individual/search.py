"""Branch and bound over boxes of people: bounds first, halves of boxes next, single pairs on the model itself.

Whole numbers and categories are halved between their values, so that every leaf holds whole people, and a box of one
pair is asked on the real model and needs no bound. (Input splitting: Wang et al., ReluVal, 2018. Question and parts:
Biswas and Rajan, Fairify, ICSE 2023.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.counterparts import Counterparts
from robust.record.answer import Verdict
from verifiers.deadline import Deadline
from verifiers.individual.bounder import FINEST, Bounder
from verifiers.individual.boxes import Boxes, Pool
from verifiers.individual.questions import BROKEN, SAME, PairQuestion
from verifiers.individual.survey import Budget, Pair, Part, Survey
from verifiers.network import Network

DRAWN = 2
"""Random pairs that are tried per open box."""
KEPT = 512
"""Proved boxes that are handed back, for whoever checks them by asking."""

Replay = Callable[[Tensor], Tensor]
"""From inputs float32 ``[n, width]`` to the real model's logits ``[n, outputs]``."""


def survey(
    network: Network,
    counterparts: Counterparts,
    question: PairQuestion,
    lower: Tensor,
    upper: Tensor,
    replay: Replay,
    *,
    budget: Budget | None = None,
    slack: float = 0.0,
    seed: int = 0,
) -> Survey:
    """Answer a question about every person of every part.

    Args:
        network: of ``counterparts.paired(...)``, prepared.
        counterparts: who is compared with whom.
        question: what must hold of the two.
        lower: ``[parts, attributes]``, the parts: boxes of people. The changed attribute is ignored.
        upper: likewise.
        replay: the real model.
        budget: of work.
        slack: by how much the real model's logits may differ from the graph's.
        seed: of the pairs that are drawn.

    Raises:
        PropertyError: a network of other numbers of inputs or outputs.
    """
    graph = network.graph
    if graph.input_shape != (counterparts.joint,) or graph.outputs != question.matrix.shape[1]:
        raise PropertyError(
            "a product network does not fit its question",
            wanted=f"{counterparts.joint} inputs and {question.matrix.shape[1]} outputs",
            got=f"{graph.input_shape} and {graph.outputs}",
        )
    with torch.no_grad():
        bounder = Bounder(network, counterparts, question, slack)
        return _Search(bounder, question, replay, budget or Budget(), seed).run(lower, upper)


class _Search:
    def __init__(self, bounder: Bounder, question: PairQuestion, replay: Replay, budget: Budget, seed: int) -> None:
        self.bounder, self.counterparts, self.question = bounder, bounder.counterparts, question
        self.graph = bounder.network.to(torch.float32).graph
        self.replay, self.budget = replay, budget
        self.generator = torch.Generator().manual_seed(seed)
        self.deadline = Deadline(budget.seconds)
        self.unfair = 0.0
        self.proved: list[Boxes] = []

    def run(self, lower: Tensor, upper: Tensor) -> Survey:
        """Parts first, until each is decided or its budget is spent; then what is refuted is refined."""
        self.parts = [Part() for _ in range(len(lower))]
        self.spent = torch.zeros(len(lower), dtype=torch.int64)
        self.refuted = torch.zeros(len(lower), dtype=torch.bool)
        roots = self._roots(lower, upper)
        self.widest = (roots.upper - roots.lower).amax(0)
        first, later = Pool(self.bounder.size), Pool(self.bounder.size)
        first.put(roots)
        left = [roots.take(slice(0, 0)), *self._parts(first, later), *self._refine(later)]
        return self._survey(Boxes.joined(left))

    def _parts(self, pool: Pool, later: Pool) -> list[Boxes]:
        left = []
        while pool.chunks and not self.deadline.expired:
            rest = self._round(pool.get())
            refuted = self.refuted[rest.part]
            over = ~refuted & ((rest.cut < 0) | (self.spent[rest.part] >= self.budget.part * self.counterparts.steps))
            later.put(rest.take(refuted))
            left.append(rest.take(over))
            pool.put(rest.take(~refuted & ~over).halves(self.bounder.counted))
        return left + [chunk[2] for chunk in pool.chunks]

    def _refine(self, pool: Pool) -> list[Boxes]:
        left, start = [], int(self.spent.sum())
        while pool.chunks and int(self.spent.sum()) - start < self.budget.refine and not self.deadline.expired:
            boxes = pool.get()
            stuck = boxes.cut < 0
            left.append(boxes.take(stuck))
            pool.put(self._round(boxes.take(~stuck).halves(self.bounder.counted)))
        return left + [chunk[2] for chunk in pool.chunks]

    def _roots(self, lower: Tensor, upper: Tensor) -> Boxes:
        low, high = self.counterparts.roots(lower, upper)
        steps, count, place = self.counterparts.steps, len(low), self.counterparts.changed
        people = self.counterparts.people
        wide_low, wide_high = lower.clone(), upper.clone()
        wide_low[:, place], wide_high[:, place] = people.attributes[place].ends
        share = people.share(wide_low, wide_high)
        return Boxes(
            low.repeat(steps, 1),
            high.repeat(steps, 1),
            torch.arange(steps).repeat_interleave(count),
            torch.arange(count).repeat(steps),
            (share / share.sum()).repeat(steps) / steps,
            torch.full((steps * count,), -1),
        )

    def _round(self, boxes: Boxes) -> Boxes:
        """What is left of boxes: neither proved nor counted as unfair; each knows its next cut."""
        found = [
            self._chunk(boxes.take(slice(at, at + self.bounder.size))) for at in range(0, len(boxes), self.bounder.size)
        ]
        return Boxes.joined([boxes.take(slice(0, 0)), *found])

    def _chunk(self, boxes: Boxes) -> Boxes:
        self.spent.index_add_(0, boxes.part, torch.ones_like(boxes.part))
        lower, upper, empty = self.counterparts.fitted(boxes.lower, boxes.upper)
        boxes = Boxes(lower, upper, boxes.step, boxes.part, boxes.share, boxes.cut).take(~empty)
        alone = (boxes.lower == boxes.upper).all(1)
        unclear, boxes = self._asked(boxes.take(alone)), boxes.take(~alone)
        if not len(boxes):
            return unclear
        positive, slopes = self.bounder.bounds(boxes)
        safe = self.question.safe(positive)
        room = KEPT - sum(map(len, self.proved))
        if room > 0:
            self.proved.append(boxes.take(safe).take(slice(0, room)))
        rows = torch.nonzero(~safe)[:, 0]
        rest, slopes, broken = boxes.take(rows), slopes[rows], self.question.broken(positive[rows])
        if not len(rows):
            return unclear
        self._try(rest, slopes)
        counted = broken & self.refuted[rest.part]  # proved unfair all over, and the real model agreed on some pair
        self.unfair += float(rest.share[counted].sum())
        return Boxes.joined([unclear, self._with_cut(rest, slopes).take(~counted)])

    def _asked(self, boxes: Boxes) -> Boxes:
        """Boxes of one pair: the model's own answer counts; those without a clear one are handed back."""
        if not len(boxes):
            return boxes
        answers, found = self._answers(boxes.lower, boxes.step)
        self._note(boxes, torch.arange(len(boxes))[answers == BROKEN], found)
        broken = (answers == BROKEN) & self.refuted[boxes.part]  # elsewhere nobody confirmed it alone
        self.unfair += float(boxes.share[broken].sum())
        rest = boxes.take((answers != SAME) & ~broken)
        return Boxes(rest.lower, rest.upper, rest.step, rest.part, rest.share, torch.full_like(rest.cut, -1))

    def _answers(self, numbers: Tensor, step: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Answers of the real model about single pairs, alone where it is close, and both people."""
        people = self.counterparts.people
        first, second = self.counterparts.pairs(numbers, step)
        device = self.graph.device
        outputs = [self.replay(people.inputs(person).to(device)) for person in (first, second)]
        answers = self.question.answers(*outputs).cpu()
        for row in torch.nonzero(self.question.near(*outputs).cpu())[:, 0].tolist():
            alone = [self.replay(people.inputs(person[row : row + 1]).to(device)) for person in (first, second)]
            answers[row] = self.question.answers(*alone)[0]
        return answers, (first, second)

    def _try(self, boxes: Boxes, slopes: Tensor) -> None:
        """Look for a pair in boxes of parts that are not refuted: on the graph first, then on the real model."""
        wanted = torch.nonzero(~self.refuted[boxes.part])[:, 0]
        if not len(wanted):
            return
        boxes, slopes = boxes.take(wanted), slopes[wanted]
        points = [self._drawn(boxes, 0.5)]
        points += [self.bounder.corners(boxes, slopes[:, row]) for row in range(min(slopes.shape[1], 8))]
        points += [self._drawn(boxes, None) for _ in range(DRAWN)]
        numbers, row = torch.cat(points), torch.arange(len(boxes)).repeat(len(points))
        step = boxes.step[row]
        first, second = self.counterparts.pairs(numbers, step)
        people = self.counterparts.people
        outputs = self._graph_outputs(people.inputs(first), people.inputs(second), numbers, step)
        hits = torch.nonzero(self.question.answers(*outputs).cpu() == BROKEN)[:, 0]
        if not len(hits):
            return
        parts = boxes.part[row[hits]]
        hits = torch.cat([hits[parts == part][:4] for part in sorted(set(parts.tolist()))])  # a few per part are enough
        answers, found = self._answers(numbers[hits], step[hits])
        self._note(boxes, row[hits][answers == BROKEN], tuple(person[answers == BROKEN] for person in found), True)

    def _graph_outputs(self, first: Tensor, second: Tensor, numbers: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        ends = self.counterparts.region(numbers, numbers, step)[0].to(self.graph.device, self.graph.dtype)
        outputs = self.graph.forward(ends).reshape(len(ends), 2, -1)
        return outputs[:, 0], outputs[:, 1]

    def _drawn(self, boxes: Boxes, share: float | None) -> Tensor:
        """One point of each box: at a share of its sides, or at random."""
        width = boxes.upper - boxes.lower
        drawn = torch.rand(width.shape, generator=self.generator, dtype=torch.float64) if share is None else share
        whole = self.bounder.counted
        spread = torch.where(whole, ((width + 1) * drawn).floor().minimum(width), width * drawn)
        return boxes.lower + spread

    def _note(self, boxes: Boxes, rows: Tensor, found: tuple[Tensor, ...], given: bool = False) -> None:
        """Keep the first pair of each part that is not refuted yet, asked alone as a deployed model is."""
        for place, row in enumerate(rows.tolist()):
            part = int(boxes.part[row])
            if self.refuted[part]:
                continue
            first, second = (person[place if given else row] for person in found)
            people, device = self.counterparts.people, self.graph.device
            outputs = [self.replay(people.inputs(person[None]).to(device)) for person in (first, second)]
            if int(self.question.answers(*outputs)[0]) != BROKEN:
                continue
            self.refuted[part] = True
            stage = "bounds" if int(self.spent[part]) <= self.counterparts.steps else "splitting"
            pair = Pair(first, second, torch.cat(outputs).cpu())
            self.parts[part] = Part(Verdict.FALSIFIED, stage, pair=pair)

    def _with_cut(self, boxes: Boxes, slopes: Tensor) -> Boxes:
        reach = self.bounder.reach(boxes, slopes)
        narrow = ~self.bounder.counted & (boxes.upper - boxes.lower <= FINEST * self.widest)
        reach = reach.masked_fill(narrow, 0.0)
        most = reach.max(1)
        cut = torch.where(most.values > 0, most.indices, -1)
        return Boxes(boxes.lower, boxes.upper, boxes.step, boxes.part, boxes.share, cut)

    def _survey(self, left: Boxes) -> Survey:
        for number, part in enumerate(self.parts):
            part.boxes = int(self.spent[number])
        open_ = set(left.part.tolist())
        for number, part in enumerate(self.parts):
            if part.verdict is Verdict.FALSIFIED:
                continue
            if number in open_:
                part.open = left.take(torch.nonzero(left.part == number)[:, 0])
            else:
                part.verdict = Verdict.VERIFIED
                part.stage = "bounds" if part.boxes <= self.counterparts.steps else "splitting"
        missing = math.fsum(left.share.tolist())
        unfair = min(1.0, self.unfair)
        fair = max(0.0, 1.0 - unfair - missing)
        proved = Boxes.joined([left.take(slice(0, 0)), *self.proved])
        return Survey(self.parts, fair, unfair, int(self.spent.sum()), proved)
