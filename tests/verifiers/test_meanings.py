"""Both meanings of a verdict, against rational numbers and against many ways to run a network in float32."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust.graph import trace
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from robust.record.answer import Meanings, Verdict
from tests.verifiers.branching.exact import drawn, exact_minimum
from tests.verifiers.test_roundoff import exact_output
from verifiers import Deadline, Network, decide
from verifiers.decide import BY_NAME, STAGES

CPU = torch.device("cpu")
LOW, HIGH = 0.5, 0.5 + 2.0**-20
"""Seventeen float32 numbers: all of them are run."""
STEPS = (-30, -8, -3, -1, -0.5, 0, 0.5, 1, 3, 8, 30)
"""Where thresholds lie, in units of the last place of the smallest value that is reached."""


def network_of(layers: list[nn.Linear]) -> Network:
    modules = [part for layer in layers for part in (layer, nn.ReLU())][:-1]
    return Network(trace(nn.Sequential(*modules).requires_grad_(False), (layers[0].in_features,), device=CPU))


def below(value: float) -> UnsafeSet:
    return UnsafeSet((Halfspaces(torch.ones(1, 1).double(), torch.tensor([value], dtype=torch.float64)),))


def run(layers: list[nn.Linear], points: Tensor, order: int, fused: bool) -> NDArray[np.float32]:
    """One way to run a network in float32: sums in some order, with a rounding after each product or not."""
    values = points.numpy().astype(np.float32)
    for place, layer in enumerate(layers):
        weight, bias = (part.detach().numpy().astype(np.float32) for part in (layer.weight, layer.bias))
        columns = np.random.default_rng(order).permutation(weight.shape[1]) if order else np.arange(weight.shape[1])
        total = np.broadcast_to(bias, (len(values), len(bias))) if order % 2 else np.zeros((len(values), 1), np.float32)
        for column in columns:
            if fused:
                exact = values[:, column, None].astype(np.float64) * weight[:, column].astype(np.float64)
                total = (total.astype(np.float64) + exact).astype(np.float32)
            else:
                total = total + values[:, column, None] * weight[:, column]
        total = total if order % 2 else total + bias
        values = np.maximum(total, np.float32(0)) if place < len(layers) - 1 else total
        assert values.dtype == np.float32
    return values


def floats(low: float, high: float) -> Tensor:
    found = [np.float32(low)]
    while found[-1] < high:
        found.append(np.nextafter(found[-1], np.float32(np.inf), dtype=np.float32))
    return torch.tensor(np.array(found))[:, None]


def lowest_run(layers: list[nn.Linear], points: Tensor) -> float:
    ways = [run(layers, points, order, fused) for order in range(4) for fused in (False, True)]
    with torch.no_grad():
        outputs = network_of(layers).graph.forward(points).numpy()
    return float(min(way.min() for way in (*ways, outputs)))


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(1000, 1400), marks=pytest.mark.slow)])
def test_neither_meaning_is_ever_wrong(seeds: range, scale: float) -> None:
    """Thresholds around the smallest real value and around the smallest value of any run."""
    said: dict[Meanings, int] = {}
    points = floats(LOW, HIGH)
    for seed in seeds:
        layers = drawn(seed)
        for layer in layers[:-1]:
            layer.bias.data *= scale  # cancellation
        network = network_of(layers)
        real, deployed = exact_minimum(layers, LOW, HIGH), lowest_run(layers, points)
        unit = float(np.spacing(np.float32(abs(deployed)))) + float(abs(real - Fraction(deployed))) / 8
        for step in STEPS:
            level = deployed + step * unit
            case = Property(Box(torch.tensor([LOW]).double(), torch.tensor([HIGH]).double()), below(level))

            def replay(_: int, candidates: Tensor, net: Network = network, at: float = level) -> Tensor | None:
                hit = net.graph.forward(candidates.float()).flatten().double() <= at
                return candidates[hit][0].float() if bool(hit.any()) else None

            found = decide(
                network, [case], deadline=Deadline(20.0), replay=replay, search=lambda *_, all_=points: all_
            ).meanings
            said[found] = said.get(found, 0) + 1
            assert found.real is not Verdict.VERIFIED or Fraction(level) < real, (seed, step)
            assert found.real is not Verdict.FALSIFIED or Fraction(level) >= real, (seed, step)
            assert found.deployed is not Verdict.VERIFIED or level < deployed, (seed, step)
            assert found.deployed is not Verdict.FALSIFIED or level >= deployed, (seed, step)
    verified, falsified = Verdict.VERIFIED, Verdict.FALSIFIED
    assert {Meanings(verified, verified), Meanings(falsified, falsified)} <= set(said), said


def test_a_property_may_hold_for_real_numbers_and_not_in_a_run() -> None:
    """``(1e8 + x) - 1e8`` is ``x``; in float32 it is a multiple of 8. Both verdicts are shown."""
    layers = [nn.Linear(1, 1), nn.Linear(1, 1)]
    for layer, shift in zip(layers, (1e8, -1e8), strict=True):
        layer.weight.data.fill_(1.0)
        layer.bias.data.fill_(shift)
    network, point = network_of(layers), torch.tensor([[3.0]])
    assert float(network.graph.forward(point)) == 0.0
    assert exact_output(layers, [Fraction(3)]) == [3]
    box = Box(torch.tensor([3.0]).double(), torch.tensor([3.5]).double())
    found = decide(
        network,
        [Property(box, below(2.0))],
        deadline=Deadline(20.0),
        search=lambda *_: point,
        replay=lambda _, points: points[0],
    )
    assert found.verdict is Verdict.FALSIFIED
    assert found.meanings == Meanings(Verdict.VERIFIED, Verdict.FALSIFIED)
    alone = decide(network, [Property(box, below(2.0))], deadline=Deadline(20.0))
    assert alone.verdict is Verdict.UNKNOWN
    assert alone.meanings == Meanings(Verdict.VERIFIED, Verdict.UNKNOWN)
    assert "real numbers" in alone.reason


@pytest.mark.parametrize("stage", [name for name, _ in (*STAGES, *BY_NAME) if "search" not in name])
def test_every_stage_says_both(stage: str) -> None:
    """``y = |x| + 1`` over [-1, 2] is at least 1, with room for any rounding."""
    layers = [nn.Linear(1, 2), nn.Linear(2, 1)]
    layers[0].weight.data = torch.tensor([[1.0], [-1.0]])
    layers[0].bias.data.zero_()
    layers[1].weight.data.fill_(1.0)
    layers[1].bias.data.fill_(1.0)
    case = Property(Box(-torch.ones(1).double(), 2 * torch.ones(1).double()), below(0.5))
    table = tuple(item for item in (*STAGES, *BY_NAME) if item[0] == stage)
    found = decide(network_of(layers), [case], deadline=Deadline(20.0), stages=table)
    assert found.meanings == Meanings(Verdict.VERIFIED, Verdict.VERIFIED)
    assert "every float32 run" in found.meanings.sentence
