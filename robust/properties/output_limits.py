"""Properties of single outputs: a range, and confidence above a level."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.properties.families import check_class
from robust.properties.input_sets import InputSet
from robust.properties.property import Property
from robust.properties.unsafe_sets import Halfspaces, UnsafeSet


def output_range(inputs: InputSet, low: float | None, high: float | None, index: int, outputs: int) -> Property:
    """Output ``index`` stays strictly between ``low`` and ``high``: unsafe when it reaches either. None is no limit.

    Raises:
        PropertyError: no limit, NaN, infinite or inverted limits, or no such output.
    """
    if not 0 <= index < outputs:
        raise PropertyError("there is no such output", wanted=f"0 <= index < {outputs}", got=index)
    ends = [end for end in (low, high) if end is not None]
    if not ends or not all(map(math.isfinite, ends)) or ends != sorted(ends):
        raise PropertyError("an impossible range of an output", wanted="finite low <= high", got=(low, high))
    clauses = []
    if low is not None:
        clauses.append(_limit(index, outputs, 1.0, low))
    if high is not None:
        clauses.append(_limit(index, outputs, -1.0, -high))
    return Property(inputs, UnsafeSet(tuple(clauses)), f"output {index} stays between {low} and {high}")


class WithSoftmax(nn.Module):
    """``softmax(network(x))`` over the classes, ``[n, classes]``: outputs are probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Inputs to probabilities."""
        return torch.softmax(self.network(x).flatten(1), 1)


def with_softmax(module: nn.Module) -> nn.Module:
    """The module with a softmax behind it, in the module's own mode; for ``confidence_above``."""
    whole = WithSoftmax(module)
    whole.train(module.training)
    return whole


def confidence_above(inputs: InputSet, level: float, classes: int, label: int | None = None) -> Property:
    """Unsafe when a **probability** reaches ``level``: that of ``label``, or of any class when it is None.

    Outputs are those of ``with_softmax(module)``, not logits. Proved over a box of noise, it says that no fooling
    image of that confidence exists there.

    Raises:
        PropertyError: a level that is no probability strictly between 0 and 1, or a label that is not a class.
    """
    labels = _asked(level, classes, label)
    clauses = tuple(_limit(index, classes, -1.0, -level) for index in labels)
    return Property(inputs, UnsafeSet(clauses), _name(level, label))


def confidence_above_on_logits(inputs: InputSet, level: float, label: int | None = None) -> Property:
    """The same question about the two **logits** of a network of two classes: exact but for rounding, and linear.

    ``softmax_i >= p`` says ``y_i - y_j >= log(p / (1 - p))``. The limit is rounded so that the unsafe set only grows.

    Raises:
        PropertyError: a level that is no probability strictly between 0 and 1, or a label that is not 0 or 1.
    """
    labels = _asked(level, 2, label)
    limit = math.log(level) - math.log1p(-level)
    limit -= 1e-15 * (1 + abs(math.log(level)) + abs(math.log1p(-level)))
    clauses = []
    for index in labels:
        row = torch.ones(1, 2, dtype=torch.float64)
        row[0, index] = -1.0
        clauses.append(Halfspaces(row, torch.tensor([-limit], dtype=torch.float64)))
    return Property(inputs, UnsafeSet(tuple(clauses)), _name(level, label))


def _asked(level: float, classes: int, label: int | None) -> list[int]:
    check_class(0 if label is None else label, classes)
    if not 0 < level < 1:
        raise PropertyError("a level of confidence is a probability", wanted="0 < level < 1", got=level)
    return list(range(classes)) if label is None else [label]


def _limit(index: int, outputs: int, sign: float, offset: float) -> Halfspaces:
    """``sign * y_index <= offset``."""
    row = torch.zeros(1, outputs, dtype=torch.float64)
    row[0, index] = sign
    return Halfspaces(row, torch.tensor([offset], dtype=torch.float64))


def _name(level: float, label: int | None) -> str:
    return f"{'no class' if label is None else f'class {label} never'} reaches a confidence of {level:g}"
