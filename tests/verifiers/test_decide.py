"""Decisions over cases: one witness settles, all proofs settle, everything else is unknown and says why."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robust.graph import trace
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from robust.record import Verdict
from robust.record.answer import Meanings
from verifiers import Deadline, Network, decide
from verifiers.bound_stages import bound_margins
from verifiers.deadline import OutOfTimeError
from verifiers.decide import BY_NAME, STAGES


@pytest.fixture(scope="module")
def network() -> Network:
    """``y = relu(x) + relu(-x) - 0.25 = |x| - 0.25``."""
    module = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        module[0].bias.zero_()
        module[2].weight.copy_(torch.tensor([[1.0, 1.0]]))
        module[2].bias.copy_(torch.tensor([-0.25]))
    return Network(trace(module, (1,), device=torch.device("cpu")))


def reaches_below(low: float, high: float, level: float) -> Property:
    ends = (torch.tensor([end], dtype=torch.float64) for end in (low, high))
    return Property(Box(*ends), UnsafeSet((Halfspaces(torch.ones(1, 1).double(), torch.tensor([level]).double()),)))


def forever() -> Deadline:
    return Deadline(None)


def finder(cases: list[Property], network: Network) -> tuple[Callable[..., Tensor], Callable[..., Tensor | None]]:
    """A search that proposes the point of the box nearest to zero, and a replay that runs the network."""

    def search(place: int, round_: int, deadline: Deadline) -> Tensor:
        return cases[place].inputs.bounding_box().clamp(torch.zeros(1, 1)).float()

    def replay(place: int, points: Tensor) -> Tensor | None:
        reached = cases[place].unsafe.contains(network.graph.forward(points).double())
        return points[reached][0] if bool(reached.any()) else None

    return search, replay


def test_all_cases_proved_is_verified(network: Network) -> None:
    cases = [reaches_below(1, 2, 0.7), reaches_below(-3, -1, 0.7)]  # |x| - .25 >= .75
    found = decide(network, cases, deadline=forever())
    assert found.verdict is Verdict.VERIFIED
    assert found.stage == "interval"
    assert found.bound == pytest.approx(0.05, abs=1e-4)


def test_one_witness_is_falsified_even_beside_proved_cases(network: Network) -> None:
    cases = [reaches_below(1, 2, 0.7), reaches_below(-3, 0.25, 0.1)]
    search, replay = finder(cases, network)
    found = decide(network, cases, deadline=forever(), search=search, replay=replay)
    assert (found.verdict, found.case, found.stage) == (Verdict.FALSIFIED, 1, "short witness search")
    assert found.witness is not None
    assert found.witness.tolist() == [0.0]


def test_what_does_not_replay_is_not_falsified(network: Network) -> None:
    cases = [reaches_below(-3, 0.25, 0.1)]
    search, _ = finder(cases, network)
    found = decide(network, cases, deadline=forever(), search=search, replay=lambda place, points: None)
    assert found.verdict is Verdict.UNKNOWN
    assert not found.timed_out
    assert decide(network, cases, deadline=forever(), search=search).verdict is Verdict.UNKNOWN


def test_one_open_case_leaves_everything_unknown(network: Network) -> None:
    found = decide(network, [reaches_below(1, 2, 0.7), reaches_below(-1, 1, 0.1)], deadline=forever())
    assert found.verdict is Verdict.UNKNOWN
    assert "1 of 2 cases are open" in found.reason


def test_no_time_is_said_and_no_graph_is_said(network: Network) -> None:
    late = decide(network, [reaches_below(1, 2, 0.7)], deadline=Deadline(0.0))
    assert (late.verdict, late.timed_out) == (Verdict.UNKNOWN, True)
    blind = decide(None, [reaches_below(1, 2, 0.7)], deadline=forever())
    assert blind.verdict is Verdict.UNKNOWN
    assert "cannot be bounded" in blind.reason


def test_no_case_holds_vacuously(network: Network) -> None:
    assert decide(network, [], deadline=forever()).verdict is Verdict.VERIFIED


def test_a_stage_can_be_added(network: Network) -> None:
    seen: list[list[int]] = []
    table = (*STAGES[:2], ("mine", lambda work: seen.append(list(work.open))))
    decide(network, [reaches_below(1, 2, 0.7), reaches_below(-1, 1, 0.1)], deadline=forever(), stages=table)
    assert seen == [[1]]


def test_a_stage_by_name(network: Network) -> None:
    assert not dict(BY_NAME).keys() & dict(STAGES).keys()
    for name, stage in BY_NAME:
        found = decide(network, [reaches_below(1, 2, 0.7)], deadline=forever(), stages=((name, stage),))
        assert (found.verdict, found.stage) == (Verdict.VERIFIED, name)
        open_ = decide(network, [reaches_below(-1, 1, 0.1)], deadline=forever(), stages=((name, stage),))
        assert open_.verdict is Verdict.UNKNOWN


def test_margins_are_those_of_the_worst_clause(network: Network) -> None:
    box = reaches_below(1, 2, 0).inputs
    one = Halfspaces(torch.tensor([[1.0]]).double(), torch.tensor([0.5]).double())  # proved by .25
    two = Halfspaces(torch.tensor([[-1.0], [1.0]]).double(), torch.tensor([0.0, 0.25]).double())  # -1.75 and .5
    never = Halfspaces(torch.tensor([[-1.0]]).double(), torch.tensor([-1.0]).double())  # y >= 1 is possible
    margins = bound_margins(
        network, [Property(box, UnsafeSet((one, two))), Property(box, UnsafeSet((one, never)))], "crown"
    )
    assert margins[0].reals == pytest.approx(0.25, abs=1e-4)
    assert margins[1].reals == pytest.approx(-0.75, abs=1e-4)


def test_deadlines() -> None:
    assert Deadline(None).left == float("inf")
    assert not Deadline(100).expired
    assert Deadline(0).expired
    assert Deadline(5, start=time.monotonic() - 6).expired
    assert Deadline(100).within(1).left <= 1
    assert Deadline(None).within(2).left <= 2


def hat(inputs: int) -> Network:
    """``y = |a| + |b| - |a + b| >= 0`` of ``a = x1`` and ``b`` the mean of the other inputs."""
    module = nn.Sequential(nn.Linear(inputs, 6), nn.ReLU(), nn.Linear(6, 1))
    a, b = torch.zeros(inputs), torch.full((inputs,), 1 / (inputs - 1))
    a[0], b[0] = 1.0, 0.0
    first = torch.stack([a, b, a + b])
    with torch.no_grad():
        module[0].weight.copy_(torch.cat([first, -first]))
        module[0].bias.zero_()
        module[2].weight.copy_(torch.tensor([[1.0, 1.0, -1.0, 1.0, 1.0, -1.0]]))
        module[2].bias.zero_()
    return Network(trace(module, (inputs,), device=torch.device("cpu")))


@pytest.mark.parametrize(("inputs", "stage"), [(2, "input splitting"), (30, "neuron splitting")])
def test_what_bounds_leave_open_is_split(inputs: int, stage: str) -> None:
    """The minimum is 0; few inputs are split themselves, of many the neurons."""
    ends = -torch.ones(inputs).double(), torch.ones(inputs).double()
    unsafe = UnsafeSet((Halfspaces(torch.ones(1, 1).double(), torch.tensor([-0.1]).double()),))
    case = Property(Box(*ends), unsafe)
    assert bound_margins(hat(inputs), [case], "crown")[0].reals < 0
    found = decide(hat(inputs), [case], deadline=Deadline(60))
    assert found.verdict is Verdict.VERIFIED
    assert found.stage == stage


def test_inputs_that_vary_by_rounding_alone_are_not_counted() -> None:
    """Thirty inputs, of which one varies, and the others by less than float64 tells apart in a sum."""
    lower = torch.full((30,), 0.5, dtype=torch.float64)
    upper = lower + 1e-16 * torch.arange(30)
    lower[0], upper[0] = -1.0, 1.0
    unsafe = UnsafeSet((Halfspaces(torch.ones(1, 1).double(), torch.tensor([-0.1]).double()),))
    found = decide(hat(30), [Property(Box(lower, upper), unsafe)], deadline=Deadline(60))
    assert found.verdict is Verdict.VERIFIED
    assert found.stage != "neuron splitting"


def test_without_a_deadline_splitting_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threshold is within rounding of the minimum: no proof, and no witness without a replay."""
    monkeypatch.setattr(sys.modules["verifiers.decide"], "UNLIMITED", 1.0)
    ends = -torch.ones(2).double(), torch.ones(2).double()
    unsafe = UnsafeSet((Halfspaces(torch.ones(1, 1).double(), torch.tensor([-1e-12], dtype=torch.float64)),))
    started = time.monotonic()
    assert decide(hat(2), [Property(Box(*ends), unsafe)], deadline=forever()).verdict is Verdict.UNKNOWN
    assert time.monotonic() - started < 30


def test_z3_proves_and_breaks_what_it_is_asked_about(network: Network) -> None:
    """``|x| - .25`` over -3..3 is at least -.25, and -.25 at 0."""
    table = tuple((name, stage) for name, stage in BY_NAME if name == "z3")
    proved = decide(network, [reaches_below(-3, 3, -0.3)], deadline=Deadline(20.0), stages=table)
    assert (proved.verdict, proved.stage) == (Verdict.VERIFIED, "z3")
    cases = [reaches_below(1, 2, 0.7), reaches_below(-3, 3, -0.2)]
    _, replay = finder(cases, network)
    broken = decide(network, cases, deadline=Deadline(20.0), replay=replay, stages=table)
    assert (broken.verdict, broken.case) == (Verdict.FALSIFIED, 1)
    assert broken.witness is not None
    assert abs(float(broken.witness)) <= 0.05 + 1e-6
    blind = decide(network, cases, deadline=Deadline(20.0), stages=table)
    assert blind.verdict is Verdict.UNKNOWN  # what no real model confirms is no witness
    kept = decide(network, [reaches_below(-3, 3, -0.3)], deadline=Deadline(20.0), stages=table, keep_proof=True)
    assert kept.verdict is Verdict.UNKNOWN  # Z3 leaves no tree


@pytest.mark.parametrize("error", [OutOfTimeError(), RuntimeError("out of memory"), MemoryError()])
def test_a_witness_is_one_whatever_becomes_of_its_meaning(
    network: Network, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> bool:
        raise error

    monkeypatch.setattr(importlib.import_module("verifiers.decide"), "reached_surely", fails)
    cases = [reaches_below(-3, 0.25, 0.1)]
    search, replay = finder(cases, network)
    found = decide(network, cases, deadline=forever(), search=search, replay=replay)
    assert found.verdict is Verdict.FALSIFIED
    assert found.meanings == Meanings(Verdict.UNKNOWN, Verdict.FALSIFIED)
