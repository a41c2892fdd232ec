"""Where a network can be split: the neurons whose bounds matter, in one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robust.graph import Kind, Node
from robust.properties.rounding import outward
from verifiers.interval import Bounds
from verifiers.linear_bounds import LinearBounds
from verifiers.network import Network
from verifiers.relaxations.maximum import maximum_lines
from verifiers.roundoff import Roundoff, rows_of


@dataclass(frozen=True, eq=False)
class Layout:
    """The columns of a domain: neurons that nonlinear nodes read and whose bounds at the root leave a gap, in any set.

    Attributes:
        root: float64 bounds of all nodes over ``s`` whole input sets.
        node: what is asked about; only what lies below has columns.
        places: operand node -> int64 ``[k]``, its flat places that have a column; nodes in topological order.
        columns: operand node -> which columns are its.
        slopes: nonlinear node -> (places ``[k]`` of its elements that have a slope of their own, their columns among
            the slopes).
    """

    root: LinearBounds
    node: int
    places: Mapping[int, Tensor]
    columns: Mapping[int, slice]
    slopes: Mapping[int, tuple[Tensor, slice]]

    @classmethod
    def of(cls, root: LinearBounds, node: int | None = None) -> Layout:
        """Columns for what is open at the root, below ``node`` (the output by default)."""
        network = root.network
        last = network.graph.output if node is None else node
        places, columns, slopes, start = {}, {}, {}, 0
        for index in sorted(index for index in network.relaxed_operands if index < last):
            found = torch.nonzero(open_neurons(root, index).any(0))[:, 0]
            if len(found):
                places[index], columns[index] = found, slice(start, start + len(found))
                start += len(found)
        start = 0
        for item in network.graph.nodes[: last + 1]:
            if item.kind in (Kind.INPUT, Kind.AFFINE, Kind.MAXIMUM):
                continue
            whole = torch.arange(item.elements, device=network.graph.device)
            own = places.get(item.inputs[0], whole[:0]) if item.kind is Kind.ELEMENTWISE else whole
            slopes[item.index] = (own, slice(start, start + len(own)))
            start += len(own)
        return cls(root, last, places, columns, slopes)

    @property
    def network(self) -> Network:
        """In float64."""
        return self.root.network

    @property
    def samples(self) -> int:
        """Whole input sets."""
        return len(self.root.region)

    @property
    def width(self) -> int:
        """Columns of bounds."""
        return max((columns.stop for columns in self.columns.values()), default=0)

    @property
    def slope_width(self) -> int:
        """Columns of slopes."""
        return max((columns.stop for _, columns in self.slopes.values()), default=0)

    @cached_property
    def roundoff(self) -> Roundoff:
        """What rounding takes from float64 passes over parts of the whole input sets."""
        known = self.root.roundoff
        if known is not None and known.reach:
            return known
        return Roundoff.over(self.network, self.root.bounds, self.samples, run=self.root.runs)

    def compact(self) -> tuple[Tensor, Tensor]:
        """Bounds ``[s, width]`` of the root."""
        ends = [self.root.bounds[index].flat(self.samples) for index in self.places]
        empty = self.root.region.lower.new_zeros(self.samples, 0)
        low = [end[0][:, places] for end, places in zip(ends, self.places.values(), strict=True)]
        high = [end[1][:, places] for end, places in zip(ends, self.places.values(), strict=True)]
        return torch.cat([empty, *low], 1), torch.cat([empty, *high], 1)

    def bounds(self, lower: Tensor, upper: Tensor, samples: Tensor, dtype: torch.dtype) -> dict[int, Bounds]:
        """Bounds of the nodes that nonlinear nodes read, rounded outward.

        Args:
            lower, upper: of domains, ``[n, width]``.
            samples: int64 ``[n]``, which input set each is a part of.
            dtype: to which they are rounded.
        """
        count, result = len(lower), {}
        for index in self.network.relaxed_operands:
            if index >= self.node:
                continue
            node = self.network.graph.nodes[index]
            ends = []
            whole = self.root.bounds[index].flat(self.samples)
            for end, values, down in zip(whole, (lower, upper), (True, False), strict=True):
                dense = rows_of(outward(end, dtype, down=down), samples)
                if index in self.places:
                    dense = dense.clone() if self.samples == 1 else dense
                    dense[:, self.places[index]] = outward(values[:, self.columns[index]], dtype, down=down)
                ends.append(dense.reshape(node.batched(count)))
            result[index] = Bounds(ends[0], ends[1])
        return result

    @cached_property
    def origins(self) -> tuple[Tensor, Tensor]:
        """Node and flat place of every column, int64 ``[width]`` each."""
        nodes = [torch.full_like(places, index) for index, places in self.places.items()]
        empty = torch.zeros(0, dtype=torch.int64, device=self.network.graph.device)
        return torch.cat([empty, *nodes]), torch.cat([empty, *self.places.values()])


def open_neurons(linear: LinearBounds, index: int) -> Tensor:
    """Neurons of a node for which tighter bounds would give a tighter relaxation: bool ``[n, elements]``."""
    batch = len(linear.region)
    lower, upper = linear.bounds[index].flat(batch)
    matters = torch.zeros_like(lower, dtype=torch.bool)
    for reader in linear.network.readers[index]:
        if reader.kind is Kind.MAXIMUM:
            matters |= maximum_lines(reader, lower, upper).undecided(lower.shape[1])
        elif reader.kind not in (Kind.AFFINE, Kind.INPUT):
            operands = [linear.bounds[source].flat(batch) for source in reader.inputs]
            matters |= linear.rules[reader.op].loose(reader, operands)
    return matters & (upper > lower)


def kink(node: Node) -> bool:
    """Whether a nonlinear node is linear on both sides of 0."""
    return node.op in ("relu", "leaky_relu", "abs")
