"""What is asked of every part of an input set: all clauses of many cases, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.properties import Property


@dataclass(frozen=True, eq=False)
class Questions:
    """Constraints ``matrix @ y <= offset`` of ``k`` cases, each a union of at most ``c`` conjunctions of at most ``r``.

    Attributes:
        matrix: ``[k, c * r, outputs]``, zeros where a case has fewer.
        offset: ``[k, c * r]``.
        real: bool ``[k, c, r]``: which constraints there are; a clause without any is no part of its case.
    """

    matrix: Tensor
    offset: Tensor
    real: Tensor

    @classmethod
    def of(cls, cases: Sequence[Property], dtype: torch.dtype, device: torch.device) -> Questions:
        """Those of properties of one network; a clause without constraints contains everything and is kept as such.

        Such a clause gets one constraint, ``0 <= 0``, which nothing violates.
        """
        clauses = max(len(case.unsafe.clauses) for case in cases)
        rows = max(1, *(len(clause.offset) for case in cases for clause in case.unsafe.clauses))
        outputs = cases[0].unsafe.outputs
        matrix = torch.zeros(len(cases), clauses, rows, outputs, dtype=dtype, device=device)
        offset = torch.zeros(len(cases), clauses, rows, dtype=dtype, device=device)
        real = torch.zeros(len(cases), clauses, rows, dtype=torch.bool, device=device)
        for k, case in enumerate(cases):
            for c, clause in enumerate(case.unsafe.clauses):
                count = len(clause.offset)
                matrix[k, c, :count], offset[k, c, :count] = clause.matrix.to(matrix), clause.offset.to(offset)
                real[k, c, : max(1, count)] = True
        return cls(matrix.flatten(1, 2), offset.flatten(1), real)

    @property
    def rows(self) -> int:
        """Constraints per clause, padding included."""
        return self.real.shape[2]

    def excess(self, values: Tensor, owner: Tensor) -> Tensor:
        """Distances ``[n, c, r]`` by which constraints are violated; minus infinity where there is none.

        Args:
            values: ``[n, c * r]``, of ``matrix @ y``, or lower bounds of it.
            owner: int64 ``[n]``, whose constraints.
        """
        far = (values - self.offset[owner]).reshape(self.real[owner].shape)
        return torch.where(self.real[owner], far, -torch.inf)

    def margins(self, excess: Tensor, owner: Tensor) -> Tensor:
        """The best constraint of each clause ``[n, c]``; infinity for clauses that are no part of the case.

        An infinite bound has overflowed, and proves nothing.
        """
        best = torch.nan_to_num(excess, nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf).amax(2)
        return torch.where(self.real[owner].any(2), best, torch.inf)

    def distance(self, outputs: Tensor, owner: Tensor) -> Tensor:
        """How far outputs ``[n, p, outputs]`` are from the unsafe set: ``[n, p]``, at most 0 inside; NaN is far."""
        values = torch.bmm(outputs, self.matrix[owner].transpose(1, 2)) - self.offset[owner][:, None]
        values = torch.where(self.real[owner].flatten(1)[:, None], values, -torch.inf)
        worst = values.reshape(*values.shape[:2], -1, self.rows).amax(3)
        worst = torch.where(self.real[owner].any(2)[:, None], worst, torch.inf).amin(2)
        return torch.nan_to_num(worst, nan=torch.inf)
