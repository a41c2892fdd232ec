"""Many cases at once: held against enumeration, against one at a time, and against each other's troubles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.properties import Box, Halfspaces, L2Ball, Property, UnsafeSet
from robust.record.answer import Verdict
from tests.verifiers.branching.enumeration import dense, exact_minimum, network_of
from verifiers import Network
from verifiers.branching import neuron_search
from verifiers.branching.case_groups import groups_of
from verifiers.branching.domains import Domains, Pool
from verifiers.branching.neuron_splitting import split_many, split_neurons
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.outcome import Outcome, Replay
from verifiers.branching.problem import Problem
from verifiers.branching.standings import FAIR, Standings
from verifiers.branching.trial import TIE
from verifiers.deadline import Deadline
from verifiers.memory import Effort

ROW = torch.tensor([[1.0, -1.0]], dtype=torch.float64)


def below(offset: float, row: Tensor = ROW) -> UnsafeSet:
    return UnsafeSet((Halfspaces(row, torch.full((len(row),), offset, dtype=torch.float64)),))


def box_around(center: list[float], radius: float) -> Box:
    middle = torch.tensor(center, dtype=torch.float64)
    return Box(middle - radius, middle + radius)


def replay_of(network: Network, cases: list[Property]) -> Replay:
    def replay(case: int, points: Tensor) -> Tensor | None:
        inside = points[cases[case].inputs.contains(points)]
        reached = cases[case].unsafe.contains(network.to(torch.float64).graph.forward(inside.double()).flatten(1))
        return inside[reached][0] if bool(reached.any()) else None

    return replay


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), shares=st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=4))
def test_all_are_decided_as_by_enumeration(seed: int, shares: list[float]) -> None:
    module = dense([2, 4, 4, 2], seed)
    network = network_of(module, 2)
    cases, leasts = [], []
    for place, share in enumerate(shares):
        inputs = box_around([0.5 * place - 0.5, 0.2], 0.4 + 0.3 * place)
        least = exact_minimum(module, inputs.lower, inputs.upper, ROW[0])
        for side in (share, -share):
            leasts.append(least)
            cases.append(Property(inputs, below(least + side * (abs(least) + 0.1))))
    found = split_many(network, cases, Deadline(60.0), replay=replay_of(network, cases))
    for case, least, outcome in zip(cases, leasts, found, strict=True):
        offset = float(case.unsafe.clauses[0].offset)
        if abs(offset - least) > 1e-4:
            assert outcome.verdict is (Verdict.FALSIFIED if offset > least else Verdict.VERIFIED)
        if outcome.witness is not None:
            assert bool(case.inputs.contains(outcome.witness[None]))
            assert float(network.graph.forward(outcome.witness[None].double()) @ ROW[0]) <= offset
        if outcome.bound is not None:
            assert outcome.bound <= least - offset + 1e-6


@pytest.mark.parametrize("activation", [nn.Tanh, nn.LeakyReLU])
def test_many_are_decided_as_one_at_a_time(activation: type[nn.Module]) -> None:
    network = network_of(dense([3, 6, 6, 2], 4, activation), 3)
    x = 2 * torch.rand(5000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    cases = []
    for place in range(4):
        inputs = box_around([0.2 * place, 0.0, -0.1 * place], 0.3 + 0.1 * place)
        ball = L2Ball((inputs.lower + inputs.upper) / 2, 0.4, inputs)
        for chosen in (inputs, ball):
            inside = inputs.lower + (x + 1) / 2 * (inputs.upper - inputs.lower)
            inside = inside[chosen.contains(inside)]
            with torch.no_grad():
                least = float((network.graph.forward(inside) @ ROW[0]).min())
            cases += [Property(chosen, below(least - gap, ROW)) for gap in (0.05, -0.01)]
    replay, seen = replay_of(network, cases), {}
    together = split_many(network, cases, Deadline(60.0), replay=replay, watch=seen.__setitem__)
    assert [seen[place] for place in range(len(cases))] == together
    assert [outcome.verdict for outcome in together] == [Verdict.VERIFIED, Verdict.FALSIFIED] * 8
    for place, case in enumerate(cases):
        alone = split_neurons(network, case, Deadline(60.0), replay=lambda points, place=place: replay(place, points))
        assert alone.verdict is together[place].verdict


def hard_and_easy() -> tuple[Network, list[Property]]:
    """One case that takes thousands of domains, and three that take some."""
    network = network_of(dense([6, 24, 24, 24, 2], 0), 6)
    x = 2 * torch.rand(20_000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    cases = []
    for place, (radius, gap) in enumerate([(1.0, 0.02), (0.5, 0.1), (0.5, 0.12), (0.4, 0.08)]):
        center = torch.full((6,), 0.1 * place, dtype=torch.float64)
        with torch.no_grad():
            least = float((network.graph.forward(center + radius * x) @ ROW[0]).min())
        cases.append(Property(Box(center - radius, center + radius), below(least - gap)))
    return network, cases


def test_a_case_out_of_reach_does_not_starve_the_others() -> None:
    network, cases = hard_and_easy()
    found = split_many(network, cases, Deadline(None), domains=400)
    assert [outcome.verdict for outcome in found] == [Verdict.UNKNOWN, *[Verdict.VERIFIED] * 3]
    assert found[0].reason.startswith("the limit of 400 domains is reached")
    assert found[0].domains >= 400
    assert found[0].open > 0
    assert found[0].bound is not None
    assert found[0].bound <= 0


def test_counted_domains_do_not_look_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    network, cases = hard_and_easy()
    kept = [(one.verdict, one.reason, one.bound) for one in split_many(network, cases, Deadline(None), domains=150)]
    monkeypatch.setattr(neuron_search, "QUICK", -1.0)
    monkeypatch.setattr(neuron_search, "SLOW", 0.0)
    again = [(one.verdict, one.reason, one.bound) for one in split_many(network, cases, Deadline(None), domains=150)]
    assert kept == again


def test_time_that_runs_out_keeps_what_is_decided() -> None:
    network, cases = hard_and_easy()
    for outcome in split_many(network, cases, Deadline(0.0)):
        assert outcome.verdict is Verdict.UNKNOWN
        assert outcome.reason == "time ran out before anything was bounded"
    seen: dict[int, Outcome] = {}
    effort = Effort(expired=lambda: len(seen) >= 2)
    found = split_many(network, cases, Deadline(None), effort=effort, watch=seen.__setitem__)
    assert sorted(seen) == [0, 1, 2, 3]
    assert sum(outcome.verdict is Verdict.VERIFIED for outcome in found) >= 2
    assert "time ran out" in found[0].reason
    assert found[0].open > 0


def test_an_interruption_leaves_what_was_handed_out() -> None:
    network, cases = hard_and_easy()
    seen: dict[int, Outcome] = {}

    def watch(case: int, outcome: Outcome) -> None:
        seen[case] = outcome
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split_many(network, cases, Deadline(None), watch=watch)
    assert len(seen) == 2
    assert all(outcome.verdict is Verdict.VERIFIED for outcome in seen.values())
    assert torch.is_grad_enabled()


def test_a_case_that_outgrows_the_memory_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    network, cases = hard_and_easy()
    monkeypatch.setattr(neuron_search, "KEPT_BYTES", 3)
    found = split_many(network, cases, Deadline(None), effort=Effort(bytes=2**16))
    assert [outcome.verdict for outcome in found] == [Verdict.UNKNOWN, *[Verdict.VERIFIED] * 3]
    assert "memory" in found[0].reason


def test_the_first_witness_ends_the_search_where_that_is_wanted() -> None:
    network, cases = hard_and_easy()
    cases.append(Property(cases[0].inputs, below(10.0)))
    found = split_many(network, cases, Deadline(None), replay=replay_of(network, cases), first=True)
    assert found[4].verdict is Verdict.FALSIFIED
    assert found[0].verdict is Verdict.UNKNOWN
    assert "a witness of another case" in found[0].reason


def test_equal_sets_are_bounded_once_and_kinds_apart() -> None:
    network = network_of(dense([2, 4, 2], 0), 2)
    one, same, other = box_around([0.0, 0.0], 1.0), box_around([0.0, 0.0], 1.0), box_around([0.5, 0.0], 1.0)
    ball = L2Ball(torch.zeros(2).double(), 0.5, one)
    cases = [Property(inputs, below(0.0)) for inputs in (one, ball, same, other, one)]
    boxes, balls = groups_of(network, cases, Effort())
    assert boxes.places == (0, 2, 3, 4)
    assert boxes.samples.tolist() == [0, 0, 1, 0]
    assert len(boxes.region) == 2
    assert balls.places == (1,)
    some, needed = boxes.take([2, 3])
    assert (some.places, some.samples.tolist(), needed.tolist()) == ((3, 4), [1, 0], [0, 1])
    assert [group.places for group in groups_of(network, cases, Effort(bytes=1))] == [(0,), (2,), (3,), (4,), (1,)]


def test_a_point_within_rounding_of_the_threshold_ends_the_search() -> None:
    # |x| over [-1, 1]^k summed is 0 at one point, in the middle of every split; unsafe is to be at most -1e-9.
    module = nn.Sequential(nn.Linear(3, 6, bias=False), nn.ReLU(), nn.Linear(6, 1)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.cat([torch.eye(3), -torch.eye(3)]))
        module[2].weight.fill_(1.0)
        module[2].bias.fill_(1.0)
    network, row = network_of(module, 3), torch.ones(1, 1).double()
    tie, clear = (Property(box_around([0.0] * 3, 1.0), below(offset, row)) for offset in (1 - 1e-9, 1 + 1e-3))
    found = split_many(network, [tie, clear], Deadline(None), replay=replay_of(network, [tie, clear]))
    assert found[0].verdict is Verdict.UNKNOWN
    assert found[0].reason.startswith(TIE)
    assert found[0].open > 0
    assert found[1].verdict is Verdict.FALSIFIED


def test_a_clause_without_constraints_is_never_excluded() -> None:
    network = network_of(dense([2, 4, 2], 0), 2)
    everything = Halfspaces(torch.zeros(0, 2).double(), torch.zeros(0).double())
    far = Halfspaces(ROW, torch.full((1,), -100.0).double())
    cases = [Property(box_around([0.0, 0.0], 1.0), UnsafeSet((far, everything)))]
    assert split_many(network, cases, Deadline(20.0))[0].verdict is Verdict.UNKNOWN
    found = split_many(network, cases, Deadline(20.0), replay=replay_of(network, cases))
    assert found[0].verdict is Verdict.FALSIFIED


def test_every_proof_speaks_of_its_own_case() -> None:
    network = network_of(dense([2, 6, 6, 2], 5), 2)
    x = 2 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    both = torch.cat([ROW, -ROW])
    cases, answers = [], []
    for radius in (1.0, 0.7):
        inputs = box_around([0.1, 0.0], radius)
        with torch.no_grad():
            values = network.graph.forward((inputs.lower + inputs.upper) / 2 + radius * x) @ both.T
        offsets = values.amin(0) - 0.03 * (values.amax(0) - values.amin(0))
        clauses = tuple(Halfspaces(row[None], offset[None]) for row, offset in zip(both, offsets, strict=True))
        cases.append(Property(inputs, UnsafeSet(clauses)))
        answers.append((values - offsets).amin(0))
    for outcome, least in zip(split_many(network, cases, Deadline(60.0), keep_proof=True), answers, strict=True):
        assert outcome.verdict is Verdict.VERIFIED
        assert isinstance(outcome.proof, NeuronTree)
        asked, table = outcome.proof.questions, outcome.proof.table()
        assert [place for _, place, sign in asked if sign == 0] == [0, 1]
        leaves = torch.ones(len(table["parent"]), dtype=torch.bool)
        leaves[table["parent"][table["parent"] >= 0]] = False
        for place, (_, clause, sign) in enumerate(asked):
            rows = leaves & torch.from_numpy(table["question"] == place)
            bound = float(torch.from_numpy(table["bound"])[rows].min())
            assert math.isfinite(bound)
            if sign == 0:
                assert 0 < bound <= float(least[clause])


def test_memory_that_does_not_suffice_once_leaves_the_proof_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, cases = hard_and_easy()
    improve, calls = Problem.improve, iter(range(100))

    def scarce(self: Problem, domains: Domains, steps: int, rate: float, effort: Effort) -> Domains:
        if len(domains) > 1 and next(calls, None) in (0, 2, 4, 6):
            raise RuntimeError("out of memory")
        return improve(self, domains, steps, rate, effort)

    monkeypatch.setattr(Problem, "improve", scarce)
    for outcome in split_many(network, cases[1:], Deadline(60.0), keep_proof=True):
        assert outcome.verdict is Verdict.VERIFIED
        assert isinstance(outcome.proof, NeuronTree)
        table = outcome.proof.table()
        parents, children = np.unique(table["parent"][table["parent"] >= 0], return_counts=True)
        assert set(children.tolist()) <= {2}
        leaves = np.setdiff1d(np.arange(len(outcome.proof)), parents)
        own = [place for place, (_, _, sign) in enumerate(outcome.proof.questions) if sign == 0]
        assert (table["bound"][leaves[np.isin(table["question"][leaves], own)]] > 0).all()


def test_turns_by_hand() -> None:
    standings = Standings(torch.tensor([0, 0, 0, 2 * FAIR]), lambda case, outcome: None, lambda case: None)
    standings.begun(torch.tensor([-1.0, -1.0, -10.0, -1.0], dtype=torch.float64))
    # missing: 10 x 0.5, 2 x 1, 10 x 0.1; the last has had two shares already
    worst = torch.tensor([-0.5, -1.0, -1.0, -0.1], dtype=torch.float64)
    assert standings.turn(torch.tensor([10, 2, 10, 1]), worst).tolist() == [2, 1, 0, 3]


def test_pool_takes_the_worst_of_whose_turn_it_is() -> None:
    count = 6
    bounds = torch.tensor([-3.0, -1.0, -2.0, -9.0, -8.0, -7.0], dtype=torch.float64)
    clauses = torch.tensor([0, 0, 1, 2, 2, 2])
    wide = torch.zeros(count, 1)
    domains = Domains(clauses, bounds, clauses, wide, wide, wide.byte(), wide, wide, wide)
    pool = Pool(domains, torch.tensor([0, 0, 1]), 2)
    pool.put(domains)
    assert pool.counts.tolist() == [3, 3]
    assert pool.worst.tolist() == [-3.0, -9.0]
    assert pool.pop(3, torch.tensor([1, 0]), torch.tensor([3, 2])).bound.tolist() == [-9.0, -8.0, -3.0]
    assert pool.pop(1, torch.tensor([0, 1]), torch.tensor([3, 3]), nearest=True).bound.tolist() == [-1.0]
    pool.drop(0)
    assert pool.counts.tolist() == [0, 1]
    assert len(pool) == 1
