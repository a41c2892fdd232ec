"""What an engine has to know of a nonlinear operator: its range, the lines that enclose it, and how steep it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from robust.graph import Node

Interval = tuple[Tensor, Tensor]
"""Lower and upper ends, each ``[n, elements]``."""


@dataclass(frozen=True, eq=False)
class Family:
    """``K >= 2`` lines, *each* valid: so is every convex combination, and an optimiser may choose among those.

    A parameter ``p`` in ``[0, K - 1]`` means the mixture of lines ``floor(p)`` and ``floor(p) + 1``.

    Attributes:
        slopes: one per operand, ``[K, n, elements]``.
        intercept: ``[K, n, elements]``; None is zero everywhere.
        start: ``[n, elements]``, the parameter of the line that is used without optimisation (or one near to it).
    """

    slopes: tuple[Tensor, ...]
    intercept: Tensor | None
    start: Tensor

    def take(self, samples: Tensor) -> Family:
        """The lines of some of the samples."""
        intercept = None if self.intercept is None else self.intercept[:, samples]
        return Family(tuple(slope[:, samples] for slope in self.slopes), intercept, self.start[samples])


@dataclass(frozen=True, eq=False)
class Lines:
    """On one side of the function, for every element: ``sum_k slopes[k] * operand_k + intercept``.

    Attributes:
        slopes: one per operand, ``[n, elements]``.
        intercept: ``[n, elements]``; None is zero everywhere.
        family: what optimisation may choose from; None where this line is the only one.
    """

    slopes: tuple[Tensor, ...]
    intercept: Tensor | None = None
    family: Family | None = None

    def take(self, samples: Tensor) -> Lines:
        """The lines of some of the samples."""
        intercept = None if self.intercept is None else self.intercept[samples]
        family = None if self.family is None else self.family.take(samples)
        return Lines(tuple(slope[samples] for slope in self.slopes), intercept, family)


@dataclass(frozen=True, eq=False)
class Relaxation:
    """``lower(x) <= f(x) <= upper(x)`` for every ``x`` between the operand's bounds."""

    lower: Lines
    upper: Lines

    def take(self, samples: Tensor) -> Relaxation:
        """The lines of some of the samples."""
        return Relaxation(self.lower.take(samples), self.upper.take(samples))


class Rule(Protocol):
    """One operator. All tensors are flat, ``[n, elements]``; bounds are finite or infinite, never NaN.

    What a rule gives must hold for real numbers *and* allow for its own rounding in the arithmetic of its tensors.
    """

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """Range of the function over the operands' bounds."""
        ...

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """Lines that enclose the function over the operands' bounds.

        Args:
            node: with the operator's parameters in ``node.arguments``.
            operands: bounds of each operand.
            family: also give the families, for optimisation.
        """
        ...

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """For each operand, the smallest and largest partial derivative over the operands' bounds."""
        ...

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Where tighter operand bounds would give tighter lines: bool ``[n, elements]``."""
        ...
