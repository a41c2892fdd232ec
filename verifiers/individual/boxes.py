"""Boxes of persons and their differences, in chunks that are worked on largest first."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Boxes:
    """``n`` boxes.

    Attributes:
        lower: ``[n, dimensions]``, float64.
        upper: likewise.
        step: int64 ``[n]``, which values of the changed attribute are compared.
        part: int64 ``[n]``, of which part of the domain.
        share: ``[n]``, of all comparisons.
        cut: int64 ``[n]``, the dimension that is to be halved next; -1: none can be.
    """

    lower: Tensor
    upper: Tensor
    step: Tensor
    part: Tensor
    share: Tensor
    cut: Tensor

    def __len__(self) -> int:
        return len(self.step)

    def take(self, rows: Tensor | slice) -> Boxes:
        """The boxes at ``rows``."""
        return Boxes(*(getattr(self, name)[rows] for name in _FIELDS))

    @staticmethod
    def joined(parts: list[Boxes]) -> Boxes:
        """All boxes of some batches, in order."""
        return Boxes(*(torch.cat([getattr(part, name) for part in parts]) for name in _FIELDS))

    def halves(self, counted: Tensor) -> Boxes:
        """Both halves of each box along its ``cut``; whole numbers are split between two of them.

        Args:
            counted: bool ``[dimensions]``, which numbers are whole.
        """
        rows, dimension = torch.arange(len(self)), self.cut
        low, high = self.lower[rows, dimension], self.upper[rows, dimension]
        middle = (low + high) / 2
        whole = counted[dimension]
        left = torch.where(whole, middle.floor(), middle)
        right = torch.where(whole, middle.floor() + 1, middle)
        upper, lower = self.upper.clone(), self.lower.clone()
        upper[rows, dimension], lower[rows, dimension] = left, right
        first = torch.where(whole, (left - low + 1) / (high - low + 1), torch.full_like(low, 0.5))
        return Boxes.joined(
            [
                Boxes(self.lower, upper, self.step, self.part, self.share * first, self.cut),
                Boxes(lower, self.upper, self.step, self.part, self.share * (1 - first), self.cut),
            ]
        )


_FIELDS = ("lower", "upper", "step", "part", "share", "cut")


@dataclass(eq=False)
class Pool:
    """Chunks of boxes; the chunk with the largest box first, older ones before younger ones of the same size."""

    size: int
    chunks: list[tuple[float, int, Boxes]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    def put(self, boxes: Boxes) -> None:
        """Add boxes, sorted into chunks of like size."""
        if not len(boxes):
            return
        order = torch.sort(boxes.share, descending=True, stable=True).indices
        for start in range(0, len(boxes), self.size):
            part = boxes.take(order[start : start + self.size])
            heapq.heappush(self.chunks, (-float(part.share[0]), next(self.numbers), part))

    def get(self) -> Boxes:
        """A batch: the first chunk, and more of them where they fit."""
        found = [heapq.heappop(self.chunks)[2]]
        while self.chunks and sum(map(len, found)) + len(self.chunks[0][2]) <= self.size:
            found.append(heapq.heappop(self.chunks)[2])
        return Boxes.joined(found)

    def __len__(self) -> int:
        return sum(len(chunk[2]) for chunk in self.chunks)
