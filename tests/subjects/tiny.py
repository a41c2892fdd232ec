"""Tiny modules and factories for the tests of subjects."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def linear(weights: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    """A linear layer with weights by hand."""
    layer = nn.Linear(len(weights[0]), len(weights))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        layer.bias.copy_(torch.tensor(bias or [0.0] * len(weights)))
    return layer


def two_by_two() -> nn.Module:
    """``[x0, 2 * x1]``."""
    return linear([[1.0, 0.0], [0.0, 2.0]])


def broken() -> nn.Module:
    raise RuntimeError("the cupboard is bare")


def not_a_module() -> int:
    return 3


def black_box() -> object:
    return lambda x: x @ torch.eye(2).numpy()


class Functional(nn.Module):
    """Ends in a function, not in a module."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.layer = two_by_two()
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        z = self.layer(x)
        if self.end == "softmax":
            return torch.softmax(z, 1)
        return torch.sigmoid(z[:, 1] - z[:, 0])


class Ending(nn.Module):
    """Ends in a module of its own."""

    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.layer = two_by_two()
        self.last = end

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(self.layer(x))
        return answer


class Decoder(nn.Module):
    """A conditional generator: the code plus the class."""

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        label = condition.argmax(1) if condition.is_floating_point() else condition
        return (z + label.unsqueeze(1)).reshape(-1, 1, 2, 2)
