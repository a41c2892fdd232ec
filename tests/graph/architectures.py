"""Small networks that between them use every operator of the graph; shared by the tests of graph and verifiers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

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


class Encoder(nn.Module):
    """A transformer block on patches, as vision transformers have them."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(1)))
        self.place = nn.Parameter(torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(2)))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.place
        return self.head(self.norm(self.block(tokens))[:, 0])


class Attention(nn.Module):
    """Attention written out over heads, samples first, with a causal mask."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.split = nn.Linear(6, 18)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        query, key, value = self.split(x).reshape(batch, length, 3, 2, 3).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.head(mixed.transpose(1, 2).reshape(batch, length, 6)[:, -1])


class Recurrent(nn.Module):
    """A recurrent layer of fixed length and a head on its last state."""

    def __init__(self, kind: Callable[..., nn.Module], **options: Any) -> None:
        super().__init__()
        self.layer = kind(3, 4, batch_first=True, **options)
        self.head = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


class Gated(nn.Module):
    """Products of two varying tensors: a gate, a bilinear layer, a quotient."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate, self.pair = nn.Linear(4, 6), nn.Linear(4, 6), nn.Bilinear(6, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        gated = self.value(x) * torch.sigmoid(self.gate(x))
        return self.pair(gated, gated.flip(1)) / (1 + gated[:, :3] ** 2) + F.glu(gated, 1).prod(1, keepdim=True)


def _activation(make: Callable[[], nn.Module]) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    return (lambda: nn.Sequential(nn.Linear(4, 6), make(), nn.Linear(6, 3))), (4,)


def _image(*layers: Callable[[], nn.Module]) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    return (lambda: nn.Sequential(*(make() for make in layers), nn.Flatten(), nn.LazyLinear(3))), (4, 6, 6)


def _function(function: Callable[[Tensor], Tensor], *shape: int) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    return (lambda: Lambda(function)), shape


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        module = build()
        for child in module.modules():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
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

BEYOND_RELU: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{
        function.__name__ + suffix: _activation(functools.partial(function, *arguments))
        for function, arguments, suffix in [
            (nn.ELU, (0.7,), ""),
            (nn.SELU, (), ""),
            (nn.CELU, (1.5,), ""),
            (nn.GELU, (), ""),
            (nn.GELU, ("tanh",), " tanh"),
            (nn.SiLU, (), ""),
            (nn.Mish, (), ""),
            (nn.Hardswish, (), ""),
            (nn.Softplus, (2.0, 5.0), ""),
            (nn.LogSigmoid, (), ""),
            (nn.Softsign, (), ""),
            (nn.Tanhshrink, (), ""),
            (nn.Softshrink, (0.1,), ""),
            (nn.RReLU, (), ""),
            (nn.Threshold, (0.1, 0.1), ""),
            (nn.Softmin, (1,), ""),
        ]
    },
    "attention block": (functools.partial(Encoder, activation="gelu"), (3, 8, 8)),
    "attention block, norm first": (functools.partial(Encoder, norm_first=True), (3, 8, 8)),
    "attention": (functools.partial(Attention, False), (4, 6)),
    "causal attention": (functools.partial(Attention, True), (4, 6)),
    "long short-term memory": (functools.partial(Recurrent, nn.LSTM), (4, 3)),
    "both directions": (functools.partial(Recurrent, nn.LSTM, bidirectional=True, num_layers=2), (3, 3)),
    "gated recurrent unit": (functools.partial(Recurrent, nn.GRU), (4, 3)),
    "recurrent": (functools.partial(Recurrent, nn.RNN), (4, 3)),
    "gated": (Gated, (4,)),
    "group norm": _image(lambda: nn.Conv2d(4, 4, 3), lambda: nn.GroupNorm(2, 4), nn.ReLU),
    "instance norm": _image(lambda: nn.Conv2d(4, 4, 3), lambda: nn.InstanceNorm2d(4, affine=True), nn.ReLU),
    "layer norm": _image(lambda: nn.LayerNorm([4, 6, 6]), lambda: nn.Conv2d(4, 2, 3), nn.SiLU),
    "rms norm": _image(nn.Flatten, lambda: nn.RMSNorm(144), lambda: nn.Linear(144, 5), nn.GELU),
    "local response": _image(lambda: nn.LocalResponseNorm(3)),
    "norms": _function(
        lambda x: torch.cat([F.normalize(x, dim=1), x / x.norm(1, 1, True), x.std(1, keepdim=True)], 1), 4
    ),
    "similar": _function(lambda x: F.cosine_similarity(x, x.flip(1) + 1, dim=1)[:, None] + x.var(1, keepdim=True), 4),
    "batch norm chain": _image(
        lambda: nn.BatchNorm2d(4),
        lambda: nn.Conv2d(4, 6, 3, groups=2),
        lambda: nn.BatchNorm2d(6),
        nn.ReLU,
        lambda: nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2),
        lambda: nn.BatchNorm2d(4),
        nn.LeakyReLU,
    ),
    "upsampled": _image(
        lambda: nn.Upsample(scale_factor=2, mode="bicubic"),
        lambda: nn.Conv2d(4, 4, 3),
        lambda: nn.PixelShuffle(2),
        lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"),
        lambda: nn.AdaptiveMaxPool2d((3, 5)),
        nn.Tanh,
        lambda: nn.PixelUnshuffle(1),
    ),
    "cube": (
        lambda: nn.Sequential(
            nn.Conv3d(1, 2, 2),
            nn.BatchNorm3d(2),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="trilinear"),
            nn.MaxPool3d(2, 2, 1, ceil_mode=True),
            nn.ConvTranspose3d(2, 2, 2),
            nn.ReflectionPad3d(1),
            nn.AvgPool3d(2),
            nn.AdaptiveAvgPool3d(2),
            nn.Flatten(),
            nn.LazyLinear(2),
        ),
        (1, 4, 4, 5),
    ),
    "series": (
        lambda: nn.Sequential(
            nn.ConvTranspose1d(2, 3, 3),
            nn.ELU(),
            nn.Upsample(scale_factor=2, mode="linear"),
            nn.AdaptiveMaxPool1d(4),
            nn.Flatten(),
            nn.LazyLinear(3),
            nn.LogSoftmax(1),
        ),
        (2, 5),
    ),
    "softmax": _activation(lambda: nn.Softmax(1)),
    "softmax of two": (lambda: nn.Sequential(nn.Linear(3, 2), nn.Softmax(1), nn.Linear(2, 2), nn.LogSoftmax(1)), (3,)),
    "softmax over channels": _image(lambda: nn.Softmax2d(), lambda: nn.LogSoftmax(2)),
    "softmax of many": _function(lambda x: torch.cat([x.softmax(1), x.log_softmax(1)], 1) * 40, 40),
    "softmax of very many": _function(lambda x: torch.cat([x.softmax(1), x.log_softmax(1)], 1) * 300, 300),
    "masked": _function(
        lambda x: torch.cat(
            [
                x.masked_fill(torch.tensor([True, False, False, False]), -torch.inf).softmax(-1),
                (x * 2).masked_fill_(torch.tensor([False, False, True, False]), -torch.inf).softmax(-1),
                (x + torch.full((3, 4), -torch.inf).triu(1)).view(-1, 12).view(-1, 3, 4).softmax(-1),
                torch.where(torch.arange(3)[:, None] < 2, x, torch.finfo(torch.float32).min).softmax(1),
            ],
            1,
        ),
        3,
        4,
    ),
    "log-sum-exp": _function(
        lambda x: torch.cat([x.logsumexp(1), x[:, :, :2].logsumexp((2,)), x.logsumexp((1, 2))[:, None]], 1), 3, 4
    ),
    "elementary": _function(
        lambda x: (
            torch.exp(x / 2)
            + torch.log(x * x + 1)
            + torch.sqrt(x.abs() + 1) * torch.rsqrt(x.square() + 0.5)
            - 2 / (3 + torch.sin(x))
            + torch.cos(x) * torch.erf(x)
            + torch.atan(x) ** 3
            + (x.abs() + 1) ** -1.5
        ),
        5,
    ),
    "more functions": _function(
        lambda x: (
            torch.expm1(x / 3)
            + torch.log1p(x.abs())
            + torch.sinh(x / 4) * torch.cosh(x / 4)
            + 2**x
            + torch.special.erfc(x)
            - torch.log2(x.abs() + 1)
            + torch.logaddexp(x, x.flip(1))
            + torch.hypot(x, x + 1)
            + torch.logit(torch.sigmoid(x), 1e-3)
            + torch.tan(x / 9)
            + torch.pow(x, 1)
            + x.pow(0)
        ),
        5,
    ),
    "steps": _function(lambda x: torch.floor(x * 3) + torch.ceil(x) * 2 + torch.round(x * 4) - torch.sign(x), 6),
    "einsums": _function(
        lambda x: torch.einsum("bij,bkj->bik", x, x) + torch.einsum("bij,jk->bik", x, torch.eye(4).to(x))[:, :, :3],
        3,
        4,
    ),
    "moved": _function(
        lambda x: torch.cat(
            [
                torch.take_along_dim(x, torch.tensor([[[0], [2], [1]]]), 2),
                torch.where(torch.arange(4) % 2 == 0, x, 0.5)[:, :, :2],
                torch.where(torch.arange(4) % 2 == 0, x, 2 * x.flip(1)),
                x.tril(),
                x.triu(1),
                torch.stack(x.unbind(2), 2),
                torch.cat(x.chunk(2, 2), 2),
                torch.slice_scatter(x, x[:, :, :2] * 2, 2, 1, 3),
                x[:, :, [3, 0, 0]],
                x.cumsum(2),
                x.roll(1, 2),
                x.repeat_interleave(2, 2),
                x.diagonal(dim1=1, dim2=2)[:, :, None],
                x.masked_fill(torch.arange(4) > 2, 7.0),
                x.min(2, keepdim=True)[0],
                x.amin((1, 2), True).expand(-1, 3, -1),
                torch.rot90(F.pad(x, (1, 1), "replicate")[:, :, :3], 1, (1, 2)),
            ],
            2,
        ),
        3,
        4,
    ),
    "sequence first": _function(lambda x: F.layer_norm(x.permute(1, 0, 2) * 2, (4,)).sum(0), 3, 4),
    "written out": _function(
        lambda x: x * torch.sigmoid(x) + 0.5 * x * (1 + torch.erf(x / math.sqrt(2))) + x * torch.tanh(F.softplus(x)), 5
    ),
    "maxima of blocks": _function(
        lambda x: F.max_pool2d(x.reshape(-1, 1, 4, 4), 2).amax(3).reshape(len(x), -1), 3, 4, 4
    ),
}
"""Networks with other nonlinear functions, products, softmax, normalisation, recurrence, more axes."""
ARCHITECTURES_ALL = {**ARCHITECTURES, **BEYOND_RELU}


def build(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """The named network with fixed weights, in evaluation mode, and the shape of one input."""
    builder, shape = ARCHITECTURES_ALL[name]

    def finished() -> nn.Module:
        module = builder().eval()
        with torch.no_grad():
            module(torch.zeros(2, *shape))
        return module

    return _seeded(finished), shape
