"""Facts of whole networks, by hand and by sampling."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.properties import Box
from robust.record.answer import Verdict
from tests.verifiers.smt_networks import graph_of, hat, linear, tent
from verifiers import Network
from verifiers.deadline import Deadline
from verifiers.network_facts import NeuronState, equivalent, neurons, output_range

UNIT = Box(torch.zeros(1), torch.ones(1))
SQUARE = Box(-torch.ones(2), torch.ones(2))


def test_the_range_of_a_tent_and_of_a_hat() -> None:
    """The tent rises from 0 to 0.5 and falls to 0; ``|x0| - 2 max(x1, 0)`` lies between -2 and 1."""
    found = output_range(Network(graph_of(tent(), (1,))), UNIT, 0, Deadline(20))
    assert found.low <= 0.0 <= found.low_reached <= 0.01
    assert 0.49 <= found.high_reached <= 0.5 + 1e-6 <= found.high + 1e-6
    assert found.high - found.high_reached <= 0.01
    found = output_range(Network(graph_of(hat(), (2,))), SQUARE, 0, Deadline(20))
    assert found.low <= -2 <= found.low_reached <= -1.99
    assert 0.99 <= found.high_reached <= 1 + 1e-6 <= found.high + 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_no_sample_leaves_a_range(seed: int) -> None:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    found = output_range(Network(graph_of(module, (2,))), SQUARE, seed % 2, Deadline(10))
    with torch.no_grad():
        values = module(torch.rand(50_000, 2) * 2 - 1)[:, seed % 2]
    assert found.low <= float(values.min())
    assert found.high >= float(values.max())
    assert found.low_reached <= float(values.min()) + 0.05
    assert found.high - found.low <= 1.1 * (found.high_reached - found.low_reached) + 0.05


def test_without_time_a_range_is_only_wider() -> None:
    found = output_range(Network(graph_of(hat(), (2,))), SQUARE, 0, Deadline(0))
    assert found.low <= -2
    assert found.high >= 1
    with pytest.raises(PropertyError, match="no such output"):
        output_range(Network(graph_of(hat(), (2,))), SQUARE, 1, Deadline(1))


def test_neurons_that_never_fire_always_fire_and_repeat_others() -> None:
    """Over [-1, 1]^2: x - 3 is dead, x + 3 linear, x both, 2 x a twin of x, and x - y - 2.5 dead by both inputs."""
    first = linear([[1, 0], [1, 0], [1, 0], [2, 0], [1, -1]], [-3, 3, 0, 0, -2.5])
    module = nn.Sequential(first, nn.ReLU(), linear([[1, 1, 1, 1, 1]], [0]))
    (found,) = neurons(Network(graph_of(module, (2,))), SQUARE, Deadline(20))
    both, dead = NeuronState.OPEN, NeuronState.DEAD
    assert found.states == (dead, NeuronState.LINEAR, both, both, dead)
    assert found.twins == ((2, 3),)


def test_a_neuron_that_only_branching_shows_to_be_dead() -> None:
    """``relu(x) + relu(-x) - relu(x + y) - relu(-x - y) + |y| + 0.01 >= 0.01``: its negative never fires."""

    class Deep(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            x, y = z[:, :1], z[:, 1:]
            large = x.abs() + y.abs() - (x + y).abs() + 0.01
            return torch.relu(-large) + z[:, :1]

    found = neurons(Network(graph_of(Deep(), (2,))), SQUARE, Deadline(30))
    assert found[-1].states == (NeuronState.DEAD,)


def test_networks_that_agree_and_that_do_not() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)).requires_grad_(False).eval()
    pruned = copy.deepcopy(module)
    pruned[2].weight[0, 3] += 0.05
    with torch.no_grad():
        points = torch.rand(20_000, 2) * 2 - 1
        largest = float((module(points) - pruned(points)).abs().max())
    assert equivalent(module, pruned, SQUARE, 1.2 * largest, Deadline(20)).verdict is Verdict.VERIFIED
    found = equivalent(module, pruned, SQUARE, 0.8 * largest, Deadline(20))
    assert found.verdict is Verdict.FALSIFIED
    assert found.witness is not None
    at = found.witness[None]
    assert float((module(at) - pruned(at)).abs().max()) >= 0.8 * largest
    assert equivalent(module, pruned, SQUARE, 1.2 * largest, Deadline(0)).verdict is Verdict.UNKNOWN
    assert equivalent(module, copy.deepcopy(module), SQUARE, 1e-3, Deadline(20)).verdict is Verdict.VERIFIED


def test_what_cannot_be_compared() -> None:
    with pytest.raises(PropertyError, match="tolerance"):
        equivalent(hat(), hat(), SQUARE, 0.0, Deadline(1))
    with pytest.raises(PropertyError, match="different outputs"):
        equivalent(hat(), nn.Linear(2, 3), SQUARE, 1.0, Deadline(1))
