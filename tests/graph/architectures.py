"""Small networks that between them use every operator of the graph; shared by the tests of graph and verifiers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Residual(nn.Module):
    """Batch norm, in-place ReLU, a residual sum, a concatenation, slices, resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3 * 6 * 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.norm(self.convolution((x - 0.5) / 0.2)))
        y = torch.cat([y + x, F.max_pool2d(y, 3, 1, 1)], 1)
        y = F.adaptive_avg_pool2d(y, (3, 3))[:, 1:4]
        y = F.interpolate(y, size=(6, 6), mode="bilinear")
        return self.head(y.flatten(1)).clamp(-1, 1) - 2 * x.mean((1, 2, 3)).unsqueeze(1)


class Tokens(nn.Module):
    """A batch-sized constant (class token), a permutation and a linear layer over three axes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 5)
        self.token = nn.Parameter(torch.randn(1, 1, 5, generator=torch.Generator().manual_seed(1)))
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x)], 1)
        return self.head(torch.relu(tokens).mean(1))


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        module = build()
        for child in module.modules():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                child.running_mean = torch.randn(child.num_features) * 0.3
                child.running_var = torch.rand(child.num_features) + 0.5
    return module.eval()


def _dense() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (_dense, (5,)),
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), (3, 4)),
    "residual": (Residual, (3, 6, 6)),
    "tokens": (Tokens, (3, 4)),
    "convolutional": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
        ),
        (1, 8, 8),
    ),
    "grouped": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, groups=2, dilation=2), nn.LeakyReLU(0.1), nn.AvgPool2d(2), nn.Flatten(), nn.LazyLinear(3)
        ),
        (2, 8, 8),
    ),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(2, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)),
        (2, 3, 3),
    ),
    "sequence": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU6(), nn.MaxPool1d(2), nn.Flatten(), nn.LazyLinear(3)
        ),
        (2, 9),
    ),
    "sigmoid": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2)),
        (4,),
    ),
    "odd activations": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.PReLU(), nn.Linear(6, 6), nn.Hardsigmoid(), nn.Linear(6, 2)),
        (4,),
    ),
    "dropout": (lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 6), nn.Hardtanh(), nn.Linear(6, 2)), (4,)),
    "padded": (
        lambda: nn.Sequential(
            nn.ZeroPad2d(1),
            nn.Conv2d(1, 2, 3),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.MaxPool2d(3, 2, 1, ceil_mode=True),
            nn.Flatten(),
            nn.LazyLinear(3),
        ),
        (1, 5, 6),
    ),
    "reductions": (
        lambda: Lambda(lambda x: torch.stack([x.sum((1, 2)), x.amax((1, 2)), x.mean((1, 2)), x[:, 0].amax(1)], 1)),
        (3, 4),
    ),
    "two varying": (
        lambda: Lambda(
            lambda x: (
                torch.maximum(x[:, :3], 1 - torch.tensor([-2.0, 1.0, 0.5]).to(x) * x[:, 3:])
                - torch.minimum(x[:, :3], x[:, 3:]).abs()
            )
        ),
        (6,),
    ),
    "resized": (
        lambda: nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        (1, 4, 4),
    ),
    "matrices": (
        lambda: Lambda(
            lambda x: (x @ torch.arange(8.0).reshape(4, 2).to(x) / 8).permute(0, 2, 1).reshape(len(x), -1).squeeze()
        ),
        (3, 4),
    ),
}
"""Name -> (builder, input shape). Lazy layers are finished by ``build``."""


def build(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """The named network with fixed weights, in evaluation mode, and the shape of one input."""
    builder, shape = ARCHITECTURES[name]

    def finished() -> nn.Module:
        module = builder().eval()
        with torch.no_grad():
            module(torch.zeros(2, *shape))
        return module

    return _seeded(finished), shape
