"""Branch and bound of independent cases: each is answered for itself, by whichever kind of splitting suits it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robust.graph import trace
from robust.properties import Box, Halfspaces, L2Ball, Property, UnsafeSet
from robust.record.answer import Verdict
from verifiers import Network
from verifiers.branching.outcome import Outcome
from verifiers.deadline import Deadline
from verifiers.split_each import split_each


def network_and_cases() -> tuple[Network, list[Property]]:
    """30 inputs, so that boxes in which all vary are split by neurons; each kind of case once proved, once broken."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    network = Network(trace(module, (30,), device=torch.device("cpu")))
    few = torch.zeros(30, dtype=torch.float64)
    few[:3] = 1.0
    wide = Box(-torch.ones(30).double(), torch.ones(30).double())
    sets = (Box(-few, few), wide, L2Ball(torch.zeros(30).double(), 2.0, wide))
    x = 2 * torch.rand(4000, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 1
    row, cases = torch.tensor([[1.0, -1.0]], dtype=torch.float64), []
    for inputs in sets:
        points = x * (few if inputs is sets[0] else 1.0)
        points = points[inputs.contains(points)] if inputs is not sets[2] else points * 0.3
        with torch.no_grad():
            least = float((network.graph.forward(points[inputs.contains(points)]) @ row[0]).min())
        cases += [Property(inputs, UnsafeSet((Halfspaces(row, row.new_full((1,), o)),))) for o in (least - 3, least)]
    return network, cases


@pytest.mark.parametrize("domains", [None, 500])
def test_a_witness_of_one_case_leaves_the_others_to_be_proved(domains: int | None) -> None:
    network, cases = network_and_cases()
    asked: set[int] = set()

    def replay(case: int, points: Tensor) -> Tensor | None:
        asked.add(case)
        inside = points[cases[case].inputs.contains(points)]
        reached = cases[case].unsafe.contains(network.graph.forward(inside.double()).flatten(1))
        return inside[reached][0] if bool(reached.any()) else None

    seen: dict[int, Outcome] = {}
    found = split_each(network, cases, Deadline(60.0), replay=replay, domains=domains, watch=seen.__setitem__)
    assert [outcome.verdict for outcome in found] == [Verdict.VERIFIED, Verdict.FALSIFIED] * 3
    assert [seen[place] for place in range(6)] == found
    assert asked >= {1, 3, 5}
    for case, outcome in zip(cases, found, strict=True):
        if outcome.witness is not None:
            assert bool(case.inputs.contains(outcome.witness[None]))
            assert bool(case.unsafe.contains(network.graph.forward(outcome.witness[None].double())))


def test_without_time_all_are_unknown() -> None:
    network, cases = network_and_cases()
    assert {outcome.verdict for outcome in split_each(network, cases, Deadline(0.0))} == {Verdict.UNKNOWN}
    assert split_each(network, [], Deadline(0.0)) == []
