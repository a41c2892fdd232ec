"""Individual fairness of a table's model: every person of a domain, and the same person with another attribute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robust.errors import DisagreementError
from robust.graph import trace
from robust.properties.counterparts import Counterparts
from robust.properties.people import People
from robust.record import Verdict
from robust.subjects import Classifier
from verifiers import Network
from verifiers.individual.finish import FinishBudget, Finisher
from verifiers.individual.questions import BROKEN, PairQuestion
from verifiers.individual.search import survey
from verifiers.individual.survey import Budget, Pair, Part, Survey

PROBES = 256
"""People on whom the real model is compared with its graph, at random over the domain."""
DRAWS = 8
"""Pairs that are drawn from each proved box that is kept, and asked on the real model, as a control."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found.

    Attributes:
        survey: parts and shares.
        gap: the largest difference of logits between the real model and its graph.
        drawn: pairs drawn from proved boxes.
        contradicted: how many of them the real model answers differently.
    """

    survey: Survey
    gap: float
    drawn: int
    contradicted: int


@dataclass(frozen=True, eq=False)
class DataRows:
    """People of the data.

    Attributes:
        numbers: ``[n, attributes]``.
        part: int64 ``[n]``, see ``part_of``.
        steps: int64 ``[n]``, see ``data_steps``.
    """

    numbers: Tensor
    part: Tensor
    steps: Tensor


def answer(
    classifier: Classifier,
    counterparts: Counterparts,
    question: PairQuestion,
    lower: Tensor,
    upper: Tensor,
    *,
    budget: Budget,
    finish: FinishBudget,
    seed: int = 0,
) -> Answer:
    """Ask one question about every person of every part, on the deployed model where it matters.

    Args:
        classifier: of a table, in the table's own units.
        counterparts: who is compared with whom.
        question: what must hold of the two.
        lower: ``[parts, attributes]``; see ``verifiers.individual.search.survey``.
        upper: likewise.
        budget: of boxes.
        finish: of neuron splitting and Z3 per part that boxes leave open.
        seed: of what is drawn.

    Raises:
        DisagreementError: the real model is another function than its graph.
        GraphError: the model cannot be read.
    """
    module = classifier.module()
    assert module is not None  # callers have asked
    device = classifier.device
    gap = _gap(classifier, module, counterparts.people, seed)
    graph = trace(counterparts.paired(module), (counterparts.joint,), device=device)
    network = Network(graph)
    found = survey(
        network, counterparts, question, lower, upper, classifier.replay, budget=budget, slack=2 * gap, seed=seed
    )
    finisher = Finisher(network, counterparts, question, classifier.replay, finish, 2 * gap)
    whole = _finished(found, finisher)
    drawn, contradicted = _control(classifier, counterparts, question, whole, seed)
    return Answer(whole, gap, drawn, contradicted)


def data_steps(classifier: Classifier, counterparts: Counterparts, question: PairQuestion, numbers: Tensor) -> Tensor:
    """The first step at which the real model breaks the question at each person ``[n, attributes]``; -1: none, ``[n]``.

    Their own value of the changed attribute plays no part, and no further difference is allowed.
    """
    found = torch.full((len(numbers),), -1)
    wide = torch.cat([numbers, numbers.new_zeros(len(numbers), len(counterparts.tolerances))], 1)
    for step in reversed(range(counterparts.steps)):
        pairs = counterparts.pairs(wide, torch.full((len(wide),), step))
        outputs = [classifier.replay(counterparts.people.inputs(person).to(classifier.device)) for person in pairs]
        found[question.answers(*outputs).cpu() == BROKEN] = step
    return found


def with_data(
    classifier: Classifier, counterparts: Counterparts, question: PairQuestion, found: Answer, rows: DataRows
) -> Answer:
    """The answer with pairs made of people of the data where these show it: they are easier to believe.

    An unknown part with such a person is refuted; a certified one is a contradiction.
    """
    parts, contradicted = list(found.survey.parts), found.contradicted
    people, device = counterparts.people, classifier.device
    for row in reversed(torch.nonzero(rows.steps >= 0)[:, 0].tolist()):
        place = int(rows.part[row])
        if place < 0:
            continue
        extra = rows.numbers.new_zeros(1, len(counterparts.tolerances))
        numbers = torch.cat([rows.numbers[row : row + 1], extra], 1)
        first, second = counterparts.pairs(numbers, rows.steps[row : row + 1])
        outputs = [classifier.replay(people.inputs(person).to(device)) for person in (first, second)]
        if int(question.answers(*outputs)[0]) != BROKEN:
            continue
        contradicted += parts[place].verdict is Verdict.VERIFIED
        if parts[place].verdict is not Verdict.VERIFIED:
            stage = parts[place].stage or "data"
            pair = Pair(first[0], second[0], torch.cat(outputs).cpu(), row)
            parts[place] = Part(Verdict.FALSIFIED, stage, parts[place].boxes, pair)
    return replace(found, survey=replace(found.survey, parts=parts), contradicted=contradicted)


def part_of(numbers: Tensor, lower: Tensor, upper: Tensor, changed: int) -> Tensor:
    """The first part that each person ``[n, attributes]`` lies in, int64 ``[n]``; -1: none."""
    found = torch.full((len(numbers),), -1)
    for place in reversed(range(len(lower))):
        inside = (numbers >= lower[place]) & (numbers <= upper[place])
        inside[:, changed] = True
        found[inside.all(1)] = place
    return found


def size_in_words(people: People) -> str:
    """How many people a domain has."""
    if any(item.levels is None for item in people.attributes):
        return f"a continuous domain of {len(people.attributes)} attributes"
    count = math.prod(len(item.levels or ()) for item in people.attributes)
    return f"a domain of {count:,} people" if count < 10**7 else f"a domain of {count:.3g} people".replace("e+", "e")


def tolerances_in_words(people: People, tolerances: Mapping[int, float]) -> str:
    """``, and by at most 2 in age`` or nothing."""
    parts = [f"{most:g} in {people.attributes[place].name}" for place, most in sorted(tolerances.items())]
    return f", and by at most {', '.join(parts)}" if parts else ""


def _finished(found: Survey, finisher: Finisher) -> Survey:
    parts: list[Part] = []
    gained = 0.0
    for part in found.parts:
        done = finisher.finish(part)
        if part.verdict is Verdict.UNKNOWN and done.verdict is Verdict.VERIFIED and part.open is not None:
            gained += float(part.open.share.sum())
        parts.append(done)
    return replace(found, parts=parts, fair=min(1.0, found.fair + gained))


def _gap(classifier: Classifier, module: torch.nn.Module, people: People, seed: int) -> float:
    lower, upper = people.everyone()
    draws = _drawn(people, lower, upper, PROBES, torch.Generator().manual_seed(seed))
    inputs = people.inputs(draws).to(classifier.device)
    with torch.no_grad():
        real, own = classifier.replay(inputs).double(), module(inputs).double()
    gap, scale = float((real - own).abs().max()), float(own.abs().max())
    limit = float(getattr(classifier, "agreement_tolerance", 1e-3)) * max(1.0, scale)
    if not gap <= limit:
        raise DisagreementError(
            "the deployed model and its graph are different functions, so proofs about one say nothing of the other",
            wanted=f"logits within {limit:g} of each other",
            got=f"{gap:g} apart",
        )
    return gap


def _drawn(people: People, lower: Tensor, upper: Tensor, count: int, generator: torch.Generator) -> Tensor:
    width = upper - lower
    drawn = torch.rand(count, len(people.attributes), generator=generator, dtype=torch.float64)
    counted = torch.tensor([item.levels is not None for item in people.attributes])
    return lower + torch.where(counted, ((width + 1) * drawn).floor().minimum(width), width * drawn)


def _control(
    classifier: Classifier, counterparts: Counterparts, question: PairQuestion, found: Survey, seed: int
) -> tuple[int, int]:
    """Pairs drawn from proved boxes: how many, and how many of them the real model answers differently."""
    boxes = found.proved
    if not len(boxes):
        return 0, 0
    rows = torch.arange(len(boxes)).repeat_interleave(DRAWS)
    width = (boxes.upper - boxes.lower)[rows]
    drawn = torch.rand(width.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    spread = torch.where(counterparts.counted, ((width + 1) * drawn).floor().minimum(width), width * drawn)
    first, second = counterparts.pairs(boxes.lower[rows] + spread, boxes.step[rows])
    outputs = [classifier.replay(counterparts.people.inputs(one).to(classifier.device)) for one in (first, second)]
    return len(rows), int((question.answers(*outputs) == BROKEN).sum())
