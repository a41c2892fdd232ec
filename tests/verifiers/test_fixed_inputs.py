"""Inputs that do not vary are folded away: the same function, the same answers, and no rounding forgotten."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.graph import trace
from robust.properties import Box, Property, UnsafeSet
from robust.properties.unsafe_sets import Halfspaces
from robust.record.answer import Verdict
from verifiers import Network, lower_bounds
from verifiers.deadline import Deadline
from verifiers.decide import decide
from verifiers.fixed_inputs import free_inputs
from verifiers.region import Region

CPU = torch.device("cpu")


def at_most(value: float, outputs: int = 1) -> UnsafeSet:
    """Unsafe where the first output is at most ``value``."""
    matrix = torch.zeros(1, outputs, dtype=torch.float64)
    matrix[0, 0] = 1
    return UnsafeSet((Halfspaces(matrix, torch.tensor([value], dtype=torch.float64)),))


def question(module: nn.Module, shape: tuple[int, ...], free: list[int], x: Tensor) -> tuple[Network, Property]:
    lower, upper = x.double().flatten(), x.double().flatten()
    upper = upper.index_add(0, torch.tensor(free), torch.full((len(free),), 0.5, dtype=torch.float64))
    network = Network(trace(module.eval(), shape, device=CPU))
    return network, Property(Box(lower.reshape(shape), upper.reshape(shape)), at_most(0.0, network.graph.outputs))


@pytest.mark.parametrize("picture", [False, True])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_folded_network_is_the_same_function(picture: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    shape = (1, 3, 4) if picture else (12,)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 2))
    x = torch.randn(shape, generator=generator)
    network, case = question(module, shape, [7, 2, 10], x)
    free = free_inputs(network, [case])
    assert free is not None
    assert free.places.tolist() == [2, 7, 10]
    points = case.inputs.bounding_box().lower.flatten()[free.places] + 0.5 * torch.rand(9, 3, generator=generator)
    folded, whole = free.network.graph.forward(points), module(free.whole(points))
    torch.testing.assert_close(folded.double(), whole.double(), atol=1e-5, rtol=1e-5)
    boxes = [item.inputs.bounding_box() for item in (case, free.cases[0])]
    (asked,) = case.unsafe.clauses
    bounds = [
        lower_bounds(net, Region(box.lower[None].float(), box.upper[None].float()), asked.matrix[None].float(), "crown")
        for net, box in zip((network, free.network), boxes, strict=True)
    ]
    torch.testing.assert_close(bounds[0], bounds[1], atol=1e-4, rtol=1e-4)


def test_what_a_run_loses_in_folded_inputs_is_not_forgotten() -> None:
    """``1e8 - 1e8 + z`` is ``z >= .25`` in real numbers; a float32 run that adds ``z`` to 1e8 first loses all of it."""
    for factor, verdict in ((1e8, Verdict.UNKNOWN), (1.0, Verdict.VERIFIED)):
        layer = nn.Linear(5, 1)
        layer.weight.data = torch.tensor([[factor, -factor, 1.0, 0.0, 0.0]])
        layer.bias.data.zero_()
        last = nn.Linear(1, 1)
        last.weight.data.fill_(1.0)
        last.bias.data.fill_(1.0)
        module = nn.Sequential(layer, nn.ReLU(), last)
        network, case = question(module, (5,), [2], torch.tensor([1.0, 1.0, 0.25, 3.0, 4.0]))
        assert free_inputs(network, [case]) is not None
        assert decide(network, [Property(case.inputs, at_most(1.1))], deadline=Deadline(5.0)).verdict is verdict
        safe = decide(network, [Property(case.inputs, at_most(0.75))], deadline=Deadline(5.0))
        assert safe.meanings.deployed is Verdict.VERIFIED  # one and what is not negative: no rounding takes that


class Scaled(nn.Module):
    """Inputs are centred and scaled, by numbers that float32 rounds once they are folded into the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
        self.norm.running_mean, self.norm.running_var = torch.linspace(-3, 3, 12), torch.linspace(0.3, 9, 12)
        self.layers = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(self.norm(x))
        return found


def test_a_layer_that_a_scaling_was_folded_into_is_reduced_in_every_arithmetic() -> None:
    torch.manual_seed(0)
    module = Scaled().eval()
    network, case = question(module, (12,), [7, 2, 10], torch.randn(12))
    assert any(node.inexact is not None for node in network.graph.nodes)
    free = free_inputs(network, [case])
    assert free is not None
    points = case.inputs.bounding_box().lower.flatten()[free.places] + 0.5 * torch.rand(50, 3)
    exact = copy.deepcopy(module).double()(free.whole(points).double())
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-12)):
        graph = free.network.to(dtype).graph
        free_points = free.whole(points)[:, free.places].double()
        torch.testing.assert_close(graph.forward(free_points).double(), exact, atol=tolerance, rtol=0.0)
    reduced, whole = (next(iter(item.drifts.values()))[1] for item in (free.network, network))
    assert (reduced > whole).all()  # the new bias was added up from more
    least = float(exact[:, 0].detach().min())
    for offset, verdict in ((least - 10.0, Verdict.VERIFIED), (least + 0.1, Verdict.UNKNOWN)):
        asked = Property(case.inputs, at_most(offset, 2))
        assert decide(network, [asked], deadline=Deadline(20.0)).verdict is verdict


def test_a_witness_is_whole() -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    x = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    network, case = question(module, (6,), [1, 4], x)
    low = float(module(x[None] + torch.tensor([0.0, 0.25, 0.0, 0.0, 0.25, 0.0])).detach())
    seen = []

    def replay(place: int, points: Tensor) -> Tensor | None:
        seen.append(points.shape[1:])
        hits = points[module(points)[:, 0] <= low]
        return hits[0] if len(hits) else None

    found = decide(network, [Property(case.inputs, at_most(low))], deadline=Deadline(5.0), replay=replay)
    assert found.verdict is Verdict.FALSIFIED
    assert set(seen) == {(6,)}
    assert found.witness is not None
    assert torch.equal(found.witness[[0, 2, 3, 5]], x[[0, 2, 3, 5]])


def test_nothing_is_folded_where_it_cannot_be() -> None:
    x = torch.zeros(8)
    convolved = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 1, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3, 1))
    assert free_inputs(*_one(question(convolved, (8,), [1], x))) is None
    dense = nn.Sequential(nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 1))
    assert free_inputs(*_one(question(dense, (8,), [0, 1, 2, 3, 4, 5], x))) is None
    network, case = question(dense, (8,), [1], x)
    other = question(dense, (8,), [1], x + 1)[1]
    assert free_inputs(network, [case, other]) is None


def _one(asked: tuple[Network, Property]) -> tuple[Network, list[Property]]:
    return asked[0], [asked[1]]
