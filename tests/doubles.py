"""Small test doubles of the protocols."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from robust.properties import Box


class ModuleClassifier:
    """A torch module as a ``Classifier``, as thin as can be."""

    format = "python object"
    source = "python object"
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, ...],
        classes: int,
        *,
        lower: float | Tensor = 0.0,
        upper: float | Tensor = 1.0,
        differentiable: bool = True,
        name: str = "double",
    ) -> None:
        self._module = module
        self.name = name
        self.input_shape = shape
        self.class_names = tuple(map(str, range(classes)))
        self.input_box = Box(
            torch.as_tensor(lower).float().expand(shape).clone(), torch.as_tensor(upper).float().expand(shape).clone()
        )
        self.differentiable = differentiable
        self.device = torch.device("cpu")
        self.rows = 0

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self._module.parameters())

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self._module).encode()).hexdigest()

    def logits(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        if not self.differentiable:
            with torch.no_grad():
                return self._module(x)
        return self._module(x)

    def replay(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.logits(x)

    def module(self) -> nn.Module | None:
        return self._module if self.differentiable else None

    def features(self, x: Tensor) -> Tensor | None:
        return None


def linear(weight: Tensor, bias: Tensor | None = None, **options: object) -> ModuleClassifier:
    """``logits = weight @ flatten(x) + bias`` over inputs ``[d]``; weight ``[classes, d]``."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.zeros(len(weight)) if bias is None else bias)
    return ModuleClassifier(layer, (weight.shape[1],), len(weight), **options)  # type: ignore[arg-type]


def mlp(shape: tuple[int, ...], classes: int, seed: int = 0, **options: object) -> ModuleClassifier:
    """A small random ReLU network; the global random state is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width = int(torch.tensor(shape).prod())
        module = nn.Sequential(nn.Flatten(), nn.Linear(width, 24), nn.ReLU(), nn.Linear(24, classes))
    return ModuleClassifier(module.eval(), shape, classes, **options)  # type: ignore[arg-type]
