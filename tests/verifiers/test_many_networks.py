"""Bounds of a hundred thousand small networks against their minima in rational numbers, and against float32 runs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from robust.graph import Graph, trace
from tests.verifiers.branching.exact import drawn, exact_minimum
from tests.verifiers.test_meanings import network_of, run
from verifiers import Network, Region
from verifiers.bounding import rounded_bounds

METHODS = ("interval", "crown", "zonotope")
WIDTHS = (0.0, 2.0**-20, 1e-3, 2.0)
"""Of boxes, before rounding; at least two float32 numbers are inside."""
TRIED = 6
"""Points of each box that are run, beside its ends."""


def with_weights(template: Graph, layers: list[nn.Linear]) -> Graph:
    """The template's graph with other weights, without tracing anew."""
    rest = iter(layers)
    nodes = []
    for node in template.nodes:
        if node.op == "linear":
            layer = next(rest)
            arguments = {**node.arguments, "weight": layer.weight.detach(), "bias": layer.bias.detach()}
            node = replace(node, arguments=arguments)
        nodes.append(node)
    return replace(template, nodes=tuple(nodes))


def deviations(seed: int, template: Graph) -> list[str]:
    """What is wrong with the bounds of one network, both of its sides."""
    layers = drawn(seed)
    width = WIDTHS[seed % len(WIDTHS)]
    low = float(np.float32(np.random.default_rng(seed).uniform(-2, 2)))
    high = max(float(np.float32(low + width)), float(np.nextafter(np.float32(low), np.float32(9))))
    graph = with_weights(template, layers)
    negative = [*layers[:-1], nn.Linear(4, 1)]
    negative[-1].weight.data, negative[-1].bias.data = -layers[-1].weight.data, -layers[-1].bias.data
    least = exact_minimum(layers, low, high), exact_minimum(negative, low, high)
    share = torch.rand(TRIED, 1, generator=torch.Generator().manual_seed(seed))
    points = torch.cat([torch.tensor([[low], [high]]), (low + share * (high - low)).clamp(low, high)])
    values = [run(layers, points, seed % 4, bool(seed % 2)), graph.forward(points).numpy()]
    runs = min(float(v.min()) for v in values), min(float((-v).min()) for v in values)
    region = Region(torch.tensor([[low]]).double(), torch.tensor([[high]]).double())
    rows = torch.tensor([[[1.0], [-1.0]]]).double()
    method, found = METHODS[seed % len(METHODS)], []
    network = Network(graph)
    for net in (network, network.to(torch.float64)):
        bounds = rounded_bounds(net, region, rows, method, run=True)
        for part, true in ((bounds.reals, least), (bounds.runs, least), (bounds.runs, runs)):
            sides = zip(part[0].tolist(), true, strict=True)
            found += [f"{seed} {method} {net.graph.dtype}" for bound, value in sides if Fraction(bound) > value]
    return found


@pytest.mark.parametrize(
    "seeds", [range(300), pytest.param(range(10_000, 110_000), marks=pytest.mark.slow)], ids=["few", "hundred thousand"]
)
def test_no_bound_exceeds_the_minimum_that_is_reached(seeds: range) -> None:
    template = trace(
        nn.Sequential(nn.Linear(1, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)).requires_grad_(False),
        (1,),
        device=torch.device("cpu"),
    )
    wrong = [sentence for seed in seeds for sentence in deviations(seed, template)]
    assert wrong == []


def test_the_template_is_the_network() -> None:
    layers = drawn(3)
    for layer in layers:
        layer.requires_grad_(False)
    template = network_of(drawn(0)).graph
    x = torch.linspace(-2, 2, 9)[:, None]
    assert torch.equal(with_weights(template, layers).forward(x), network_of(layers).graph.forward(x))
