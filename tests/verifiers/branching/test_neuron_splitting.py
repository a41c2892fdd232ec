"""Splitting neurons: held against enumeration of all patterns, samples, and bounds worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.properties import Box, Halfspaces, L2Ball, Property, UnsafeSet
from robust.record.answer import Verdict
from tests.verifiers.branching.enumeration import dense, exact_minimum, network_of
from verifiers import Network, lower_bounds
from verifiers.branching.branching import halves
from verifiers.branching.domains import LOWER, UPPER
from verifiers.branching.exact_leaf import PRICES, solved
from verifiers.branching.neuron_splitting import split_neurons
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.outcome import Outcome
from verifiers.branching.problem import Problem
from verifiers.branching.refine import Allowance, refined
from verifiers.branching.root import root_bounds
from verifiers.deadline import Deadline
from verifiers.memory import Effort
from verifiers.region import region_of

SECONDS = 60.0


def below(row: Tensor, offset: float) -> UnsafeSet:
    return UnsafeSet((Halfspaces(row[None].double(), torch.tensor([offset], dtype=torch.float64)),))


def unit_box(inputs: int) -> Box:
    return Box(-torch.ones(inputs).double(), torch.ones(inputs).double())


def replay_of(network: Network, case: Property) -> Callable[[Tensor], Tensor | None]:
    def replay(points: Tensor) -> Tensor | None:
        inside = points[case.inputs.contains(points)]
        reached = case.unsafe.contains(network.to(torch.float64).graph.forward(inside.double()).flatten(1))
        return inside[reached][0] if bool(reached.any()) else None

    return replay


def problem_of(network: Network, case: Property) -> Problem:
    with torch.no_grad():
        root = root_bounds(network.to(torch.float64), region_of([case.inputs]), Effort(), 10)
        return Problem.of(root, [case], torch.zeros(1, dtype=torch.int64))


def stairs() -> nn.Sequential:
    """``y = relu(x - 1) - relu(x)``: from 0 down to -1."""
    module = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [1.0]]))
        module[0].bias.copy_(torch.tensor([0.0, -1.0]))
        module[2].weight.copy_(torch.tensor([[-1.0, 1.0]]))
        module[2].bias.zero_()
    return module


def test_one_split_proves_by_hand_what_lines_cannot() -> None:
    # x in [-1, 3]: relu(x) <= 3/4 (x + 1), relu(x - 1) >= a (x - 1): y >= (a - 3/4) x - a - 3/4, whose least is
    # 3 (a - 3/4) - a - 3/4 = 2 a - 3 for a <= 3/4 and 3/4 - a - a - 3/4 = -2 a above: never more than -3/2.
    # Split relu(x) at 0. x <= 0: y >= a (x - 1), with a = 0: 0. x >= 0: y >= -x + a (x - 1), with a = 1: -1.
    network, inputs = network_of(stairs(), 1), Box(torch.tensor([-1.0]).double(), torch.tensor([3.0]).double())
    row = torch.ones(1)
    lines = lower_bounds(network, region_of([inputs]), row[None, None].double(), "alpha-crown")
    assert float(lines) == pytest.approx(-1.5, abs=1e-9)
    case = Property(inputs, below(row, -1.25))
    problem = problem_of(network, case)
    with torch.no_grad():
        whole = problem.improve(problem.start(), 40, 0.25, Effort())
        parts = problem.improve(halves(problem, whole, torch.tensor([[0]]), None), 60, 0.25, Effort())
        sure = problem.confirmed(parts, Effort()).bound
    assert float(whole.bound) == pytest.approx(-0.25, abs=1e-5)
    assert 0.24 < float(sure[0]) <= 1.25  # it stops where it is content
    assert float(sure[1]) == pytest.approx(0.25, abs=1e-2)
    assert split_neurons(network, case, Deadline(SECONDS)).verdict is Verdict.VERIFIED


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(-0.3, 0.3))
def test_decided_as_by_enumeration(seed: int, share: float) -> None:
    module = dense([3, 4, 4, 2], seed)
    network, inputs = network_of(module, 3), unit_box(3)
    row = torch.tensor([1.0, -1.0], dtype=torch.float64)
    least = exact_minimum(module, inputs.lower, inputs.upper, row)
    offset = least + share * (abs(least) + 0.1)
    case = Property(inputs, below(row, offset))
    found = split_neurons(network, case, Deadline(SECONDS), replay=replay_of(network, case))
    if offset >= least:
        assert found.verdict is not Verdict.VERIFIED
    if found.verdict is Verdict.FALSIFIED:
        assert found.witness is not None
        assert bool(case.inputs.contains(found.witness[None]))
        assert float(network.graph.forward(found.witness[None].double()) @ row) <= offset
    if found.bound is not None:
        assert found.bound <= least - offset + 1e-6
    if abs(share) > 1e-3:
        assert found.verdict is (Verdict.FALSIFIED if share > 0 else Verdict.VERIFIED)


@pytest.mark.parametrize("seed", range(3))
def test_inputs_that_are_bent_themselves(seed: int) -> None:
    module = nn.Sequential(nn.ReLU(), *dense([2, 4, 1], seed))
    network, inputs = network_of(module, 2), unit_box(2)
    x = torch.linspace(-1, 1, 201, dtype=torch.float64)
    with torch.no_grad():
        least = float(network.graph.forward(torch.cartesian_prod(x, x)).min())
    for offset, verdict in ((least - 0.01, Verdict.VERIFIED), (least + 1e-3, Verdict.FALSIFIED)):
        case = Property(inputs, below(torch.ones(1), offset))
        assert split_neurons(network, case, Deadline(SECONDS), replay=replay_of(network, case)).verdict is verdict


def test_conjunction_that_no_single_constraint_excludes() -> None:
    # y = (x, -x): both <= -0.1 is impossible, while each alone is possible; half of each gives 0.1.
    module = nn.Linear(1, 2, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    unsafe = UnsafeSet((Halfspaces(torch.eye(2).double(), torch.full((2,), -0.1, dtype=torch.float64)),))
    found = split_neurons(network_of(nn.Sequential(module), 1), Property(unit_box(1), unsafe), Deadline(SECONDS))
    assert found.verdict is Verdict.VERIFIED
    assert found.bound is not None
    assert 0 < found.bound <= 0.1


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_multipliers_exceed_the_split_problem(seed: int) -> None:
    module = dense([2, 4, 3, 1], seed)
    network, inputs = network_of(module, 2), unit_box(2)
    problem = problem_of(network, Property(inputs, below(torch.ones(1), 0.0)))
    nodes, places = problem.layout.origins
    layers = {node: layer for layer, node in enumerate(sorted(network.relaxed_operands))}
    generator = torch.Generator().manual_seed(seed)
    domains = problem.start()
    with torch.no_grad():
        for column in torch.randperm(problem.layout.width, generator=generator)[:3].tolist():
            both = domains.split(torch.tensor([column]), torch.zeros(1).double())
            domains = both.take(torch.randint(2, (1,), generator=generator))
        splits = [
            (layers[int(nodes[c])], int(places[c]), float(domains.lower[0, c]), float(domains.upper[0, c]))
            for c in torch.nonzero(domains.sides[0])[:, 0].tolist()
        ]
        least = exact_minimum(module, inputs.lower, inputs.upper, torch.ones(1).double(), splits)
        for scale in (0.0, 0.1, 1.0, 10.0):
            guess = scale * torch.randn(domains.multipliers.shape, generator=generator)
            wild = torch.rand(domains.slopes.shape, generator=generator)
            tried = replace(domains, multipliers=guess, slopes=wild)
            for single in (True, False):
                assert float(problem.search(tried, Effort(), single=single).bound()) <= least + 1e-4 * (1 + scale)
            assert float(problem.confirmed(tried, Effort()).bound) <= least
        best = problem.improve(domains, 60, 0.25, Effort())
        assert float(problem.confirmed(best, Effort()).bound) <= least
        assert float(best.bound) >= float(problem.search(domains, Effort()).bound()) - 1e-6


def test_a_decided_domain_is_bounded_by_its_programme() -> None:
    module = dense([2, 4, 1], 3)
    network, inputs = network_of(module, 2), unit_box(2)
    problem = problem_of(network, Property(inputs, below(torch.ones(1), 0.0)))
    _, places = problem.layout.origins
    empty = filled = 0
    with torch.no_grad():
        domains = problem.start()
        for column in range(problem.layout.width):
            domains = domains.split(torch.full((len(domains),), column), torch.zeros(len(domains)).double())
        for place in range(len(domains)):
            domain = domains.take(torch.tensor([place]))
            splits = [
                (0, int(places[c]), float(domain.lower[0, c]), float(domain.upper[0, c]))
                for c in range(problem.layout.width)
            ]
            least = exact_minimum(module, inputs.lower, inputs.upper, torch.ones(1).double(), splits)
            leaves = [solved(problem, domain, price) for price in PRICES]
            sure = max(float(problem.confirmed(leaf.domain, Effort()).bound) for leaf in leaves if leaf is not None)
            if math.isinf(least):
                empty += 1
                assert sure > 0
            else:
                filled += 1
                assert least - 1e-3 <= sure <= least
    assert filled
    assert empty


def test_out_of_time_is_unknown_with_a_bound() -> None:
    module = dense([6, 24, 24, 24, 2], 0)
    network, inputs = network_of(module, 6), unit_box(6)
    row = torch.tensor([1.0, -1.0]).double()
    x = 2 * torch.rand(20_000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    least = float((network.graph.forward(x) @ row).detach().min())
    case = Property(inputs, below(row, least - 0.1))
    assert split_neurons(network, case, Deadline(0.0)).verdict is Verdict.UNKNOWN
    calls = iter(range(400))
    found = split_neurons(network, case, Deadline(None), effort=Effort(expired=lambda: next(calls, None) is None))
    assert found.verdict is Verdict.UNKNOWN
    assert "time" in found.reason
    assert found.bound is not None
    assert found.bound <= 0
    assert found.open > 0


def test_what_the_margin_swallows_is_not_proved() -> None:
    # y = x + 1 over [-1, 1] is at least 0; unsafe is y <= -1e-9, far below what float32 tells apart.
    module = nn.Linear(1, 1).double()
    with torch.no_grad():
        module.weight.fill_(1.0)
        module.bias.fill_(1.0)
    case = Property(unit_box(1), below(torch.ones(1), -1e-9))
    found = split_neurons(network_of(nn.Sequential(module), 1), case, Deadline(SECONDS))
    assert found.verdict is Verdict.UNKNOWN
    assert found.bound is not None
    assert found.bound <= 0
    assert found.open == 1


def proved(network: Network, case: Property) -> tuple[Outcome, NeuronTree]:
    found = split_neurons(network, case, Deadline(SECONDS), keep_proof=True)
    assert found.verdict is Verdict.VERIFIED
    assert isinstance(found.proof, NeuronTree)
    return found, found.proof


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid])
def test_every_input_ends_in_a_leaf_whose_bound_holds(activation: type[nn.Module], tmp_path: Path) -> None:
    module = dense([2, 6, 6, 2], 5, activation)
    network, inputs = network_of(module, 2), unit_box(2)
    row = torch.tensor([1.0, -1.0]).double()
    x = 2 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    with torch.no_grad():
        values, answers = network.graph.values(x), network.graph.forward(x) @ row
    spread = float(answers.max() - answers.min())
    offset = float(answers.min()) - 0.02 * spread
    _, tree = proved(network, Property(inputs, below(row, offset)))
    tree.save(tmp_path / "tree.npz")
    table = np.load(tmp_path / "tree.npz")
    children: dict[int, list[int]] = {}
    for at, parent in enumerate(table["parent"]):
        children.setdefault(int(parent), []).append(at)
    roots = children.pop(-1)
    assert len(roots) == len(table["questions"])
    for parent, pair in children.items():
        assert len(pair) == 2
        assert [int(table["side"][at]) for at in pair] == [0, 1]
        for name in ("node", "element", "threshold", "question"):
            assert table[name][pair[0]] == table[name][pair[1]]
        assert np.isnan(table["bound"][parent])
    for root in roots:
        node, place, sign = table["questions"][table["question"][root]]
        truth = answers - offset if sign == 0 else sign * values[node].flatten(1)[:, place]
        for sample in range(0, 2000, 10):
            at = root
            while at in children:
                one, two = children[at]
                here = float(values[int(table["node"][one])].flatten(1)[sample, int(table["element"][one])])
                at = one if here <= table["threshold"][one] else two
            if sign == 0:
                assert table["bound"][at] > 0
            assert table["bound"][at] <= float(truth[sample]) + 1e-9


def test_refined_bounds_hold_and_are_tighter() -> None:
    module = dense([4, 12, 12, 12, 2], 1)
    network, inputs = network_of(module, 4), unit_box(4)
    x = 2 * torch.rand(20_000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    with torch.no_grad():
        root = root_bounds(network, region_of([inputs]), Effort(), 20)
        better = refined(root, Effort(), Allowance(5.0), 20)
        values = network.graph.values(x)
    before = after = 0.0
    for index in network.relaxed_operands:
        (low, high), (old, top) = better.bounds[index].flat(1), root.bounds[index].flat(1)
        assert bool((values[index] >= low).all())
        assert bool((values[index] <= high).all())
        assert bool((low >= old).all())
        assert bool((high <= top).all())
        before, after = before + float((top - old).sum()), after + float((high - low).sum())
    assert after < 0.95 * before


@pytest.mark.parametrize("norm", ["box", "l2"])
@pytest.mark.parametrize("kind", ["convolution", "abs", "maximum"])
def test_other_layers_and_sets_are_sound(kind: str, norm: str) -> None:
    module = layered(kind)
    network = Network(trace_picture(module))
    inputs = Box(torch.zeros(1, 4, 4).double(), torch.full((1, 4, 4), 0.5).double())
    ball = L2Ball(torch.full((1, 4, 4), 0.25).double(), 0.5, inputs)
    x = torch.rand(20_000, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.5
    chosen = inputs if norm == "box" else ball
    x = x[chosen.contains(x)]
    row = torch.tensor([1.0, -1.0]).double()
    with torch.no_grad():
        least = float((network.graph.forward(x) @ row).min())
    broken = Property(chosen, below(row, least))
    found = split_neurons(network, broken, Deadline(3.0), replay=replay_of(network, broken))
    assert found.verdict is not Verdict.VERIFIED
    assert found.bound is None or found.bound <= 1e-9
    held = split_neurons(network, Property(chosen, below(row, least - 1.0)), Deadline(20.0))
    assert held.verdict is Verdict.VERIFIED


class _Absolute(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


def layered(kind: str) -> nn.Module:
    bend: nn.Module = {"convolution": nn.ReLU(), "abs": _Absolute(), "maximum": nn.MaxPool2d(2, 1)}[kind]
    with torch.random.fork_rng():
        torch.manual_seed(2)
        front = nn.Conv2d(1, 3, 3, padding=1)
        width = 27 if kind == "maximum" else 48
        return nn.Sequential(front, bend, nn.Flatten(), nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 2)).double()


def trace_picture(module: nn.Module):  # type: ignore[no-untyped-def]
    from robust.graph import trace

    return trace(module, (1, 4, 4), device=torch.device("cpu"))


@pytest.mark.parametrize("weight", [math.nan, math.inf, 1e300])
def test_what_overflows_is_never_proved(weight: float) -> None:
    module = dense([2, 3, 1], 0)
    with torch.no_grad():
        module[0].weight[0, 0] = weight
        module[2].weight[0, 0] = weight
    network = network_of(module, 2)
    found = split_neurons(network, Property(unit_box(2), below(torch.ones(1), -5.0)), Deadline(2.0))
    assert found.verdict is Verdict.UNKNOWN


def test_sides_say_which_bounds_come_from_splits() -> None:
    problem = problem_of(network_of(dense([2, 4, 1], 0), 2), Property(unit_box(2), below(torch.ones(1), 0.0)))
    whole = problem.start()
    both = whole.split(torch.tensor([1]), torch.tensor([0.0]).double())
    assert both.sides[:, 1].tolist() == [UPPER, LOWER]
    assert both.upper[0, 1] == 0
    assert both.lower[1, 1] == 0
    assert int(both.sides.bool().sum()) == 2
    assert int(whole.sides.sum()) == 0
