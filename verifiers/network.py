"""A graph with what bound propagation asks of it again and again, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robust.graph import Graph, Kind
from robust.graph.passes import absolute_as_relu
from verifiers.adjoint import adjoint, offset
from verifiers.relaxations import RELAXATIONS

LARGEST_NORMED = 40_000


@dataclass(frozen=True, eq=False)
class Network:
    """A graph prepared for bounds.

    Attributes:
        graph: in the arithmetic that the bounds are to be computed in.
    """

    graph: Graph

    def __post_init__(self) -> None:
        if "abs" not in RELAXATIONS:
            object.__setattr__(self, "graph", absolute_as_relu(self.graph))

    def to(self, dtype: torch.dtype) -> Network:
        """The same in another arithmetic; made once."""
        if dtype == self.graph.dtype:
            return self
        if dtype not in self._casts:
            self._casts[dtype] = Network(self.graph.to(dtype))
        return self._casts[dtype]

    @cached_property
    def _casts(self) -> dict[torch.dtype, Network]:
        return {}

    @cached_property
    def offsets(self) -> dict[int, Tensor]:
        """Affine node -> its value ``[elements]`` at zero, where that is not zero."""
        with torch.no_grad():
            found = {node.index: offset(self.graph, node) for node in self.graph.nodes if node.kind is Kind.AFFINE}
        return {index: value for index, value in found.items() if value is not None}

    @cached_property
    def relaxed_operands(self) -> frozenset[int]:
        """Nodes that a nonlinear node reads: those whose bounds make a relaxation."""
        return frozenset(
            source
            for node in self.graph.nodes
            if node.kind in (Kind.ELEMENTWISE, Kind.MAXIMUM)
            for source in node.inputs
        )

    @cached_property
    def affine_prefix(self) -> frozenset[int]:
        """Nodes that are affine functions of the input."""
        prefix = {0}
        for node in self.graph.nodes[1:]:
            if node.kind is Kind.AFFINE and prefix.issuperset(node.inputs):
                prefix.add(node.index)
        return frozenset(prefix)

    @cached_property
    def widest(self) -> int:
        """Elements of the largest node."""
        return max(node.elements for node in self.graph.nodes)

    @cached_property
    def _norms(self) -> dict[int, Tensor]:
        return {}

    def row_norms(self, index: int) -> Tensor | None:
        """L2 norm ``[elements]`` of each row of an affine-prefix node's matrix; None where that is too large to ask."""
        if self.graph.nodes[index].elements > LARGEST_NORMED:
            return None
        if index not in self._norms:
            self._norms[index] = self._computed_norms(index)
        return self._norms[index]

    def _computed_norms(self, index: int) -> Tensor:
        graph, elements = self.graph, self.graph.nodes[index].elements
        size = max(1, 16_000_000 // self.widest)
        norms = []
        for start in range(0, elements, size):
            count = min(size, elements - start)
            unit = torch.zeros(1, count, elements, dtype=graph.dtype, device=graph.device)
            unit[0].diagonal(start).fill_(1)
            rows = prefix_rows(graph, index, unit)
            norms.append(torch.linalg.vector_norm(rows[0], dim=1))
        return torch.cat(norms)


def prefix_rows(graph: Graph, index: int, coefficients: Tensor) -> Tensor:
    """Coefficients ``[n, m, inputs]`` on the input of functions ``[n, m, elements]`` of an affine-prefix node."""
    collected = {index: coefficients}
    for node in reversed(graph.nodes[1 : index + 1]):
        if node.index in collected:
            for source, part in zip(node.inputs, adjoint(graph, node, collected.pop(node.index)), strict=True):
                collected[source] = collected[source] + part if source in collected else part
    return collected[0]
