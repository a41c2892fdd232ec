"""Bounds, halves, neurons and Z3 over people never contradict asking everybody, over random tables and networks."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from robust.graph import trace
from robust.properties.counterparts import Counterparts
from robust.properties.people import Attribute, People, one_hot, whole
from robust.record.answer import Verdict
from verifiers import Network
from verifiers.individual import Budget, FinishBudget, Finisher, PairQuestion, never_falls, same_decision, survey
from verifiers.individual.questions import BROKEN


def draw(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high, (1,), generator=generator))


def random_people(generator: torch.Generator) -> People:
    """A whole number, an uneven list, a one-hot group and a protected attribute, some of them absent."""
    items: list[Attribute] = [whole("age", 0, 18, 18 + draw(1, 8, generator))]
    column = 1
    if draw(0, 2, generator):
        items.append(Attribute("grade", (column,), (-1.5, 0.0, 0.25)))
        column += 1
    if draw(0, 2, generator):
        items.append(one_hot("job", tuple(range(column, column + 3))))
        column += 3
    items.append(whole("sex", column, 0, draw(1, 4, generator)))
    return People(items)


def random_network(width: int, outputs: int, generator: torch.Generator) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((width, 6), (6, 5), (5, outputs)):
        layer = nn.Linear(before, after)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(after, before, generator=generator))
            layer.bias.copy_(torch.randn(after, generator=generator))
        layers += [layer, nn.ReLU()]
    layers[0].weight.data[:, 0] *= 0.2  # type: ignore[operator, union-attr]
    return nn.Sequential(*layers[:-1]).requires_grad_(False).eval()


def comparisons(people: People, place: int, steps: int) -> tuple[Tensor, Tensor]:
    """Everybody at every step."""
    levels = [range(len(item.levels or ())) for item in people.attributes]
    levels[place] = range(1)
    everyone = torch.tensor(list(itertools.product(*levels)), dtype=torch.float64)
    return everyone.repeat(steps, 1), torch.arange(steps).repeat_interleave(len(everyone))


def contradictions(seed: int) -> tuple[list[str], str]:
    generator = torch.Generator().manual_seed(seed)
    people, outputs = random_people(generator), draw(2, 4, generator)
    network = random_network(people.width, outputs, generator)
    counterparts = Counterparts(people, len(people.attributes) - 1)
    question: PairQuestion = never_falls(outputs, 1, 1e-3) if seed % 4 == 0 else same_decision(outputs)
    first, second = counterparts.pairs(*comparisons(people, counterparts.changed, counterparts.steps))
    broken = question.answers(network(people.inputs(first)), network(people.inputs(second))) == BROKEN
    truth = float(broken.double().mean())
    prepared = Network(trace(counterparts.paired(network), (counterparts.joint,), device=torch.device("cpu")))
    found = survey(prepared, counterparts, question, *people.everyone(), network, budget=Budget(10**5, 10**5))
    said = []
    if found.parts[0].verdict is not (Verdict.FALSIFIED if truth else Verdict.VERIFIED):
        said.append(f"seed {seed}: {found.parts[0].verdict}, though {truth:.3g} of all comparisons are broken")
    if abs(found.unfair - truth) > 1e-9 or abs(found.fair + truth - 1) > 1e-9:
        said.append(f"seed {seed}: shares {found.fair}, {found.unfair}, though {truth} of all comparisons are broken")
    short = survey(
        prepared, counterparts, question, *people.everyone(), lambda x: network(x) * float("nan"), budget=Budget(1, 0)
    )
    budget = FinishBudget(5.0, 0.0) if seed % 2 else FinishBudget(0.0, 10.0)
    done = Finisher(prepared, counterparts, question, network, budget).finish(short.parts[0])
    if done.verdict is (Verdict.VERIFIED if truth else Verdict.FALSIFIED):
        said.append(f"seed {seed}: {done.stage} says {done.verdict}, though {truth:.3g} are broken")
    return said, f"{found.parts[0].verdict} {done.verdict}"


def test_random_tables_without_a_contradiction() -> None:
    counts: Counter[str] = Counter()
    for seed in range(8):
        said, verdicts = contradictions(seed)
        assert said == []
        counts[verdicts] += 1
    assert counts["verified verified"] >= 1
    assert counts["falsified falsified"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_thousands_of_random_tables_without_a_contradiction(block: int) -> None:
    for seed in range(1000 + 200 * block, 1200 + 200 * block):
        assert contradictions(seed)[0] == []
