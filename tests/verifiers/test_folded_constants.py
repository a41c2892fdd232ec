"""Real numbers are those of the model's own weights, whatever was folded into what, and rounded, on the way."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from robust.graph import trace
from verifiers import Network, Region
from verifiers.bounding import rounded_bounds

CPU = torch.device("cpu")
Row = list[Fraction]


def fractions(values: Tensor) -> Row:
    return [Fraction(value) for value in values.detach().double().flatten().tolist()]


def normalised(norm: nn.BatchNorm1d, values: Row) -> Row:
    """To sixty digits."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    parts = [fractions(part) for part in (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
    found = []
    with localcontext() as context:
        context.prec = 60
        for value, weight, bias, mean, variance in zip(values, *parts, strict=True):
            squared = variance + Fraction(norm.eps)
            root = (Decimal(squared.numerator) / Decimal(squared.denominator)).sqrt()
            found.append((value - mean) / Fraction(root) * weight + bias)
    return found


def through(module: nn.Module, values: Row) -> Row:
    """The module's answer to one input, in rational numbers."""
    if isinstance(module, nn.Sequential):
        for part in module:
            values = through(part, values)
        return values
    if isinstance(module, nn.Linear):
        rows = [fractions(row) for row in module.weight]
        return [
            sum((w * v for w, v in zip(row, values, strict=True)), bias)
            for row, bias in zip(rows, fractions(module.bias), strict=True)
        ]
    if isinstance(module, nn.BatchNorm1d):
        return normalised(module, values)
    if isinstance(module, Scaled):
        mean, deviation = fractions(module.mean), fractions(module.deviation)
        return [(v - m) / d for v, m, d in zip(values, mean, deviation, strict=True)]
    assert isinstance(module, nn.ReLU)
    return [max(value, Fraction(0)) for value in values]


class Scaled(nn.Module):
    """Inputs less a mean, over a deviation, as people normalise them."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("mean", 1e4 * torch.rand(width, generator=generator))
        self.register_buffer("deviation", 0.1 + torch.rand(width, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


def drawn(seed: int) -> nn.Sequential:
    """Every fold there is, with means so large that what is left of them is mostly rounding."""
    generator = torch.Generator().manual_seed(seed)
    norms = [nn.BatchNorm1d(5), nn.BatchNorm1d(4)]
    layers = [nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 2)]
    for norm in norms:
        norm.running_mean = 1e3 * torch.randn(norm.num_features, generator=generator)
        norm.running_var = 1e-3 + torch.rand(norm.num_features, generator=generator)
    for part in (*norms, *layers):
        for parameter in part.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
    scaled = Scaled(6, generator)
    if seed % 3 == 1:  # normalised before the layer, twice in a row
        return nn.Sequential(scaled, Scaled(6, generator), layers[0], nn.ReLU(), layers[1], norms[1], layers[2]).eval()
    return nn.Sequential(scaled, layers[0], norms[0], nn.ReLU(), layers[1], norms[1], nn.ReLU(), layers[2]).eval()


def outside(seed: int) -> int:
    """How many bounds of real numbers at a point exclude the rational answer, in all arithmetics and methods."""
    module = drawn(seed).requires_grad_(False)
    network = Network(trace(module, (6,), device=CPU))
    point = 1e4 * torch.rand(1, 6, generator=torch.Generator().manual_seed(seed))
    unit = torch.eye(2).double()
    rows = torch.cat([unit, -unit])[None]
    answer = through(module, fractions(point))
    wrong = 0
    for net in (network, network.to(torch.float64)):
        for method in ("interval", "crown", "zonotope"):
            found = rounded_bounds(net, Region(point, point), rows, method, run=False).reals[0].tolist()
            sides = zip(found, (*answer, *(-value for value in answer)), strict=True)
            wrong += sum(Fraction(low) > value for low, value in sides)
    return wrong


@pytest.mark.parametrize("seed", range(12))
def test_bounds_of_real_numbers_are_those_of_the_weights_that_are_stored(seed: int) -> None:
    assert outside(seed) == 0


def test_of_the_rounded_constants_alone_they_are_not() -> None:
    rounded = patch("robust.graph.graph._precise", lambda node, _: node.arguments)
    with rounded, patch("verifiers.roundoff.Roundoff._drift", lambda *_: None):
        assert sum(outside(seed) > 0 for seed in range(12)) > 6


def test_numbers_of_the_model_itself_are_not_charged() -> None:
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).requires_grad_(False)
    assert all(node.inexact is None for node in trace(plain, (3,), device=CPU).nodes)
