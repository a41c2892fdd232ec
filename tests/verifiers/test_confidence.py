"""The largest confidence over a box, against closed forms, samples, and each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from robust.errors import PropertyError
from robust.graph import trace
from robust.properties import Box
from verifiers import Deadline, Network
from verifiers.confidence import above, largest_confidence


def network_of(module: nn.Module, inputs: int) -> Network:
    return Network(trace(module.requires_grad_(False), (inputs,), device=torch.device("cpu")))


def scaled(gain: float, classes: int) -> Network:
    """Logit k is ``gain * x_k``."""
    module = nn.Linear(classes, classes, bias=False)
    with torch.no_grad():
        module.weight.copy_(gain * torch.eye(classes))
    return network_of(nn.Sequential(module), classes)


def box(inputs: int, low: float, high: float) -> Box:
    return Box(torch.full((inputs,), low).double(), torch.full((inputs,), high).double())


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_of_a_linear_softmax_it_is_the_closed_form(classes: int) -> None:
    exact = 1 / (1 + (classes - 1) * math.exp(-2.0))
    found = largest_confidence(scaled(2.0, classes), box(classes, 0.0, 1.0), Deadline(20.0))
    assert exact <= found.bound <= exact + 1e-6
    assert found.reached == pytest.approx(exact, abs=1e-6)
    assert found.witness.argmax() == found.label
    assert found.reason == ""


def test_no_point_is_surer_and_the_two_come_close() -> None:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    network, inputs = network_of(module, 4), box(4, 0.2, 0.8)
    found = largest_confidence(network, inputs, Deadline(30.0))
    points = 0.2 + 0.6 * torch.rand(20_000, 4)
    assert float(torch.softmax(module(points), 1).max()) <= min(found.bound, found.reached + 1e-6)
    assert found.bound - found.reached <= 0.02
    assert bool(inputs.contains(found.witness[None]).all())
    own = torch.softmax(module(found.witness[None].float()), 1)[0, found.label]
    assert float(own) == pytest.approx(found.reached, abs=1e-6)


@pytest.mark.parametrize("level", [0.2, 0.5, 0.9, 0.9999])
def test_what_is_surer_than_a_level_meets_its_constraints(level: float) -> None:
    outputs = 6 * torch.randn(20_000, 5, dtype=torch.float64)
    sure = torch.softmax(outputs, 1).max(1).values > level
    assert int(sure.sum()) > 100
    assert bool(above(level, 5).contains(outputs[sure]).all())
    assert not bool(above(level, 5).contains(torch.zeros(1, 5, dtype=torch.float64)).any()) or level <= 0.2


def test_without_time_nothing_is_claimed() -> None:
    found = largest_confidence(scaled(2.0, 3), box(3, 0.0, 1.0), Deadline(0.0))
    assert found.bound == 1.0
    assert found.reason


def test_one_class_is_refused() -> None:
    with pytest.raises(PropertyError, match="classes"):
        largest_confidence(network_of(nn.Sequential(nn.Linear(2, 1)), 2), box(2, 0.0, 1.0), Deadline(1.0))
