"""Parts of input sets, many at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


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
