"""Bounds of affine rows over the unknowns of a program, in float64 with every rounding error counted.

Backward substitution as in CROWN (Zhang et al. 2018, section 3) and DeepPoly (Singh et al. 2019): each nonlinear
unknown has one affine row below it and one above it; a bound of a row is reached by replacing the youngest unknowns by
their rows, stage by stage, and taking the interval value of what is left; the best stage counts. Because neurons are
folded away on the strength of these bounds, and the verdict speaks of exact arithmetic, each product adds the standard
bound of its rounding error (Higham 2002, section 3.1: ``n u |A| |x|`` for a dot product in any order, doubled here).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifiers.smt.program import Row

Array = NDArray[np.float64]
UNIT = 2.0**-53
"""Unit roundoff of float64."""
TINY = 1e-300
"""More than any sum of underflows here can lose."""


@dataclass(frozen=True)
class _Group:
    """Unknowns ``start .. stop - 1`` lie between two affine functions of the unknowns before ``start``."""

    start: int
    stop: int
    below: Array
    below_constant: Array
    above: Array
    above_constant: Array


class Relaxation:
    """Grows with the program: a box of inputs first, then groups of nonlinear unknowns.

    Attributes:
        lower: proved lower end of every unknown so far, ``[unknowns]``.
        upper: proved upper end, ``[unknowns]``.
    """

    def __init__(self, lower: Sequence[float], upper: Sequence[float]) -> None:
        self.lower: Array = np.asarray(lower, dtype=np.float64)
        self.upper: Array = np.asarray(upper, dtype=np.float64)
        self._groups: list[_Group] = []

    def append(self, below: Sequence[Row], above: Sequence[Row], lower: Array, upper: Array) -> None:
        """New unknowns, each between two rows over the earlier ones and between two numbers."""
        start = len(self.lower)
        low, low_constant, low_error = self._dense(below)
        high, high_constant, high_error = self._dense(above)
        group = _Group(
            start,
            start + len(below),
            low,
            np.nextafter(low_constant - low_error, -np.inf),
            high,
            np.nextafter(high_constant + high_error, np.inf),
        )
        self._groups.append(group)
        self.lower = np.concatenate([self.lower, lower])
        self.upper = np.concatenate([self.upper, upper])

    def bound(self, rows: Sequence[Row]) -> tuple[Array, Array]:
        """Proved lower and upper ends of each row, ``[rows]`` each; infinite where float64 overflows."""
        matrix, constant, error = self._dense(rows)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._minimum(matrix, constant, error), -self._minimum(-matrix, -constant, error)

    def _minimum(self, matrix: Array, constant: Array, error: Array) -> Array:
        best = self._concretise(matrix, constant, error)
        for group in reversed(self._groups):
            if not matrix[:, group.start : group.stop].any():
                matrix = matrix[:, : group.start]
                continue
            matrix, constant, error = self._substitute(group, matrix, constant, error)
            best = np.maximum(best, self._concretise(matrix, constant, error))
        return best

    def _substitute(self, group: _Group, matrix: Array, constant: Array, error: Array) -> tuple[Array, Array, Array]:
        young, old = matrix[:, group.start : group.stop], matrix[:, : group.start]
        positive, negative = np.maximum(young, 0.0), np.minimum(young, 0.0)
        size = self._size[: group.start]
        gamma = 2.0 * (matrix.shape[1] + 6) * UNIT
        lost = np.abs(old) @ size + positive @ (np.abs(group.below) @ size) - negative @ (np.abs(group.above) @ size)
        lost += np.abs(constant) + positive @ np.abs(group.below_constant) - negative @ np.abs(group.above_constant)
        return (
            old + positive @ group.below + negative @ group.above,
            constant + positive @ group.below_constant + negative @ group.above_constant,
            error + gamma * lost + TINY,
        )

    def _concretise(self, matrix: Array, constant: Array, error: Array) -> Array:
        width = matrix.shape[1]
        gamma = 2.0 * (width + 6) * UNIT
        value = np.maximum(matrix, 0.0) @ self.lower[:width] + np.minimum(matrix, 0.0) @ self.upper[:width] + constant
        lost = error + gamma * (np.abs(matrix) @ self._size[:width] + np.abs(constant)) + TINY
        return np.asarray(np.nan_to_num(np.nextafter(value - lost, -np.inf), nan=-np.inf, posinf=-np.inf))

    def _dense(self, rows: Sequence[Row]) -> tuple[Array, Array, Array]:
        """Nearest float64 of the coefficients ``[rows, unknowns]`` and constants, and what that may have lost."""
        matrix = np.zeros((len(rows), len(self.lower)))
        for place, row in enumerate(rows):
            for index, coefficient in row.terms.items():
                matrix[place, index] = float(coefficient)
        constant = np.array([float(row.constant) for row in rows])
        error = 4.0 * UNIT * (np.abs(matrix) @ self._size + np.abs(constant)) + TINY
        return matrix, constant, error

    @property
    def _size(self) -> Array:
        return np.maximum(np.abs(self.lower), np.abs(self.upper))
