"""The tree of boxes of input splitting: what was bounded, what was cut away, and how the rest was split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Column = NDArray[Any]
FORMAT = 2
_NAMES = ("parent", "owner", "inherits", "lower", "upper", "cut_lower", "cut_upper", "bound")


@dataclass(eq=False)
class InputTree:
    """Rows of a forest, one tree per case; see ``docs/proofs.md``, section Input trees.

    Attributes:
        varying: int64 ``[d]``, flat places of the inputs that are split.
        method: how boxes are bounded: ``interval``, ``zonotope``, ``crown``, or ``crown over zonotopes``.
    """

    kind: ClassVar[str] = "boxes"
    format: ClassVar[int] = FORMAT
    varying: Tensor
    method: str = "crown"
    _chunks: list[dict[str, Column]] = field(default_factory=list)
    _rows: int = 0

    def __len__(self) -> int:
        return self._rows

    @classmethod
    def whole(cls, method: str, bound: float) -> InputTree:
        """A whole input set in one row, proved at once by a method of bounds."""
        tree, none = cls(torch.zeros(0, dtype=torch.int64), method), torch.zeros(1, 0, dtype=torch.float64)
        first = torch.zeros(1, dtype=torch.int64)
        tree.bounded(first - 1, first, none, none, torch.tensor([bound], dtype=torch.float64), inherits=False)
        return tree

    def bounded(
        self, parent: Tensor, owner: Tensor, lower: Tensor, upper: Tensor, bound: Tensor, *, inherits: bool
    ) -> Tensor:
        """Boxes that went through the bounds: their rows, int64 ``[n]``.

        Args:
            parent: int64 ``[n]``, -1 for whole input sets.
            owner: int64 ``[n]``, the case.
            lower, upper: ``[n, d]``.
            bound: ``[n]``; positive closes a box.
            inherits: bounds of inner nodes were cut to the parents'.
        """
        chunk = {"parent": parent, "owner": owner, "lower": lower, "upper": upper, "bound": bound}
        columns = {name: value.cpu().numpy().copy() for name, value in chunk.items()}
        columns["cut_lower"], columns["cut_upper"] = (np.full(lower.shape, np.nan) for _ in range(2))
        columns["inherits"] = np.full(len(parent), inherits)
        self._chunks.append(columns)
        start, self._rows = self._rows, self._rows + len(parent)
        return torch.arange(start, self._rows, device=parent.device)

    def cut(self, rows: Tensor, lower: Tensor, upper: Tensor) -> None:
        """What is left ``[n, d]`` of boxes of the last call of ``bounded``; nothing where an end is past the other."""
        chunk = self._chunks[-1]
        places = rows.cpu().numpy() - (self._rows - len(chunk["parent"]))
        chunk["cut_lower"][places], chunk["cut_upper"][places] = lower.cpu().numpy(), upper.cpu().numpy()

    def back_to(self, rows: int) -> None:
        """Forget the calls since there were so many rows."""
        while self._rows > rows:
            self._rows -= len(self._chunks.pop()["parent"])

    def table(self) -> dict[str, Column]:
        """The columns by name."""
        return {name: np.concatenate([chunk[name] for chunk in self._chunks]) for name in _NAMES}

    def of(self, case: int) -> InputTree:
        """The tree of one case."""
        table = self.table()
        chosen = np.flatnonzero(table["owner"] == case)
        place = np.full(self._rows + 1, -1)
        place[chosen] = np.arange(len(chosen))
        columns = {name: values[chosen] for name, values in table.items()}
        columns["parent"] = place[columns["parent"]]  # the last place, -1, stays -1
        columns["owner"] = np.zeros_like(columns["owner"])
        return InputTree(self.varying, self.method, [columns], len(chosen))

    def columns(self) -> dict[str, Column]:
        """All arrays of the format, by name."""
        table = self.table()
        del table["owner"]
        return {"varying": self.varying.cpu().numpy(), "method": np.array(self.method), **table}

    def save(self, path: Path) -> None:
        """Write it in the format of ``docs/proofs.md``."""
        np.savez_compressed(path, **{"format": np.array(FORMAT), **self.columns()})  # type: ignore[arg-type]
