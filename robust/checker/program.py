"""A network as steps on flat vectors: affine maps with sparse matrices, and functions of single numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Vector = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Step:
    """One value of the network.

    Attributes:
        kind: ``input``, ``affine``, ``relu``, ``sigmoid`` or ``tanh``.
        size: its elements.
        sources: the steps that it reads.
        matrices: of an affine step, one for each source, float64; exact but for ``units`` roundings of each entry.
        bias: of an affine step.
        bias_error: how far the stored bias may be from the true one.
        units: see ``matrices``.
        slope: of ``relu`` below zero (leaky), in 0..1.
    """

    kind: str
    size: int
    sources: tuple[int, ...] = ()
    matrices: tuple[sparse.csr_array, ...] = ()
    bias: Vector = field(default_factory=lambda: np.zeros(0))
    bias_error: Vector = field(default_factory=lambda: np.zeros(0))
    units: int = 0
    slope: float = 0.0

    @cached_property
    def positive(self) -> tuple[sparse.csr_array, ...]:
        """The magnitudes of the matrices."""
        return tuple(abs(matrix) for matrix in self.matrices)

    @cached_property
    def longest(self) -> int:
        """How many products one element adds up."""
        return sum(int(np.diff(matrix.indptr).max(initial=0)) for matrix in self.matrices) + 1

    @cached_property
    def deepest(self) -> int:
        """How many products one coefficient of a source adds up."""
        return max(int(np.diff(matrix.tocsc().indptr).max(initial=0)) for matrix in self.matrices)


@dataclass(eq=False)
class Program:
    """Steps in an order in which each reads earlier ones; the first is the input."""

    steps: list[Step]
    output: int = 0

    def affine(
        self,
        parts: list[tuple[int, sparse.csr_array]],
        bias: Vector | None = None,
        *,
        units: int = 0,
        bias_error: Vector | None = None,
    ) -> int:
        """One more affine step: the sum of ``matrix @ source``, and the bias."""
        size = parts[0][1].shape[0]
        zero = np.zeros(size)
        step = Step(
            "affine",
            size,
            tuple(source for source, _ in parts),
            tuple(sparse.csr_array(matrix) for _, matrix in parts),
            zero if bias is None else np.asarray(bias, np.float64).reshape(-1),
            zero if bias_error is None else bias_error.reshape(-1),
            units,
        )
        self.steps.append(step)
        return len(self.steps) - 1

    def function(self, kind: str, source: int, slope: float = 0.0) -> int:
        """One more step that applies a function to each element."""
        self.steps.append(Step(kind, self.steps[source].size, (source,), slope=slope))
        return len(self.steps) - 1

    def moved(self, source: int, places: Places) -> int:
        """Elements of a step at flat ``places``; -1 stands for zero. The step itself where nothing moves."""
        flat, size = places.reshape(-1), self.steps[source].size
        if len(flat) == size and np.array_equal(flat, np.arange(size)):
            return source
        return self.affine([(source, gathering(flat, size))])


def gathering(places: Places, size: int) -> sparse.csr_array:
    """The matrix that picks elements; a row of zeros for -1."""
    rows = np.flatnonzero(places >= 0)
    ones = np.ones(len(rows))
    return sparse.csr_array((ones, (rows, places[rows])), shape=(len(places), size))
