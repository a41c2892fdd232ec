"""Small networks with one operator each, between two affine layers, for ``benchmarks.operators``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from verifiers import Region

INPUTS, OUTPUTS, RADIUS = 6, 3, 0.25
"""Numbers in, numbers out, and half the width of a box; its centre lies in [-1, 1]."""

Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Operator:
    """One operator, or one layer around it.

    Attributes:
        name: for the table.
        apply: from ``[n, *shape]`` to ``[n, ...]``; a module where it has weights.
        shape: of one operand of it.
        scale, shift: operands lie within ``shift`` and 1.25 times ``scale`` of it.
    """

    name: str
    apply: Apply
    shape: tuple[int, ...] = (8,)
    scale: float = 2.4
    shift: float = 0.0


class Sandwich(nn.Module):
    """Affine, operator, affine: ``[n, 6]`` to ``[n, 3]``, with weights that hang on the seed alone."""

    def __init__(self, operator: Operator, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.shape, self.apply_ = operator.shape, operator.apply
        if isinstance(operator.apply, nn.Module):
            _draw(operator.apply, generator)
        width = torch.Size(self.shape).numel()
        self.first = nn.Linear(INPUTS, width)
        rows = torch.randn(width, INPUTS, generator=generator)
        self.first.weight.data = operator.scale * rows / rows.abs().sum(1, keepdim=True)
        self.first.bias.data.fill_(operator.shift)
        with torch.no_grad():
            made = operator.apply(torch.full((2, *self.shape), max(operator.shift, 0.5)))
        self.last = nn.Linear(made[0].numel(), OUTPUTS)
        self.last.weight.data = torch.randn(OUTPUTS, made[0].numel(), generator=generator) / made[0].numel() ** 0.5
        self.last.bias.data.zero_()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        if len(self.shape) > 1:
            hidden = hidden.reshape(-1, *self.shape)
        hidden = self.apply_(hidden)
        return self.last(hidden.flatten(1) if hidden.ndim > 2 else hidden)


def region(count: int) -> Region:
    """Boxes of one size at drawn places."""
    generator = torch.Generator().manual_seed(1)
    centre = torch.rand(count, INPUTS, generator=generator, dtype=torch.float64) * 2 - 1
    return Region(centre - RADIUS, centre + RADIUS)


def _draw(module: nn.Module, generator: torch.Generator) -> None:
    """Weights of a size that keeps numbers moderate; statistics of normalisations away from 0 and 1."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        drawn = torch.rand(tensor.shape, generator=generator)
        tensor.data = drawn + 0.5 if "var" in name or tensor.ndim < 2 else (drawn - 0.5)
    module.eval()


def _halves(combine: Callable[[Tensor, Tensor], Tensor]) -> Apply:
    return lambda x: combine(x[:, :4], x[:, 4:])


def _matmul(x: Tensor) -> Tensor:
    return torch.matmul(x[:, :3], x[:, 3:].transpose(1, 2))


def _select(x: Tensor) -> Tensor:
    mask = torch.tensor([True, False] * 4)
    return torch.where(mask, x, 2 * x.flip(1))


_POSITIVE = {"scale": 1.0, "shift": 1.5}
_ROW, _PICTURE, _BLOCK = (2, 8), (4, 6, 6), (2, 4, 4, 4)

OPERATORS: tuple[Operator, ...] = (
    Operator("relu", F.relu),
    Operator("leaky relu", lambda x: F.leaky_relu(x, 0.1)),
    Operator("prelu", nn.PReLU()),
    Operator("elu", F.elu),
    Operator("selu", F.selu),
    Operator("celu", F.celu),
    Operator("gelu", F.gelu),
    Operator("gelu, tanh", lambda x: F.gelu(x, approximate="tanh")),
    Operator("silu", F.silu),
    Operator("mish", F.mish),
    Operator("hardswish", F.hardswish),
    Operator("hardsigmoid", F.hardsigmoid),
    Operator("hardtanh", F.hardtanh),
    Operator("softplus", F.softplus),
    Operator("log-sigmoid", F.logsigmoid),
    Operator("softsign", F.softsign),
    Operator("sigmoid", torch.sigmoid),
    Operator("tanh", torch.tanh),
    Operator("erf", torch.erf),
    Operator("atan", torch.atan),
    Operator("exp", torch.exp),
    Operator("log", torch.log, **_POSITIVE),
    Operator("sqrt", torch.sqrt, **_POSITIVE),
    Operator("rsqrt", torch.rsqrt, **_POSITIVE),
    Operator("reciprocal", torch.reciprocal, **_POSITIVE),
    Operator("pow 2", lambda x: x**2),
    Operator("pow 3", lambda x: x**3),
    Operator("pow 0.7", lambda x: x**0.7, **_POSITIVE),
    Operator("abs", torch.abs),
    Operator("sign", torch.sign),
    Operator("floor", torch.floor),
    Operator("clamp", lambda x: x.clamp(-0.5, 1.0)),
    Operator("minimum of two", _halves(torch.minimum)),
    Operator("maximum of two", _halves(torch.maximum)),
    Operator("sin", torch.sin),
    Operator("cos", torch.cos),
    Operator("softmax", lambda x: F.softmax(x, 1)),
    Operator("log-softmax", lambda x: F.log_softmax(x, 1)),
    Operator("mul of two", _halves(torch.mul)),
    Operator("div of two", _halves(torch.div), **_POSITIVE),
    Operator("matmul of two", _matmul, (6, 4)),
    Operator("conv1d", nn.Conv1d(2, 3, 3, padding=1), _ROW),
    Operator("conv2d", nn.Conv2d(4, 3, 3, padding=1), _PICTURE),
    Operator("conv3d", nn.Conv3d(2, 3, 3, padding=1), _BLOCK),
    Operator("conv1d, transposed", nn.ConvTranspose1d(2, 3, 3, stride=2), _ROW),
    Operator("conv2d, transposed", nn.ConvTranspose2d(4, 3, 3, stride=2), _PICTURE),
    Operator("conv3d, transposed", nn.ConvTranspose3d(2, 3, 3, stride=2), _BLOCK),
    Operator("avg pool 1d", lambda x: F.avg_pool1d(x, 2), _ROW),
    Operator("avg pool 2d", lambda x: F.avg_pool2d(x, 2), _PICTURE),
    Operator("avg pool 3d", lambda x: F.avg_pool3d(x, 2), _BLOCK),
    Operator("global avg pool", lambda x: F.adaptive_avg_pool2d(x, 1), _PICTURE),
    Operator("max pool 1d", lambda x: F.max_pool1d(x, 2), _ROW),
    Operator("max pool 2d", lambda x: F.max_pool2d(x, 2), _PICTURE),
    Operator("max pool 2d, overlapping", lambda x: F.max_pool2d(x, 3, 1), _PICTURE),
    Operator("max pool 3d", lambda x: F.max_pool3d(x, 2), _BLOCK),
    Operator("batch norm 1d", nn.BatchNorm1d(8)),
    Operator("batch norm 2d", nn.BatchNorm2d(4), _PICTURE),
    Operator("layer norm", nn.LayerNorm(8)),
    Operator("group norm", nn.GroupNorm(2, 4), _PICTURE),
    Operator("instance norm", nn.InstanceNorm2d(4), _PICTURE),
    Operator("sum", lambda x: x.sum(2), _ROW),
    Operator("mean", lambda x: x.mean(2), _ROW),
    Operator("max over an axis", lambda x: x.amax(2), _ROW),
    Operator("logsumexp", lambda x: x.logsumexp(2), _ROW),
    Operator("norm", lambda x: x.norm(dim=2), _ROW),
    Operator("upsampling, nearest", lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), _PICTURE),
    Operator("upsampling, bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), _PICTURE),
    Operator("pixel shuffle", lambda x: F.pixel_shuffle(x, 2), _PICTURE),
    Operator("concatenation", lambda x: torch.cat([x, -x], 1)),
    Operator("padding", lambda x: F.pad(x, (1, 1, 1, 1)), _PICTURE),
    Operator("where, fixed mask", _select),
)
"""Every kind of operator that the graph knows, a line each."""
