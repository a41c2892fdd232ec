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
        clause: int64 ``[n]``, which clause of the problem is asked about; that says whose domain it is.
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

    def take(self, rows: Tensor | slice) -> Domains:
        """Those at ``rows`` (indices, mask or slice)."""
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
    """Open domains of many cases.

    Args:
        like: a batch of the same widths.
        owner: int64 ``[clauses]``, the case that each clause belongs to.
        cases: how many cases there are.
    """

    def __init__(self, like: Domains, owner: Tensor, cases: int) -> None:
        self._device, self._owner, self._cases = like.clause.device, owner, cases
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
    def counts(self) -> Tensor:
        """Domains of each case: int64 ``[cases]``."""
        return torch.bincount(self._owner[self._store.clause[~self._free]], minlength=self._cases)

    @property
    def worst(self) -> Tensor:
        """The smallest bound of each case, float64 ``[cases]``; infinite where there is none."""
        found = torch.full((self._cases,), torch.inf, dtype=torch.float64, device=self._device)
        taken = ~self._free
        return found.scatter_reduce(0, self._owner[self._store.clause[taken]], self._store.bound[taken], "amin")

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

    def pop(self, count: int, turn: Tensor, room: Tensor, *, nearest: bool = False) -> Domains:
        """Take out at most ``count`` domains, case after case, of each those with the smallest bounds.

        Args:
            count: of all cases together.
            turn: int64 ``[cases]``, the order of the cases, the smallest first.
            room: int64 ``[cases]``, how many may be taken of each.
            nearest: those with the largest bounds instead.
        """
        slots = torch.nonzero(~self._free)[:, 0]
        slots = slots[self._store.bound[slots].argsort(descending=nearest, stable=True)]
        turns = turn[self._owner[self._store.clause[slots]]]
        order = turns.argsort(stable=True)
        slots, turns = slots[order], turns[order]
        place = torch.arange(len(slots), device=self._device) - torch.searchsorted(turns, turns)
        slots = slots[place < room[self._owner[self._store.clause[slots]]]][:count]
        self._free[slots] = True
        return self._store.take(slots)

    def drop(self, case: int) -> None:
        """Forget the domains of a case."""
        self._free |= self._owner[self._store.clause] == case
