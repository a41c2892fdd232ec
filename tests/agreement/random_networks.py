"""Random networks over every operator that the graph reads, written apart from the code they test.

A network is a body of random blocks over a picture or a vector and a linear head. Blocks keep the tensor small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

T = TypeVar("T")
Step = Callable[[Tensor], Tensor]


class Dice:
    """Random choices of one seeded generator."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def integer(self, low: int, high: int) -> int:
        """Uniform in ``low .. high``, both included."""
        return int(torch.randint(low, high + 1, (1,), generator=self.generator))

    def chance(self, probability: float) -> bool:
        return float(torch.rand(1, generator=self.generator)) < probability

    def real(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=self.generator))

    def pick(self, *options: T) -> T:
        return options[self.integer(0, len(options) - 1)]

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator)


class Lambda(nn.Module):
    """A function as a module, with the tensors and modules it needs."""

    def __init__(self, name: str, function: Step, *children: nn.Module) -> None:
        super().__init__()
        self.label, self.function = name, function
        self.parts = nn.ModuleList(children)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return self.label


def activation(dice: Dice, channels: int) -> nn.Module:
    """One of the nonlinear functions of one variable."""
    low, high = sorted((dice.real(-1, 1), dice.real(-1, 1)))
    slope = dice.pick(0.1, 0.0, 1.0, -0.5, 1.7, 0.9)
    prelu = nn.PReLU(channels)
    with torch.no_grad():
        prelu.weight.copy_(dice.normal(channels))
    scale = dice.pick(1.0, 3.0, 20.0)
    return dice.pick(
        nn.ReLU(),
        nn.ReLU(),
        nn.LeakyReLU(slope),
        prelu,
        Lambda(f"sigmoid {scale}", lambda x: torch.sigmoid(scale * x)),
        Lambda(f"tanh {scale}", lambda x: torch.tanh(scale * x)),
        nn.Hardtanh(low, high),
        nn.ReLU6(),
        nn.Hardsigmoid(),
        Lambda("abs", torch.abs),
        Lambda(f"clamp {low}", lambda x: x.clamp(min=low)),
        Lambda(f"clamp {high} above", lambda x: x.clamp(max=high)),
        Lambda("clamp inverted", lambda x: x.clamp(high, low)),
    )


def windowed(dice: Dice, channels: int, size: int) -> nn.Module:
    """Convolutions and pools with every option."""
    kernel = dice.integer(1, min(3, size))
    stride, dilation = dice.integer(1, 2), dice.integer(1, 2)
    if (kernel - 1) * dilation + 1 > size:
        dilation = 1
    pad = dice.integer(0, kernel // 2)
    groups = channels if dice.chance(0.3) else 1
    out = dice.integer(1, 3) * groups if groups == 1 else channels
    mode = dice.pick("zeros", "zeros", "reflect", "replicate", "circular") if pad and pad < size else "zeros"
    kind = dice.integer(0, 5)
    if kind <= 1:
        return nn.Conv2d(channels, out, kernel, stride, pad, dilation, groups, dice.chance(0.7), mode)
    if kind == 2 and size <= 4:
        extra = dice.integer(0, 1) if stride == 2 else 0
        return nn.ConvTranspose2d(channels, out, kernel, stride, pad, extra, groups)
    if kind == 3:
        return nn.MaxPool2d(kernel, stride, pad, dilation, ceil_mode=dice.chance(0.5))
    if kind == 4:
        ceil, counted = dice.chance(0.5), dice.chance(0.5)
        return nn.AvgPool2d(kernel, stride, pad, ceil, counted)
    goal = dice.integer(1, size)
    return nn.AdaptiveAvgPool2d(goal) if size % goal == 0 else nn.AvgPool2d(kernel, 1)


def mover(dice: Dice, size: int) -> nn.Module:
    """Operators that move, join or reduce."""
    constant = dice.real(-1, 1)
    choices = [
        Lambda("pad", lambda x: F.pad(x, (1, 0, 0, 1), value=constant)),
        Lambda("reflect", lambda x: F.pad(x, (1, 1, 0, 0), mode="reflect" if x.shape[-1] > 1 else "replicate")),
        Lambda("replicate", lambda x: F.pad(x, (0, 1, 1, 0), mode="replicate")),
        Lambda("flip", lambda x: x.flip(2)),
        Lambda("roll", lambda x: x.roll(1, 3)),
        Lambda("transpose", lambda x: x.transpose(2, 3)),
        Lambda("slice", lambda x: x[:, :, : max(1, x.shape[2] - 1)]),
        Lambda("twice", lambda x: torch.cat([x[:, :1], -x], 1)),
        Lambda("negative scale", lambda x: x * -1.5 + constant),
        Lambda("divide", lambda x: (constant - x) / 3),
        Lambda("mean apart", lambda x: x - x.mean((2, 3), keepdim=True)),
        Lambda("centre", lambda x: x - x.mean(1, keepdim=True)),
        Lambda("largest", lambda x: x.amax(3, keepdim=True) - x),
        Lambda("cumulative", lambda x: x.cumsum(2)),
    ]
    if size <= 3:
        choices += [
            nn.Upsample(scale_factor=2),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Upsample(size=(size + 2, size + 1), mode="bilinear", align_corners=True),
        ]
    return dice.pick(*choices)


class Joined(nn.Module):
    """Two branches that share their input, joined."""

    def __init__(self, dice: Dice, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right
        self.how = dice.pick("add", "subtract", "maximum", "minimum", "cat", "shared")

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.left(x), self.right(x)
        joins: dict[str, Callable[[], Tensor]] = {
            "add": lambda: a + b,
            "subtract": lambda: a - b,
            "maximum": lambda: torch.maximum(a, b),
            "minimum": lambda: torch.minimum(a, b),
            "cat": lambda: torch.cat([a, b], 1),
            "shared": lambda: torch.relu(a) - torch.relu(a + b) + a,
        }
        return joins[self.how]()

    def extra_repr(self) -> str:
        return self.how


def norm(dice: Dice, channels: int, flat: bool) -> nn.Module:
    layer = nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels)
    with torch.no_grad():
        layer.running_mean.copy_(dice.normal(channels))
        layer.running_var.copy_(dice.uniform(channels) * dice.pick(1.0, 1e-4, 100.0) + 1e-6)
        layer.weight.copy_(dice.normal(channels))
        layer.bias.copy_(dice.normal(channels))
    return layer


def block(dice: Dice, shape: torch.Size, depth: int = 0) -> nn.Module:
    """A random block for ``[n, *shape]``."""
    channels, flat = shape[0], len(shape) == 1
    kind = dice.integer(0, 9)
    if kind <= 3:
        return activation(dice, channels)
    if kind == 4:
        return norm(dice, channels, flat)
    if kind == 5 and depth < 2:
        side = nn.Linear(channels, channels) if flat else nn.Conv2d(channels, channels, 1)
        return Joined(dice, nn.Sequential(side, activation(dice, channels)), dice.pick(nn.Identity(), nn.ReLU()))
    if flat:
        return nn.Linear(channels, dice.integer(2, 6))
    return mover(dice, shape[-1]) if kind >= 8 else windowed(dice, channels, min(shape[-2:]))


class Net(nn.Module):
    """Body, then a head of logits; ``last`` is the layer whose bias shifts them."""

    def __init__(self, body: nn.Module, reduce: nn.Module, head: nn.Module, last: nn.Linear) -> None:
        super().__init__()
        self.body, self.reduce, self.head, self.last = body, reduce, head, last

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.head(self.reduce(self.body(x))))
        return result


def random_net(seed: int) -> tuple[Net, tuple[int, ...], int]:
    """A network, its input shape and its number of outputs (1: a binary score)."""
    dice = Dice(seed)
    picture = dice.chance(0.7)
    shape = (dice.integer(1, 3), dice.integer(3, 5), dice.integer(3, 5)) if picture else (dice.integer(1, 6),)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        x = torch.rand(2, *shape)
        blocks: list[nn.Module] = []
        for _ in range(dice.integer(1, 5)):
            made = block(dice, x.shape[1:]).eval()
            with torch.no_grad():
                try:
                    after = made(x)
                except (RuntimeError, AssertionError):
                    continue
            if after.numel() <= 2 * 250 and after.numel():
                blocks.append(made)
                x = after
        reductions: list[nn.Module] = [nn.Flatten()]
        if picture:
            reductions += [Lambda("mean", lambda x: x.mean((2, 3))), Lambda("amax", lambda x: x.amax((2, 3)))]
            reductions += [Lambda("sum", lambda x: x.sum((-1, -2)))]
        reduce = dice.pick(*reductions)
        width = reduce(x).shape[1]
        hidden = dice.integer(2, 6)
        head: nn.Module = nn.Identity()
        if dice.chance(0.7):
            head, width = nn.Sequential(nn.Linear(width, hidden), activation(dice, hidden)), hidden
        outputs = dice.pick(1, 2, 2, 3, 4)
        last = nn.Linear(width, outputs)
        net = Net(nn.Sequential(*blocks), reduce, head, last).eval()
    for parameter in net.parameters():
        scale = 10.0 ** dice.real(-4, 4) if dice.chance(0.12) else 1.5
        with torch.no_grad():
            parameter.mul_(scale)
    return net.requires_grad_(False), shape, outputs
