"""Parts of input sets, many at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

NEGLIGIBLE = 1e-9
"""Share of the widest side up to which a side is not split."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """Parts of input sets.

    Attributes:
        lower, upper: ``[n, d]``, float64, of the inputs that vary.
        owner: int64 ``[n]``: the case.
        parent: int64 ``[n]``: the row of the box that each was cut from, where a tree is kept; -1: a whole input set.
        bounds: node -> lower and upper ends ``[n, elements]`` that hold already.
    """

    lower: Tensor
    upper: Tensor
    owner: Tensor
    parent: Tensor
    bounds: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.lower.shape[0]

    def take(self, rows: Tensor | slice) -> Boxes:
        """Some of them."""
        bounds = {index: (low[rows], high[rows]) for index, (low, high) in self.bounds.items()}
        return Boxes(self.lower[rows], self.upper[rows], self.owner[rows], self.parent[rows], bounds)

    def halves(self, dimension: Tensor) -> Boxes:
        """Each cut in the middle of one dimension ``[n]``; lower halves first."""
        at = dimension[:, None]
        middle = (self.lower.gather(1, at) + self.upper.gather(1, at)) / 2
        lower = torch.cat([self.lower, self.lower.scatter(1, at, middle)])
        upper = torch.cat([self.upper.scatter(1, at, middle), self.upper])
        twice = {index: (torch.cat([low, low]), torch.cat([high, high])) for index, (low, high) in self.bounds.items()}
        return Boxes(lower, upper, torch.cat([self.owner] * 2), torch.cat([self.parent] * 2), twice)

    def with_(self, other: Boxes) -> Boxes:
        """Both, these first; bounds where both have them."""
        bounds = {
            index: (torch.cat([low, other.bounds[index][0]]), torch.cat([high, other.bounds[index][1]]))
            for index, (low, high) in self.bounds.items()
            if index in other.bounds
        }
        ends = torch.cat([self.lower, other.lower]), torch.cat([self.upper, other.upper])
        return Boxes(*ends, torch.cat([self.owner, other.owner]), torch.cat([self.parent, other.parent]), bounds)


def varying(lower: Tensor, upper: Tensor) -> Tensor:
    """Which inputs of boxes ``[n, inputs]`` vary, more than by what is left of rounding: bool ``[n, inputs]``."""
    width = upper - lower
    return width > NEGLIGIBLE * width.amax(1, keepdim=True)


def newest(stack: list[Boxes], size: int) -> Boxes:
    """The newest boxes of a stack, at most ``size``; they leave it."""
    boxes = stack.pop()
    while stack and len(boxes) + len(stack[-1]) <= size:
        boxes = boxes.with_(stack.pop())
    if len(boxes) > size:
        stack.append(boxes.take(slice(size, None)))
        boxes = boxes.take(slice(0, size))
    return boxes


def divided(boxes: Boxes, score: Tensor, room: float) -> Boxes:
    """Halves by the dimension of the largest score ``[n, d]``; where there is room for more than twice as many, halves
    of halves."""
    depth = max(1, min(boxes.lower.shape[1], int(math.log2(max(2, room)))))
    for _ in range(depth):
        dimension = score.argmax(1)
        boxes = boxes.halves(dimension)
        score = score.scatter(1, dimension[:, None], score.gather(1, dimension[:, None]) / 2)
        score = torch.cat([score, score])
    return boxes
