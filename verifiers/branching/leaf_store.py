"""What proves the leaves of neuron trees: slopes, multipliers and weights, and the bounds that they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.graph import Kind
from verifiers.branching.domains import Domains
from verifiers.branching.layout import Layout, kink

Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class LeafChunk:
    """Leaves ``n`` that were closed together, on one layout.

    Attributes:
        leaves: int64 ``[n]``, rows of the tree.
        bounds: float64 ``[n]``.
        slopes: float32 ``[n, slope width]``.
        weights: float64 ``[n, constraints]``.
        leaf, column, multiplier: int32, int32 and float32 ``[k]``: the multipliers that are not 0, and which of the
            ``n`` leaves and which column they belong to.
    """

    leaves: Column
    bounds: Column
    slopes: Column
    weights: Column
    leaf: Column
    column: Column
    multiplier: Column

    @classmethod
    def of(cls, layout: Layout, domains: Domains, bounds: Tensor) -> LeafChunk:
        """Domains with their confirmed bounds ``[n]``."""
        leaf, column = torch.nonzero(domains.multipliers, as_tuple=True)
        values = domains.multipliers[leaf, column]
        slopes = _slopes(layout, domains)
        parts = (domains.leaf, bounds.double(), slopes, domains.weights.double(), leaf.int(), column.int(), values)
        return cls(*(part.cpu().numpy() for part in parts))

    def moved(self, place: Column) -> LeafChunk | None:
        """The leaves at their new rows; without those whose ``place`` is -1, and None where all are."""
        leaves = place[self.leaves]
        kept = leaves >= 0
        if not kept.any():
            return None
        own = kept[self.leaf]
        leaf = (np.cumsum(kept) - 1)[self.leaf[own]].astype(np.int32)
        parts = self.bounds[kept], self.slopes[kept], self.weights[kept]
        return LeafChunk(leaves[kept], *parts, leaf, self.column[own], self.multiplier[own])


def _slopes(layout: Layout, domains: Domains) -> Tensor:
    """Slopes with zeros where a neuron with one kink is on one side of it, so that its slope does not matter."""
    slopes = domains.slopes.clone()
    for index, (_, own) in layout.slopes.items():
        node = layout.network.graph.nodes[index]
        if node.kind is Kind.ELEMENTWISE and kink(node) and node.inputs[0] in layout.columns:
            columns = layout.columns[node.inputs[0]]
            decided = (domains.lower[:, columns] >= 0) | (domains.upper[:, columns] <= 0)
            slopes[:, own] = torch.where(decided, 0.0, slopes[:, own])
    return slopes


def leaf_columns(chunks: Sequence[LeafChunk]) -> dict[str, Column]:
    """Leaves of all chunks, one behind the other, by the names of ``docs/proofs.md``."""
    sizes = np.cumsum([0, *(len(chunk.leaves) for chunk in chunks)])
    firsts = [chunk.leaf + first for chunk, first in zip(chunks, sizes[:-1], strict=True)]
    return {
        "leaf": _joined([chunk.leaves for chunk in chunks], np.int64),
        "slopes": _joined([chunk.slopes.reshape(-1) for chunk in chunks], np.float32),
        "slope_count": _joined([np.full(len(chunk.leaves), chunk.slopes.shape[1]) for chunk in chunks], np.int64),
        "weights": _joined([chunk.weights.reshape(-1) for chunk in chunks], np.float64),
        "weight_count": _joined([np.full(len(chunk.leaves), chunk.weights.shape[1]) for chunk in chunks], np.int64),
        "multiplier_leaf": _joined(firsts, np.int32),
        "multiplier_column": _joined([chunk.column for chunk in chunks], np.int32),
        "multiplier": _joined([chunk.multiplier for chunk in chunks], np.float32),
    }


def ground_columns(grounds: Sequence[tuple[Layout, int]]) -> dict[str, Column]:
    """What leaves rest on, by the names of ``docs/proofs.md``.

    Args:
        grounds: layouts, and which of their input sets.
    """
    roots, lower, upper = [], [], []
    columns, slopes = [], []
    for place, (layout, sample) in enumerate(grounds):
        for index in sorted(index for index in layout.network.relaxed_operands if index < layout.node):
            low, high = layout.root.bounds[index].flat(layout.samples)
            roots.append((place, index, low.shape[1]))
            lower.append(low[sample].cpu().numpy())
            upper.append(high[sample].cpu().numpy())
        columns += [_places(place, index, places) for index, places in layout.places.items()]
        slopes += [_places(place, index, places) for index, (places, _) in layout.slopes.items()]
    return {
        "root": np.array(roots, dtype=np.int64).reshape(-1, 3),
        "root_lower": _joined(lower, np.float64),
        "root_upper": _joined(upper, np.float64),
        "columns": np.concatenate([np.zeros((0, 3), dtype=np.int64), *columns]),
        "slope_places": np.concatenate([np.zeros((0, 3), dtype=np.int64), *slopes]),
    }


def _places(ground: int, node: int, places: Tensor) -> Column:
    found = places.cpu().numpy()
    return np.stack([np.full_like(found, ground), np.full_like(found, node), found], 1)


def _joined(parts: Sequence[Column], dtype: type[np.generic]) -> Column:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts]).astype(dtype)
