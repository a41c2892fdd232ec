"""Domains of a search by neurons: many in one batch, and a store from which the worst are taken."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

LOWER, UPPER = 1, 2
"""Bits of ``Domains.sides``: a split has raised the lower bound, or lowered the upper one."""


@dataclass(frozen=True, eq=False)
class Domains:
    """``n`` parts of the input set: where every neuron of the layout is between its bounds.

    Attributes:
        clause: int64 ``[n]``, which clause of the unsafe set is asked about.
        bound: float64 ``[n]``, the best bound that the search knows (not confirmed).
        leaf: int64 ``[n]``, place in the tree; -1 where none is kept.
        lower: float64 ``[n, width]``.
        upper: float64 ``[n, width]``.
        sides: uint8 ``[n, width]``, which of the bounds come from splits.
        multipliers: float32 ``[n, width]``: positive for ``x >= lower``, negative for ``x <= upper``.
        slopes: float32 ``[n, slope width]``, parameters of the lines; NaN where they are still to be chosen.
        weights: float64 ``[n, m]``, at least 0: how much of each constraint of the clause is in the question.
    """

    clause: Tensor
    bound: Tensor
    leaf: Tensor
    lower: Tensor
    upper: Tensor
    sides: Tensor
    multipliers: Tensor
    slopes: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.clause)

    def take(self, rows: Tensor) -> Domains:
        """Those at ``rows`` (indices or mask)."""
        return Domains(*(getattr(self, item.name)[rows] for item in fields(self)))

    @classmethod
    def cat(cls, parts: list[Domains]) -> Domains:
        """Several batches in one."""
        return cls(*(torch.cat([getattr(part, item.name) for part in parts]) for item in fields(cls)))

    def split(self, column: Tensor, threshold: Tensor) -> Domains:
        """Both halves of each domain: first all with ``x <= threshold``, then all with ``x >= threshold``.

        Args:
            column: int64 ``[n]``.
            threshold: float64 ``[n]``, between the bounds.
        """
        count = len(self)
        both = self.take(torch.arange(count, device=column.device).repeat(2))
        left, at = torch.arange(count, device=column.device), column
        both.upper[left, at] = torch.minimum(both.upper[left, at], threshold)
        both.sides[left, at] |= UPPER
        right = left + count
        both.lower[right, at] = torch.maximum(both.lower[right, at], threshold)
        both.sides[right, at] |= LOWER
        return both


class Pool:
    """Open domains.

    Args:
        like: a batch of the same widths.
    """

    def __init__(self, like: Domains) -> None:
        self._device = like.clause.device
        self._store = like.take(torch.zeros(0, dtype=torch.int64, device=self._device))
        self._free = torch.ones(0, dtype=torch.bool, device=self._device)

    def __len__(self) -> int:
        return int((~self._free).sum())

    @property
    def bytes(self) -> int:
        """What the domains take."""
        parts: list[Tensor] = [getattr(self._store, item.name) for item in fields(self._store)]
        return sum(part.element_size() * part[:1].numel() for part in parts) * len(self)

    @property
    def worst(self) -> float:
        """The smallest bound; infinite when there is none."""
        bounds = self._store.bound[~self._free]
        return float(bounds.min()) if len(bounds) else float("inf")

    def put(self, domains: Domains) -> None:
        """Add a batch."""
        missing = len(domains) - int(self._free.sum())
        if missing > 0:
            grown = max(missing, len(self._free))
            padding = domains.take(torch.zeros(grown, dtype=torch.int64, device=self._device))
            self._store = Domains.cat([self._store, padding])
            self._free = torch.cat([self._free, torch.ones(grown, dtype=torch.bool, device=self._device)])
        slots = torch.nonzero(self._free)[: len(domains), 0]
        for item in fields(domains):
            getattr(self._store, item.name)[slots] = getattr(domains, item.name)
        self._free[slots] = False

    def pop(self, count: int, *, nearest: bool = False) -> Domains:
        """Take out the ``count`` domains with the smallest bounds; with ``nearest`` the largest."""
        taken = torch.nonzero(~self._free)[:, 0]
        order = self._store.bound[taken].argsort(descending=nearest, stable=True)
        slots = taken[order[:count]]
        self._free[slots] = True
        return self._store.take(slots)
