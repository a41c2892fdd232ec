"""Unsafe output sets: a disjunction of conjunctions of linear constraints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError


@dataclass(frozen=True, eq=False)
class Halfspaces:
    """One conjunction: ``{y : matrix @ y <= offset}`` with ``matrix [m, outputs]`` and ``offset [m]``."""

    matrix: Tensor
    offset: Tensor

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.offset.shape != self.matrix.shape[:1]:
            raise PropertyError(
                "a conjunction of halfspaces has the wrong shape",
                wanted="matrix [m, outputs] and offset [m]",
                got=f"matrix {tuple(self.matrix.shape)} and offset {tuple(self.offset.shape)}",
            )

    def contains(self, outputs: Tensor) -> Tensor:
        """Bool ``[n]`` for outputs ``[n, outputs]``; NaN is nowhere inside."""
        return (outputs @ self.matrix.to(outputs).T <= self.offset.to(outputs)).all(1)

    def distance(self, outputs: Tensor) -> Tensor:
        """The largest violation ``max_i (matrix_i @ y - offset_i)``, ``[n]``: at most 0 inside. For attacks."""
        return (outputs @ self.matrix.to(outputs).T - self.offset.to(outputs)).amax(1)


@dataclass(frozen=True, eq=False)
class UnsafeSet:
    """The union of its conjunctions: what must not be reached."""

    clauses: tuple[Halfspaces, ...]

    def __post_init__(self) -> None:
        if not self.clauses:
            raise PropertyError("an unsafe set has no clause: every network would be safe", wanted="at least one")
        widths = {clause.matrix.shape[1] for clause in self.clauses}
        if len(widths) != 1:
            raise PropertyError("clauses speak of different numbers of outputs", wanted="one number", got=widths)

    @property
    def outputs(self) -> int:
        """Number of network outputs it speaks of."""
        return int(self.clauses[0].matrix.shape[1])

    def contains(self, outputs: Tensor) -> Tensor:
        """Bool ``[n]`` for outputs ``[n, outputs]``."""
        return torch.stack([clause.contains(outputs) for clause in self.clauses]).any(0)

    def distance(self, outputs: Tensor) -> Tensor:
        """The smallest clause distance ``[n]``: at most 0 inside."""
        return torch.stack([clause.distance(outputs) for clause in self.clauses]).amin(0)
