"""Small stand-ins for the nouns, made by hand: classifiers of a few layers, a context around them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust.audit.check import Check, CheckSettings, Context, Results
from robust.data.dataset import Dataset
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


class DoubleClassifier:
    """Satisfies the ``Classifier`` protocol: a body that gives features and a head that gives logits.

    With ``body`` None it is a black box without features, gradients or module.
    """

    def __init__(
        self,
        body: nn.Module | None,
        head: nn.Module,
        input_shape: tuple[int, ...],
        classes: int,
        box: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self._body = body
        self._head = head
        self.name, self.source, self.format, self.digest = "double", "python object", "python object", "0" * 64
        self.parameters: int | None = None
        self.device = torch.device("cpu")
        self.notes: tuple[str, ...] = ()
        self.input_shape = input_shape
        self.input_box = Box(torch.full(input_shape, box[0]), torch.full(input_shape, box[1]))
        self.class_names = tuple(f"c{k}" for k in range(classes))
        self.differentiable = body is not None

    def features(self, x: Tensor) -> Tensor | None:
        if self._body is None:
            return None
        with torch.no_grad():
            return self._body(x).flatten(1)

    def logits(self, x: Tensor) -> Tensor:
        return self._head(x if self._body is None else self._body(x).flatten(1))

    def replay(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.logits(x)

    def module(self) -> nn.Module | None:
        return None if self._body is None else nn.Sequential(self._body, nn.Flatten(), self._head)


class Table(nn.Module):
    """A classifier that reads its logits off the input itself: the identity on the first ``classes`` values."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, : self.classes]


def dataset(
    samples: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: Mapping[str, NDArray[np.str_]] | None = None,
    name: str = "double",
) -> Dataset:
    """A data set of the arrays given."""
    return Dataset(
        name=name,
        source="double",
        samples=np.asarray(samples, dtype=np.float32),
        labels=np.asarray(labels, dtype=np.int64),
        label_values=tuple(str(value) for value in np.unique(labels)),
        groups=dict(groups or {}),
    )


def context(
    classifier: DoubleClassifier,
    data: Dataset,
    *,
    reference: Dataset | None = None,
    ood: Mapping[str, Dataset] | None = None,
    seed: int = 0,
    directory: Path = Path(),
) -> Context:
    """A context whose predictions are the classifier's own."""
    predictions = classifier.replay(torch.from_numpy(data.samples)).argmax(1).numpy().astype(np.int64)
    return Context(
        classifier=classifier,
        data=data,
        reference=reference,
        ood=dict(ood or {}),
        generator=None,
        seed=seed,
        device=torch.device("cpu"),
        directory=directory,
        predictions=predictions,
    )


def results_of(check: Check, settings: CheckSettings, where: Context) -> Results:
    """Every shard of a check with its payload."""
    return [(shard, check.run(shard, settings, where)) for shard in check.plan(settings, where)]
