"""Small objects that satisfy the protocols, for tests that must not depend on the loaders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust.properties.input_sets import Box

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class TinyClassifier:
    """A classifier around a module; ``tap`` gives its features, or None."""

    net: nn.Module
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    tap: Callable[[Tensor], Tensor] | None = None
    low: float = 0.0
    high: float = 1.0
    name: str = "tiny"
    source: str = "python object"
    format: str = "python object"
    digest: str = "0" * 64
    parameters: int | None = None
    device: torch.device = CPU
    notes: tuple[str, ...] = ()
    differentiable: bool = True

    @property
    def input_box(self) -> Box:
        return Box(torch.full(self.input_shape, self.low), torch.full(self.input_shape, self.high))

    def logits(self, x: Tensor) -> Tensor:
        answer: Tensor = self.net(x)
        return answer

    def replay(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.logits(x)

    def module(self) -> nn.Module | None:
        return self.net

    def features(self, x: Tensor) -> Tensor | None:
        if self.tap is None:
            return None
        with torch.no_grad():
            return self.tap(x).flatten(1)


@dataclass(frozen=True, eq=False)
class TinyGenerator:
    """A generator around a function of latents and classes."""

    make: Callable[[Tensor, Tensor | None], Tensor]
    output_shape: tuple[int, ...]
    conditions: int = 0
    latent_shape: tuple[int, ...] = (2,)
    name: str = "tiny generator"
    source: str = "python object"
    format: str = "python object"
    digest: str = "1" * 64
    parameters: int | None = None
    device: torch.device = CPU
    notes: tuple[str, ...] = ()

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, *self.latent_shape, generator=generator)

    def decode(self, latents: Tensor, conditions: Tensor | None) -> Tensor:
        return self.make(latents, conditions)
