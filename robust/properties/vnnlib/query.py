"""What a VNN-LIB file asks: variables of one or more networks, and cases to be reached or excluded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robust.properties.input_sets import Box
from robust.properties.property import Property
from robust.properties.unsafe_sets import UnsafeSet


@dataclass(frozen=True)
class Variable:
    """A declared tensor.

    Attributes:
        name: ``X``.
        dtype: as the file writes it, for example ``float32`` or ``real``.
        shape: with the batch axis, as the file writes it; empty for a scalar.
        onnx_name: the value of the ONNX graph that it stands for, where the file says so.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    onnx_name: str | None = None

    @property
    def elements(self) -> int:
        """Number of scalars."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class NetworkDeclaration:
    """A declared network. Its hidden values and then its outputs make its part of the answer.

    Attributes:
        name: as the file writes it; empty in VNN-LIB 1, where the one network has no name.
        inputs, hidden, outputs: in the order of the file.
        equal_to: the network that this one is, weights and all: it takes no model of its own.
        isomorphic_to: a network of the same form with other weights.
    """

    name: str
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    hidden: tuple[Variable, ...] = ()
    equal_to: str | None = None
    isomorphic_to: str | None = None

    @property
    def answers(self) -> tuple[Variable, ...]:
        """Hidden values and outputs."""
        return self.hidden + self.outputs


Monomial = tuple[int, ...]
"""Numbers of the scalars that are multiplied: inputs first, then answers, over all networks; sorted."""


@dataclass(frozen=True, eq=False)
class Case:
    """One box and what must not be reached from it.

    Attributes:
        cover: float64 ``[inputs]``, a box that holds every real input that the text allows, and all of ``points``.
        points: float32 ``[inputs]``: the float32 inputs inside. Where the text leaves an input no float32 number at
            all, the one nearest to the text: it is what a model receives when it is handed the text's number.
        texts: for those inputs, place -> a number of the text that lies inside.
        unsafe: over the observed values (``Query.observed``), float64; constraints that are strict count as not strict.
        strict: per clause bool ``[m]``: which constraints are strict.
        unbounded: some input lacks a bound (version 2 allows that): the cover is then all finite float32 numbers, which
            is not all real ones, and the points are some of them.
    """

    cover: Box
    points: Box
    texts: dict[int, str]
    unsafe: UnsafeSet
    strict: tuple[Tensor, ...]
    unbounded: bool = False

    def reached(self, observed: Tensor) -> Tensor:
        """Bool ``[n]``: float64 values ``[n, observed]`` are unsafe, strict constraints taken strictly."""
        inside = []
        for clause, strict in zip(self.unsafe.clauses, self.strict, strict=True):
            left, offset = observed.double() @ clause.matrix.double().T, clause.offset.double()
            inside.append(torch.where(strict, left < offset, left <= offset).all(1))
        return torch.stack(inside).any(0)


@dataclass(frozen=True, eq=False)
class Query:
    """Satisfiable when an input of some case reaches the unsafe set of that case.

    Attributes:
        version: 1 or 2.
        networks: as declared.
        observed: what the columns of the unsafe sets are: monomials over inputs and answers. By default one for each
            answer, in order; behind them those that constraints on inputs or products need.
        cases: at least one, unless the text contradicts itself in every branch.
    """

    version: int
    networks: tuple[NetworkDeclaration, ...]
    observed: tuple[Monomial, ...]
    cases: tuple[Case, ...]

    @cached_property
    def inputs(self) -> int:
        """Number of input scalars, over all networks."""
        return sum(item.elements for network in self.networks for item in network.inputs)

    @cached_property
    def answers(self) -> int:
        """Number of hidden and output scalars, over all networks."""
        return sum(item.elements for network in self.networks for item in network.answers)

    @property
    def plain(self) -> bool:
        """Whether the observed values are just the answers."""
        return len(self.observed) == self.answers

    def properties(self, shape: tuple[int, ...] | None = None) -> list[Property]:
        """One property per case, over the cover.

        Args:
            shape: of one input; flat by default.
        """
        found = []
        for place, case in enumerate(self.cases):
            box = case.cover if shape is None else Box(case.cover.lower.reshape(shape), case.cover.upper.reshape(shape))
            found.append(Property(box, case.unsafe, f"case {place + 1} of {len(self.cases)}"))
        return found
