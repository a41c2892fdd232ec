"""A graph with what bound propagation asks of it again and again, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robust.graph import Graph, Kind, Node
from verifiers.adjoint import adjoint, offset
from verifiers.functions import Functions

LARGEST_NORMED = 40_000


@dataclass(frozen=True, eq=False)
class Network:
    """A graph prepared for bounds.

    Attributes:
        graph: in the arithmetic that the bounds are to be computed in.
    """

    graph: Graph

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
            source for node in self.graph.nodes if node.kind not in (Kind.INPUT, Kind.AFFINE) for source in node.inputs
        )

    @cached_property
    def readers(self) -> dict[int, tuple[Node, ...]]:
        """Node -> the nodes that read it."""
        found: dict[int, list[Node]] = {node.index: [] for node in self.graph.nodes}
        for node in self.graph.nodes:
            for source in set(node.inputs):
                found[source].append(node)
        return {index: tuple(nodes) for index, nodes in found.items()}

    def signed_elements(self, index: int, places: Tensor | None = None) -> Functions:
        """Elements of a node, and after them their negatives, as functions: ``2 u`` per sample.

        Args:
            index: the node.
            places: int64 ``[n, u]``, flat places of elements; all of them by default, shared by all samples.
        """
        node = self.graph.nodes[index]
        source = self.graph.nodes[node.inputs[0]] if node.inputs else node
        if node.op == "linear" and node.factor == 1 and len(node.rest) == 1 and len(source.shape) == 1:
            weight, offset = node.arguments["weight"], self.offsets.get(index)
            rows = weight[None] if places is None else weight[places]
            shift = rows.new_zeros(rows.shape[:2])
            if offset is not None:
                shift = offset[None] if places is None else offset[places]
            return Functions({source.index: torch.cat([rows, -rows], 1)}, torch.cat([shift, -shift], 1))
        if places is None:
            rows = torch.eye(node.elements, dtype=self.graph.dtype, device=self.graph.device)[None]
        else:
            rows = torch.zeros(*places.shape, node.elements, dtype=self.graph.dtype, device=self.graph.device)
            rows.scatter_(2, places[:, :, None], 1.0)
        return Functions.of(index, torch.cat([rows, -rows], 1))

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
