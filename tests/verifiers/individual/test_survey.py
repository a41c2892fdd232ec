"""Whole domains of people, against asking everybody."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.graph import trace
from robust.properties.counterparts import Counterparts
from robust.properties.people import Attribute, People, one_hot, whole
from robust.record.answer import Verdict
from verifiers.individual.finish import FinishBudget, Finisher
from verifiers.individual.questions import BROKEN, PairQuestion, never_falls, same_decision
from verifiers.individual.search import survey
from verifiers.individual.survey import Budget, Survey
from verifiers.network import Network


def small() -> People:
    return People([whole("a", 0, 0, 5), whole("b", 1, -3, 3), one_hot("c", (2, 3, 4)), whole("s", 5, 0, 2)])


def network(seed: int, outputs: int = 2, inputs: int = 6) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, outputs)).requires_grad_(False).eval()


def ask(
    module: nn.Module,
    counterparts: Counterparts,
    question: PairQuestion,
    ends: tuple[Tensor, Tensor] | None = None,
    budget: Budget | None = None,
) -> Survey:
    graph = trace(counterparts.paired(module), (counterparts.joint,), device=torch.device("cpu"))
    ends = counterparts.people.everyone() if ends is None else ends
    return survey(Network(graph), counterparts, question, *ends, module, budget=budget or Budget(10**6, 10**6))


def everybody(people: People) -> Tensor:
    levels = [range(len(item.levels or ())) for item in people.attributes]
    return torch.tensor(list(itertools.product(*levels)), dtype=torch.float64)


def broken_by_asking(module: nn.Module, counterparts: Counterparts, question: PairQuestion) -> Iterator[bool]:
    """Every comparison of the domain, on the network itself, with its own arithmetic of who is whose counterpart."""
    people, place = counterparts.people, counterparts.changed
    moves = [
        range(-int(item.most), int(item.most) + 1) for item in counterparts.tolerances
    ]  # all tolerant attributes here count by ones
    for person in everybody(people):
        if float(person[place]) == len(people.attributes[place].levels or ()) - 1:
            continue
        for move in itertools.product(*moves):
            other = person.clone()
            other[place] += 1
            for item, by in zip(counterparts.tolerances, move, strict=True):
                other[item.attribute] += by
            inside = all(0 <= float(n) <= item.ends[1] for n, item in zip(other, people.attributes, strict=True))
            if inside:
                outputs = [module(people.inputs(one[None])) for one in (person, other)]
                yield int(question.answers(*outputs)[0]) == BROKEN


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("outputs", [2, 3])
def test_shares_are_those_of_asking_everybody(seed: int, outputs: int) -> None:
    module, counterparts, question = network(seed, outputs), Counterparts(small(), 3), same_decision(outputs)
    truth = list(broken_by_asking(module, counterparts, question))
    found = ask(module, counterparts, question)
    assert found.unfair == pytest.approx(sum(truth) / len(truth), abs=1e-9)
    assert found.fair == pytest.approx(1 - found.unfair, abs=1e-9)
    assert found.parts[0].verdict is (Verdict.FALSIFIED if any(truth) else Verdict.VERIFIED)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("falling", [False, True])
def test_scores_that_never_fall_are_those_of_asking_everybody(seed: int, falling: bool) -> None:
    module, counterparts = network(seed), Counterparts(small(), 1)
    question = never_falls(2, 1, 1e-3, falling=falling)
    truth = list(broken_by_asking(module, counterparts, question))
    found = ask(module, counterparts, question)
    assert found.unfair == pytest.approx(sum(truth) / len(truth), abs=1e-9)
    assert (found.parts[0].verdict is Verdict.FALSIFIED) == any(truth)


@pytest.mark.parametrize("seed", range(3))
def test_tolerances_are_those_of_asking_everybody(seed: int) -> None:
    module, counterparts, question = network(seed), Counterparts(small(), 3, {0: 1.0}), same_decision(2)
    truth = list(broken_by_asking(module, counterparts, question))
    found = ask(module, counterparts, question)
    assert found.parts[0].verdict is (Verdict.FALSIFIED if any(truth) else Verdict.VERIFIED)


def test_a_pair_differs_where_it_may_and_is_decided_differently() -> None:
    counterparts = Counterparts(small(), 3, {0: 2.0})
    module = network(0)
    pair = ask(module, counterparts, same_decision(2)).parts[0].pair
    assert pair is not None
    difference = (pair.second - pair.first).abs()
    assert float(difference[3]) == 1
    assert float(difference[0]) <= 2
    assert difference[1:3].tolist() == [0, 0]
    answers = [int(module(small().inputs(one[None])).argmax()) for one in (pair.first, pair.second)]
    assert answers[0] != answers[1]
    assert answers == pair.outputs.argmax(1).tolist()


class Planted(nn.Module):
    """Class 0 everywhere, but for one person in 10 million: all five attributes are 17 and the protected one is 1."""

    def forward(self, x: Tensor) -> Tensor:
        far = torch.relu(x[:, :5] - 17).sum(1) + torch.relu(17 - x[:, :5]).sum(1)
        score = torch.relu(1 - far) + x[:, 5] - 1.5
        return torch.stack([torch.zeros_like(score), score], 1)


def test_a_planted_person_is_found() -> None:
    people = People([*(whole(f"x{place}", place, 0, 24) for place in range(5)), whole("s", 5, 0, 1)])
    found = ask(Planted(), Counterparts(people, 5), same_decision(2))
    assert found.parts[0].verdict is Verdict.FALSIFIED
    assert found.parts[0].pair is not None
    assert found.parts[0].pair.first.tolist() == [17, 17, 17, 17, 17, 0]
    assert found.unfair == pytest.approx(25.0**-5)
    assert found.fair == pytest.approx(1 - 25.0**-5)


def test_work_that_is_given_up_is_unknown_never_fair() -> None:
    people = People([*(whole(f"x{place}", place, 0, 24) for place in range(5)), whole("s", 5, 0, 1)])
    found = ask(Planted(), Counterparts(people, 5), same_decision(2), budget=Budget(3, 0))
    assert found.parts[0].verdict is Verdict.UNKNOWN
    assert found.parts[0].open is not None
    none = ask(Planted(), Counterparts(people, 5), same_decision(2), budget=Budget(10, 10, seconds=0.0))
    assert none.parts[0].verdict is Verdict.UNKNOWN
    assert none.fair == pytest.approx(0.0)


def test_parts_are_answered_each_for_itself() -> None:
    people = People([*(whole(f"x{place}", place, 0, 24) for place in range(5)), whole("s", 5, 0, 1)])
    lower, upper = (end.repeat(2, 1) for end in people.everyone())
    upper[0, 0], lower[1, 0] = 15, 16
    found = ask(Planted(), Counterparts(people, 5), same_decision(2), (lower, upper))
    assert [part.verdict for part in found.parts] == [Verdict.VERIFIED, Verdict.FALSIFIED]


def test_a_tie_is_neither_fair_nor_a_counterexample() -> None:
    class Tied(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 0] * 0, x[:, 1]], 1)

    people = People([whole("a", 0, 0, 3), whole("s", 1, 0, 1)])
    part = ask(Tied(), Counterparts(people, 1), same_decision(2)).parts[0]
    assert part.verdict is Verdict.UNKNOWN


def test_nan_is_never_fair() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 0] * 0 + 3e38 * 10, x[:, 0]], 1)

    people = People([whole("a", 0, 0, 3), whole("s", 1, 0, 1)])
    graph = trace(Counterparts(people, 1).paired(network(0, inputs=2)), (3,), device=torch.device("cpu"))
    module = Broken()
    found = survey(Network(graph), Counterparts(people, 1), same_decision(2), *people.everyone(), module)
    alone = survey(
        Network(graph), Counterparts(people, 1), same_decision(2), *people.everyone(),
        lambda x: module(x) * float("nan"), slack=1e9,
    )  # fmt: skip
    assert alone.parts[0].verdict is Verdict.UNKNOWN
    assert alone.fair == pytest.approx(0.0)
    assert found.parts[0].pair is None


@pytest.mark.parametrize("seed", range(8))
def test_continuous_columns_are_proved_only_where_no_draw_breaks_them(seed: int) -> None:
    people = People([Attribute("x", (0,), None, -1.0, 1.0), Attribute("y", (1,), None, -1.0, 1.0), whole("s", 2, 0, 1)])
    module, counterparts = network(seed, inputs=3), Counterparts(people, 2)
    found = ask(module, counterparts, same_decision(2), budget=Budget(5_000, 5_000))
    numbers = torch.rand(20_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first, second = counterparts.pairs(numbers, torch.zeros(20_000, dtype=torch.int64))
    differ = module(people.inputs(first)).argmax(1) != module(people.inputs(second)).argmax(1)
    share = float(differ.double().mean())
    assert found.unfair - 0.02 <= share <= 1 - found.fair + 0.02
    if found.parts[0].verdict is Verdict.VERIFIED:
        assert share == 0
    else:
        assert found.parts[0].verdict is Verdict.FALSIFIED


def test_a_network_of_another_size_is_refused() -> None:
    graph = trace(network(0), (6,), device=torch.device("cpu"))
    with pytest.raises(PropertyError, match="does not fit"):
        survey(Network(graph), Counterparts(small(), 3), same_decision(2), *small().everyone(), network(0))


def finished(seed: int, budget: FinishBudget) -> tuple[Verdict, str, bool]:
    module, counterparts, question = network(seed), Counterparts(small(), 3), same_decision(2)
    truth = any(broken_by_asking(module, counterparts, question))
    graph = trace(counterparts.paired(module), (counterparts.joint,), device=torch.device("cpu"))
    found = survey(
        Network(graph), counterparts, question, *small().everyone(), lambda x: module(x) * float("nan"),
        budget=Budget(1, 0),
    )  # fmt: skip
    part = Finisher(Network(graph), counterparts, question, module, budget).finish(found.parts[0])
    return part.verdict, part.stage, truth


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 3, 4, 5))])
def test_neurons_and_solver_agree_with_asking_everybody(seed: int) -> None:
    for budget in (FinishBudget(20.0, 0.0), FinishBudget(0.0, 20.0)):
        verdict, _, truth = finished(seed, budget)
        assert verdict is not (Verdict.VERIFIED if truth else Verdict.FALSIFIED)
    assert verdict is (Verdict.FALSIFIED if truth else Verdict.VERIFIED)  # Z3 over whole people decides all of these


def test_a_solver_without_time_leaves_it_unknown() -> None:
    verdict, stage, truth = finished(0, FinishBudget(0.0, 1e-3))
    assert truth
    assert (verdict, stage) == (Verdict.UNKNOWN, "")


def test_a_batch_that_answers_otherwise_than_each_alone_certifies_nothing() -> None:
    """The batch of a strange runtime breaks a pair that nobody breaks alone, and keeps one that breaks alone."""
    people = People([whole("a", 0, 0, 0), whole("s", 1, 0, 1)])

    class Score(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 1] * 0, 1e-6 * (x[:, 1] - 0.5)], 1)

    counterparts, module = Counterparts(people, 1), Score()
    graph = trace(counterparts.paired(module), (counterparts.joint,), device=torch.device("cpu"))

    def other(x: Tensor) -> Tensor:
        return module(x).flip(1).abs() if len(x) > 1 else module(x)

    found = survey(Network(graph), counterparts, same_decision(2), *people.everyone(), other)
    assert found.parts[0].verdict is Verdict.FALSIFIED

    calls = []

    def breaks_once(x: Tensor) -> Tensor:
        calls.append(len(x))
        return 1e6 * module(x) if len(calls) <= 2 else module(x).abs() + torch.tensor([0.0, 1.0])

    asked = survey(Network(graph), counterparts, same_decision(2), *people.everyone(), breaks_once)
    assert asked.parts[0].verdict is Verdict.UNKNOWN
    assert (asked.fair, asked.unfair) == (0.0, 0.0)
