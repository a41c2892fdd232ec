"""Thresholds a hair above and below the true minimum, which is known in rational numbers: no wrong proof, ever."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import nn

from robust.graph import trace
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from robust.record import Verdict
from tests.verifiers.branching.exact import GAPS, drawn, exact_minimum
from verifiers import Deadline, Effort, Network
from verifiers.branching.input_splitting import split_inputs
from verifiers.branching.neuron_splitting import split_neurons
from verifiers.certify import confirmed_bounds
from verifiers.region import region_of

CPU = torch.device("cpu")


def by_inputs(network: Network, case: Property) -> bool:
    return split_inputs(network, [case], Deadline(60.0), domains=400)[0].verdict is Verdict.VERIFIED


def by_neurons(network: Network, case: Property) -> bool:
    return split_neurons(network, case, Deadline(60.0), domains=400).verdict is Verdict.VERIFIED


def by_bounds(network: Network, case: Property) -> bool:
    clause = case.unsafe.clauses[0]
    region = region_of([case.inputs])
    found = confirmed_bounds(network, region, clause.matrix[None], clause.offset[None], "crown", Effort())
    return bool(found.reals > 0)


@pytest.mark.parametrize("engine", [by_inputs, by_neurons, by_bounds])
@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(100, 400), marks=pytest.mark.slow)])
def test_what_is_violated_by_a_hair_is_not_proved(engine: Callable[[Network, Property], bool], seeds: range) -> None:
    proved, possible = 0, 0
    for seed in seeds:
        layers = drawn(seed)
        low, high = (-1.0, 1.0) if seed % 2 else (0.5, 0.5 + 2.0**-20)
        minimum = exact_minimum(layers, low, high)
        modules = [part for layer in layers for part in (layer, nn.ReLU())][:-1]
        network = Network(trace(nn.Sequential(*modules).requires_grad_(False), (1,), device=CPU))
        box = Box(torch.tensor([low]).double(), torch.tensor([high]).double())
        for gap in GAPS:
            level = float(minimum - gap * max(1, abs(minimum)))
            holds = Fraction(level) < minimum
            threshold = torch.tensor([level], dtype=torch.float64)
            case = Property(box, UnsafeSet((Halfspaces(torch.ones(1, 1).double(), threshold),)))
            answer = engine(network, case)
            assert holds or not answer, (seed, gap)
            proved, possible = proved + answer, possible + (holds and gap == Fraction(1, 100))
    assert proved >= possible  # gaps of a hundredth are proved, but for the odd one, and smaller ones as well
