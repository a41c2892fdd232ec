"""A graph with what bound propagation asks of it again and again, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from robust.graph import Graph, Kind, Node
from robust.graph.operators import COPYING
from verifiers.adjoint import adjoint, offset
from verifiers.functions import Coefficients, Functions
from verifiers.windows import is_picture, is_plain_convolution, start_of

LARGEST_NORMED = 40_000


@dataclass(frozen=True, eq=False)
class Absorbed:
    """What an affine node's bias was added up from, where inputs were folded into it.

    Attributes:
        magnitude: float64 ``[elements]``, of all that was added up.
        terms: how many there were.
    """

    magnitude: Tensor
    terms: int


@dataclass(frozen=True, eq=False)
class Network:
    """A graph prepared for bounds.

    Attributes:
        graph: in the arithmetic that the bounds are to be computed in.
        absorbed: affine node -> what its bias was added up from, where it is itself a rounded sum.
    """

    graph: Graph
    absorbed: Mapping[int, Absorbed] = field(default_factory=dict)

    def to(self, dtype: torch.dtype) -> Network:
        """The same in another arithmetic; made once."""
        if dtype == self.graph.dtype:
            return self
        if dtype not in self._casts:
            self._casts[dtype] = Network(self.graph.to(dtype), self.absorbed)
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
    def drifts(self) -> dict[int, tuple[float, Tensor]]:
        """Affine node whose constants are not the model's own -> by which share they may be off, and the magnitudes
        ``[elements]`` that the constant which is added was added up from."""
        found = {}
        for node in self.graph.nodes:
            if node.inexact is not None and node.kind is Kind.AFFINE:
                share = node.inexact.share_in(self.graph.dtype)
                found[node.index] = (share, self._added_up(node, node.inexact.magnitude))
        return found

    def _added_up(self, node: Node, magnitude: Tensor | None) -> Tensor:
        if magnitude is None:
            offset = self.offsets.get(node.index)
            zero = torch.zeros(node.elements, dtype=self.graph.dtype, device=self.graph.device)
            return zero if offset is None else offset.abs()
        magnitude = magnitude.to(self.graph.device, self.graph.dtype)
        if node.op == "convolution":
            magnitude = magnitude.reshape(-1, *[1] * (len(node.rest) - 1))
        if magnitude.ndim == len(node.rest) + 1:
            magnitude = magnitude[0]
        return magnitude.expand(node.rest).repeat(node.factor, *[1] * (len(node.rest) - 1)).flatten()

    @cached_property
    def matrices(self) -> dict[int, Tensor]:
        """Node that is a matrix product of a vector -> its matrix ``[elements, elements of the operand]``."""
        flat = {node.index for node in self.graph.nodes if len(node.shape) == 1}
        linear = [
            node for node in self.graph.nodes if node.op == "linear" and flat.issuperset((node.index, *node.inputs))
        ]
        return {node.index: node.arguments["weight"] for node in linear}

    @cached_property
    def relaxed_operands(self) -> frozenset[int]:
        """Nodes that a nonlinear node reads: those whose bounds make a relaxation."""
        return frozenset(
            source for node in self.graph.nodes if node.kind not in (Kind.INPUT, Kind.AFFINE) for source in node.inputs
        )

    def copies(self, index: int) -> tuple[Node, ...]:
        """The nodes from an original with fewer elements to a node that repeats them; none where it is an original."""
        chain: list[Node] = []
        node, best = self.graph.nodes[index], 0
        while node.op in COPYING and len(node.inputs) == 1:
            chain.insert(0, node)
            node = self.graph.nodes[node.inputs[0]]
            if node.elements < self.graph.nodes[chain[-1].index].elements and node.kind is not Kind.INPUT:
                best = len(chain)
        return tuple(chain[len(chain) - best :])

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
        if node.op == "linear" and len(node.shape) == 1 and len(source.shape) == 1:
            found, at = Coefficients(_at(node.arguments["weight"], places)), source.index
        elif places is not None and is_picture(node) and is_plain_convolution(node) and is_picture(source):
            return self._signed_pixels(node, source, places)
        elif places is not None and is_picture(node):
            window = start_of(places, node)
            found = Coefficients(self._one_hot(places // (node.rest[1] * node.rest[2]), node.rest[0]), window)
            return _signed({index: found}, found.values.new_zeros(places.shape))
        elif places is None:
            return _signed(
                {index: Coefficients(self._eye(node.elements)[None])}, self._eye(1).new_zeros(1, node.elements)
            )
        else:
            one_hot = self._one_hot(places, node.elements)
            return _signed({index: Coefficients(one_hot)}, one_hot.new_zeros(places.shape))
        return _signed({at: found}, self._offset_at(index, places, found.values))

    def _signed_pixels(self, node: Node, source: Node, places: Tensor) -> Functions:
        """Of a convolution: its kernels, on windows of its operand."""
        plane = node.rest[1] * node.rest[2]
        window = start_of(places, node).below(node, source.rest[0], (source.rest[1], source.rest[2]))
        groups = int(node.arguments["groups"])
        channel = torch.div(places, plane, rounding_mode="floor")
        if window.whole or groups > 1:
            hot = Coefficients(self._one_hot(channel, node.rest[0]), start_of(places, node))
            return _signed({node.index: hot}, hot.values.new_zeros(places.shape))
        kernels = window.masked(node.arguments["weight"][channel].flatten(2))
        found = Coefficients(kernels, window)
        return _signed({source.index: found}, self._offset_at(node.index, places, kernels))

    def _offset_at(self, index: int, places: Tensor | None, like: Tensor) -> Tensor:
        offset = self.offsets.get(index)
        return like.new_zeros(like.shape[:2]) if offset is None else _at(offset, places)

    def _one_hot(self, places: Tensor, elements: int) -> Tensor:
        rows = torch.zeros(*places.shape, elements, dtype=self.graph.dtype, device=self.graph.device)
        return rows.scatter_(2, places[:, :, None], 1.0)

    def _eye(self, elements: int) -> Tensor:
        return torch.eye(elements, dtype=self.graph.dtype, device=self.graph.device)

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


def _at(table: Tensor, places: Tensor | None) -> Tensor:
    return table[None] if places is None else table[places]


def _signed(coefficients: dict[int, Coefficients], constant: Tensor) -> Functions:
    """Functions, and after them their negatives."""
    doubled = {
        index: Coefficients(torch.cat([found.values, -found.values], 1), found.window and found.window.repeated())
        for index, found in coefficients.items()
    }
    return Functions(doubled, torch.cat([constant, -constant], 1))


def prefix_rows(graph: Graph, index: int, coefficients: Tensor) -> Tensor:
    """Coefficients ``[n, m, inputs]`` on the input of functions ``[n, m, elements]`` of an affine-prefix node."""
    collected = {index: coefficients}
    for node in reversed(graph.nodes[1 : index + 1]):
        if node.index in collected:
            for source, part in zip(node.inputs, adjoint(graph, node, collected.pop(node.index)), strict=True):
                collected[source] = collected[source] + part if source in collected else part
    return collected[0]
