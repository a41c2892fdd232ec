"""A network as steps on flat vectors: affine maps with sparse matrices, and functions of single numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Vector = NDArray[np.float64]
Places = NDArray[np.int64]
MOST_ENTRIES = 2**26
"""Of a full matrix."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix ``[rows, columns]``: full where a tenth of its entries are not zero, nothing at all where it is the
    identity."""

    full: NDArray[np.float64] | None
    thin: sparse.csr_array | None

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> Matrix:
        """The quicker form."""
        rows, columns = matrix.shape
        if rows == columns == matrix.nnz and (matrix.data == 1).all() and (matrix.indices == np.arange(rows)).all():
            return cls(None, None)
        if rows * columns > MOST_ENTRIES or 10 * matrix.nnz < rows * columns:
            return cls(None, matrix)
        return cls(np.asarray(matrix.toarray(), np.float64), None)

    def forward(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """``matrix @ x`` for points ``[n, columns]``: ``[n, rows]``."""
        if self.full is not None:
            return np.asarray(points @ self.full.T)
        return points if self.thin is None else np.asarray((self.thin @ points.T).T)

    def backward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coefficients ``[n, m, rows]`` on the values as coefficients ``[n, m, columns]`` on the operand."""
        if self.full is not None:
            return np.asarray(values @ self.full)
        if self.thin is None:
            return values
        flat = values.reshape(-1, values.shape[-1])
        return np.ascontiguousarray((self.thin.T @ flat.T).T).reshape(*values.shape[:-1], -1)


@dataclass(frozen=True, eq=False)
class Step:
    """One value of the network.

    Attributes:
        kind: ``input``, ``affine``, ``max``, or a function of each element: ``relu``, ``abs``, ``sigmoid``, ``tanh``,
            ``softplus``, ``exp``.
        size: its elements.
        sources: the steps that it reads.
        matrices: of an affine step, one for each source, float64; exact but for ``units`` roundings of each entry.
        bias: of an affine step.
        bias_error: how far the stored bias may be from the true one.
        units: see ``matrices``.
        slope: of ``relu`` below zero (leaky), in 0..1.
        windows: of ``max`` ``[size, k]``, flat places in the source; places past the end of a window repeat its first.
    """

    kind: str
    size: int
    sources: tuple[int, ...] = ()
    matrices: tuple[sparse.csr_array, ...] = ()
    bias: Vector = field(default_factory=lambda: np.zeros(0))
    bias_error: Vector = field(default_factory=lambda: np.zeros(0))
    units: int = 0
    slope: float = 0.0
    windows: Places | None = None

    @cached_property
    def products(self) -> tuple[Matrix, ...]:
        """The matrices in the form in which products with them are fast."""
        return tuple(Matrix.of(matrix) for matrix in self.matrices)

    @cached_property
    def positive(self) -> tuple[Matrix, ...]:
        """The magnitudes of the matrices, likewise."""
        return tuple(Matrix.of(abs(matrix)) for matrix in self.matrices)

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

    def maximum(self, source: int, windows: Places) -> int:
        """One more step: the largest element of each window ``[size, k]``; -1 stands for none.

        Raises:
            ValueError: a window without elements.
        """
        order = np.argsort(windows < 0, axis=1, kind="stable")
        full = np.take_along_axis(windows, order, axis=1)
        if (full[:, 0] < 0).any():
            raise ValueError("a window of padding alone")
        full = np.where(full < 0, full[:, :1], full)
        self.steps.append(Step("max", len(full), (source,), windows=full))
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
