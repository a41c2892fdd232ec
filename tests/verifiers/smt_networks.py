"""Networks whose exact answers are known by hand, and random ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robust.graph import Graph, trace
from robust.properties import Box, Halfspaces, Property, UnsafeSet

CPU = torch.device("cpu")


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def graph_of(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    return trace(module.eval(), shape, device=CPU)


def box(lower: list[float], upper: list[float]) -> Box:
    return Box(torch.tensor(lower), torch.tensor(upper))


def reaches(inputs: Box, matrix: list[list[float]], offset: list[float]) -> Property:
    """Unsafe where ``matrix @ y <= offset``."""
    return Property(inputs, UnsafeSet((Halfspaces(torch.tensor(matrix), torch.tensor(offset)),)))


def hat() -> nn.Module:
    """``y = relu(x0) + relu(-x0) - 2 relu(x1)``: ``|x0| - 2 max(x1, 0)``; bounds that forget the case split lose."""
    return nn.Sequential(linear([[1, 0], [-1, 0], [0, 1]], [0, 0, 0]), nn.ReLU(), linear([[1, 1, -2]], [0]))


def tent() -> nn.Module:
    """``y = relu(x) - 2 relu(x - 0.5)`` on [0, 1]: rises to 0.5 at 0.5 and falls to 0 at 1; never below 0."""
    return nn.Sequential(linear([[1], [1]], [0, -0.5]), nn.ReLU(), linear([[1, -2]], [0]))


def random_network(kind: int, generator: torch.Generator) -> tuple[nn.Module, tuple[int, ...], int]:
    """A small network, its input shape and its number of classes; magnitudes from 1e-4 to 1e4.

    Kinds: 0 to 2 are dense with one to three hidden layers; 3 is convolutional with max pooling; 4 has leaky ReLUs
    and average pooling.
    """

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    classes = draw(2, 5)
    if kind <= 2:
        width, shape = draw(1, 7), (draw(1, 5),)
        layers: list[nn.Module] = []
        before = shape[0]
        for _ in range(kind + 1):
            layers += [nn.Linear(before, width + 2), nn.ReLU()]
            before = width + 2
        module = nn.Sequential(*layers, nn.Linear(before, classes))
    else:
        shape = (draw(1, 3), 4, 4)
        middle: list[nn.Module] = [nn.ReLU(), nn.MaxPool2d(2)] if kind == 3 else [nn.LeakyReLU(0.1), nn.AvgPool2d(3)]
        module = nn.Sequential(nn.Conv2d(shape[0], 2, 2), *middle, nn.Flatten(), nn.Linear(2, classes))
    for parameter in module.parameters():
        scale = 10.0 ** float(torch.empty(1).uniform_(-4, 4, generator=generator)) if draw(0, 3) == 0 else 1.0
        values = torch.randn(parameter.shape, generator=generator) * scale
        with torch.no_grad():
            parameter.copy_(values)
    return module.eval(), shape, classes


def random_box(shape: tuple[int, ...], kind: int, generator: torch.Generator) -> tuple[Tensor, float, Box]:
    """A sample, an epsilon between 1e-6 and 1, and the input box: [0, 1] or [-1, 1]."""
    low = -1.0 if kind % 2 else 0.0
    sample = low + (1 - low) * torch.rand(shape, generator=generator)
    share = float(torch.rand(1, generator=generator))
    epsilon = 10.0 ** (-6.0 * share) if kind % 3 == 0 else 0.05 + 0.95 * share
    return sample, epsilon, Box(torch.full(shape, low), torch.ones(shape))
