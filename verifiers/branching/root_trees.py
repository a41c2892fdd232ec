"""Optimised bounds of single neurons over whole input sets, kept as trees without a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from verifiers.branching.domains import Domains
from verifiers.branching.layout import Layout
from verifiers.branching.neuron_tree import NeuronTree


def keep_bounds(
    trees: Sequence[NeuronTree],
    layout: Layout,
    samples: Tensor,
    places: Tensor,
    sign: int,
    bounds: Tensor,
    parameters: Mapping[int, Tensor],
) -> None:
    """Keep bounds of elements that are better than those of the layout's root.

    Args:
        trees: of each input set.
        layout: below the node.
        samples: int64 ``[s]``, the input sets.
        places: int64 ``[s, u]``, flat places of elements.
        sign: 1: the bounds are of the elements; -1: of their negatives.
        bounds: ``[s, u]``, lower ones.
        parameters: nonlinear node -> parameters ``[s, u, elements]`` of the lines that make them.
    """
    low, high = layout.root.bounds[layout.node].flat(layout.samples)
    before = (low if sign == 1 else -high)[samples[:, None], places]
    slopes = bounds.new_full((*places.shape, layout.slope_width), torch.nan, dtype=torch.float32)
    for index, (own, columns) in layout.slopes.items():
        if index in parameters:
            slopes[:, :, columns] = parameters[index][:, :, own].float()
    for row, sample in enumerate(samples.tolist()):
        better = torch.nonzero(bounds[row] > before[row])[:, 0]
        if len(better):
            _keep(trees[sample], layout, sample, places[row, better], sign, bounds[row, better], slopes[row, better])


def _keep(
    tree: NeuronTree, layout: Layout, sample: int, places: Tensor, sign: int, bounds: Tensor, slopes: Tensor
) -> None:
    count = len(places)
    leaves = tree.ask(layout, places, sign, samples=torch.full((count,), sample))
    lower, upper = (end[sample].expand(count, -1) for end in layout.compact())
    none = torch.zeros_like(lower, dtype=torch.float32)
    clause = torch.zeros_like(places)
    ones = torch.ones(count, 1, dtype=torch.float64, device=places.device)
    domains = Domains(clause, bounds, leaves, lower, upper, none.to(torch.uint8), none, slopes, ones)
    tree.close(domains, bounds)
