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
from verifiers import Deadline, Effort, Network
from verifiers.branching.input_splitting import split_inputs
from verifiers.branching.neuron_splitting import split_neurons
from verifiers.certify import confirmed_bounds
from verifiers.region import region_of

CPU = torch.device("cpu")
GAPS = [Fraction(sign) / 10**power for power in (2, 4, 6, 9, 12) for sign in (1, -1)]
Row = list[Fraction]


def exact_minimum(layers: list[nn.Linear], low: float, high: float) -> Fraction:
    """Of a ReLU network of one input and one output: its kinks are found exactly, and the values there."""
    points: Row = [Fraction(low), Fraction(high)]
    values: list[Row] = [list(points)]
    for place, layer in enumerate(layers):
        rows = [[Fraction(w) for w in row] for row in layer.weight.tolist()]
        biases = [Fraction(b) for b in layer.bias.tolist()]
        values = [
            [sum((w * x[k] for w, x in zip(row, values, strict=True)), bias) for k in range(len(points))]
            for row, bias in zip(rows, biases, strict=True)
        ]
        if place == len(layers) - 1:
            return min(values[0])
        points, values = _with_kinks(points, values)
        values = [[max(v, Fraction(0)) for v in row] for row in values]
    raise AssertionError


def _with_kinks(points: Row, values: list[Row]) -> tuple[Row, list[Row]]:
    """The points where some row changes its sign, too; all rows are linear between points."""
    cuts = set(points)
    for row in values:
        for k in range(len(points) - 1):
            if row[k] * row[k + 1] < 0:
                share = row[k] / (row[k] - row[k + 1])
                cuts.add(points[k] + share * (points[k + 1] - points[k]))
    wanted = sorted(cuts)
    return wanted, [[_between(points, row, x) for x in wanted] for row in values]


def _between(points: Row, row: Row, x: Fraction) -> Fraction:
    k = max(i for i in range(len(points) - 1) if points[i] <= x)
    return row[k] + (row[k + 1] - row[k]) * (x - points[k]) / (points[k + 1] - points[k])


def drawn(seed: int) -> list[nn.Linear]:
    """Layers of a small network; every third with huge biases that cancel, every fifth with tiny weights."""
    generator = torch.Generator().manual_seed(seed)
    layers = [nn.Linear(1, 5), nn.Linear(5, 4), nn.Linear(4, 1)]
    for layer in layers:
        for parameter in (layer.weight, layer.bias):
            parameter.data = torch.randn(parameter.shape, generator=generator)
        if seed % 5 == 4:
            layer.weight.data *= 1e-3
    if seed % 3 == 2:
        layers[1].bias.data *= 1e6
    return layers


def by_inputs(network: Network, case: Property) -> bool:
    return split_inputs(network, [case], Deadline(60.0), domains=400)[0].verdict is Verdict.VERIFIED


def by_neurons(network: Network, case: Property) -> bool:
    return split_neurons(network, case, Deadline(60.0), domains=400).verdict is Verdict.VERIFIED


def by_bounds(network: Network, case: Property) -> bool:
    clause = case.unsafe.clauses[0]
    region = region_of([case.inputs])
    found = confirmed_bounds(network, region, clause.matrix[None], clause.offset[None], "crown", Effort())
    return bool(found > 0)


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
