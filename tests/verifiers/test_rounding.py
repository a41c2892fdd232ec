"""Estimates of what float32 rounding does to a run, against runs."""

from __future__ import annotations

import torch
from torch import nn

from robust.graph import trace
from verifiers import METHODS, Effort, Network, Region
from verifiers.certify import noise_at_middle
from verifiers.propagation import propagate
from verifiers.rounding import execution_noise

CPU = torch.device("cpu")


def deep(seed: int) -> Network:
    torch.manual_seed(seed)
    return Network(
        trace(nn.Sequential(*[nn.Linear(20, 20), nn.ReLU()] * 4, nn.Linear(20, 3)).eval(), (20,), device=CPU)
    )


def test_typical_rounding_covers_runs_and_is_less_than_the_worst() -> None:
    """The difference of a float32 run and a float64 run at the same points stays below the typical estimate."""
    for seed in range(20):
        network = deep(seed)
        middle = torch.randn(16, 20).double()
        matrices = torch.eye(3).double().expand(16, 3, 3)
        region = Region(middle, middle)
        typical = noise_at_middle(network.to(torch.float64), region, matrices)
        linear = propagate(network.to(torch.float64), region, METHODS["interval"], Effort())
        worst = execution_noise(linear, network.graph.output, matrices)
        single = network.graph.forward(middle.float()).double()
        error = (single - network.to(torch.float64).graph.forward(middle.float().double())).abs()
        assert bool((error <= typical).all())
        assert bool((typical < worst).all())
