"""Which neuron to split: candidates by two scores, and of those the one whose halves are bounded best.

The first score is what BaBSR holds on to (Bunel et al., Branch and Bound for Piecewise Linear Neural Network
Verification, 2020): a neuron's coefficient times the largest gap of its relaxation. The second is the gap at the point
where the relaxed network is minimal: all of these together lie between the bound and the network's value there.
Filtered smart branching (De Palma et al., Improved Branch and Bound for Neural Network Verification via Lagrangian
Decomposition, 2021): the best few by either are tried, each half with one pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robust.graph import Kind, Node
from verifiers.branching.domains import Domains
from verifiers.branching.layout import Layout, kink, open_neurons
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.problem import Problem
from verifiers.branching.split_search import SplitSearch
from verifiers.memory import Effort
from verifiers.relaxations.maximum import MaximumRelaxation
from verifiers.roundoff import rows_of
from verifiers.slope_search import Choice

NARROW = 1e-4
"""Share of its width at the root below which an interval without a kink is not split any more."""
LEAST = 1e300
"""What a split is worth at least: more than one that cannot be made."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Columns to split, the best first.

    Attributes:
        columns: int64 ``[n, k]``.
        usable: bool ``[n, k]``: the column can be split.
        points: ``[n, inputs]``: where the relaxed network is minimal.
    """

    columns: Tensor
    usable: Tensor
    points: Tensor


def rank(problem: Problem, domains: Domains, tries: int, rows: int, effort: Effort) -> Ranking:
    """What to split in each domain.

    Args:
        problem: what is asked.
        domains: ``n``, with slopes and multipliers.
        tries: how many columns are tried for each.
        rows: how many domains go through a pass together.
        effort: limits.
    """
    layout = problem.layout
    search = problem.search(domains, effort)
    search.watch = frozenset(layout.network.relaxed_operands)
    search.bound()
    points = search.points
    if not layout.width:
        none = torch.zeros(len(domains), 1, dtype=torch.int64, device=points.device)
        return Ranking(none, none.bool(), points)
    search.climb(0.0)
    largest, here = scores(layout, search)
    open_ = splittable(layout, search, domains)
    tries = min(tries, layout.width)
    picked = _candidates(largest, here, open_, tries)
    usable = open_.gather(1, picked)
    if tries == 1:
        return Ranking(picked, usable, points)
    merit = torch.full(picked.shape, -torch.inf, dtype=torch.float64, device=picked.device)
    flat = torch.nonzero(usable.flatten())[:, 0]
    for part in torch.split(flat, max(1, rows // 2)) if len(flat) else ():
        effort.check()
        parents = domains.take(torch.div(part, tries, rounding_mode="floor"))
        halves = parents.split(picked.flatten()[part], thresholds(layout, parents, picked.flatten()[part]))
        bounds = problem.search(halves, effort).bound().double().reshape(2, -1)
        wanted = problem.wanted(parents)
        bounds = torch.minimum(bounds, wanted)  # what is proved already is not worth more
        merit.view(-1)[part] = (bounds.amin(0) + 0.1 * bounds.amax(0)).clamp_min(-LEAST)
    order = merit.argsort(dim=1, descending=True, stable=True)
    return Ranking(picked.gather(1, order), usable.gather(1, order), points)


def _candidates(largest: Tensor, here: Tensor, open_: Tensor, tries: int) -> Tensor:
    """Columns ``[n, tries]``, all different: the best by one score, then the best others by the other."""
    first = max(1, tries // 2)
    one = torch.where(open_, largest, -1.0).topk(first, dim=1).indices
    rest = torch.where(open_, here, -1.0).scatter(1, one, -2.0)
    return torch.cat([one, rest.topk(tries - first, dim=1).indices], 1)


def thresholds(layout: Layout, domains: Domains, columns: Tensor) -> Tensor:
    """Where to split ``columns [n]``: at the kink, else at 0 if that lies well inside, else in the middle."""
    at = torch.arange(len(domains), device=columns.device)
    lower, upper = domains.lower[at, columns], domains.upper[at, columns]
    middle = lower / 2 + upper / 2
    inside = (lower < 0) & (upper > 0)
    share = torch.minimum(-lower, upper) / (upper - lower)
    return torch.where(inside & (_kinks(layout)[columns] | (share > 0.1)), 0.0, middle)


def splittable(layout: Layout, search: SplitSearch, domains: Domains) -> Tensor:
    """Bool ``[n, width]``."""
    found = torch.zeros_like(domains.sides, dtype=torch.bool)
    for index, columns in layout.columns.items():
        found[:, columns] = open_neurons(search.linear, index)[:, layout.places[index]]
    low, high = (rows_of(end, search.origin) for end in layout.compact())
    wide = (domains.upper - domains.lower) > NARROW * (high - low)
    finite = torch.isfinite(domains.lower) & torch.isfinite(domains.upper)
    return found & (_kinks(layout) | (wide & finite))


def _kinks(layout: Layout) -> Tensor:
    """Bool ``[width]``: columns that only nodes with a kink at 0 read."""
    parts = [torch.zeros(0, dtype=torch.bool)]
    for index, places in layout.places.items():
        readers = [node for node in layout.network.readers[index] if node.kind not in (Kind.AFFINE, Kind.INPUT)]
        parts.append(torch.full((len(places),), all(kink(node) for node in readers)))
    return torch.cat(parts).to(layout.root.region.lower.device)


def scores(layout: Layout, search: SplitSearch) -> tuple[Tensor, Tensor]:
    """Both scores ``[n, width]`` after a pass down and one up."""
    count = len(search.weights)
    totals = [torch.zeros(count, layout.width, device=search.weights.device) for _ in range(2)]
    for node in layout.network.graph.nodes:
        choice = search.choices.get(node.index)
        if choice is None:
            continue
        if isinstance(choice, MaximumRelaxation):
            gaps = _maximum_gaps(search, node, choice)
        else:
            gaps = _gaps(search, node, choice)
        for source in node.inputs:
            if source in layout.columns:
                columns, places = layout.columns[source], layout.places[source]
                for total, gap in zip(totals, gaps, strict=True):
                    total[:, columns] += gap[:, places].abs()
    return totals[0], totals[1]


def _gaps(search: SplitSearch, node: Node, choice: Choice) -> tuple[Tensor, Tensor]:
    """Largest and present gap of each neuron, times its coefficient: ``[n, elements]``."""
    count = len(search.weights)
    coefficients = choice.coefficients[:, 0]
    operands = [search.values[source] for source in node.inputs]
    here = _difference(node, choice, coefficients, operands, count)
    if kink(node):
        lower, upper = search.linear.bounds[node.inputs[0]].flat(count)
        low, high = lower.clamp_max(0), upper.clamp_min(0)
        largest = (-low * high / (high - low).clamp_min(1e-30)) * coefficients.abs()
    else:
        ends = [search.linear.bounds[source].flat(count) for source in node.inputs]
        middle = [low / 2 + high / 2 for low, high in ends]
        largest = _difference(node, choice, coefficients, middle, count)
    return largest.nan_to_num(0.0, 0.0, 0.0), here.nan_to_num(0.0, 0.0, 0.0)


def _difference(node: Node, choice: Choice, coefficients: Tensor, operands: list[Tensor], count: int) -> Tensor:
    line = choice.values([x[:, None] for x in operands])[:, 0]
    shaped = [x.reshape(node.batched(count)) for x in operands]
    return coefficients * (node.apply(shaped, count).reshape(count, -1) - line)


def _maximum_gaps(search: SplitSearch, node: Node, relaxed: MaximumRelaxation) -> tuple[Tensor, Tensor]:
    """For each operand element the width of the windows that it may decide."""
    count = len(search.weights)
    lower, upper = search.linear.bounds[node.inputs[0]].flat(count)
    width = (upper - lower).nan_to_num(0.0, 0.0, 0.0) * relaxed.undecided(lower.shape[1])
    return width, width


def halves(problem: Problem, domains: Domains, columns: Tensor, tree: NeuronTree | None) -> Domains:
    """All parts of each domain after splitting its ``columns [n, levels]``, with the parents' bounds; put into the tree
    where one is kept."""
    layout, count = problem.layout, len(columns)
    for level in range(columns.shape[1]):
        column = columns[:, level].repeat(len(domains) // count)
        at = thresholds(layout, domains, column)
        parts = domains.split(column, at)
        if tree is not None:
            nodes, places = (origin[column] for origin in layout.origins)
            parts = replace(parts, leaf=tree.grow(domains.leaf, nodes, places, at).to(column))
        domains = parts
    return domains
