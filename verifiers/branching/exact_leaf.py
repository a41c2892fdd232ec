"""Domains in which every neuron is decided: a linear programme says whether they hold a witness, and proves if not.

With all neurons on one piece, the network is an affine function on the domain, and the domain a polytope: ``l <= z(x)
<= u`` for each split neuron. The programme minimises the worst constraint of the clause plus a price on leaving the
polytope (so that an empty domain, too, has a finite dual solution). Its dual variables are the multipliers and weights
with which the ordinary bound is as large as the programme's optimum; what is believed is that bound, not the solver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from robust.graph import Kind
from verifiers.branching.domains import LOWER, UPPER, Domains
from verifiers.branching.problem import Problem
from verifiers.functions import Coefficients
from verifiers.linear_bounds import LinearBounds, gather, through_affine, through_lines
from verifiers.relaxations.maximum import MaximumRelaxation

PRICES = (1e2, 1e5)
"""Prices of leaving the polytope, times the size of the question; the second if the first is too low."""
SECONDS = 1.0
"""After which the solver gives a domain up."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """What the programme found.

    Attributes:
        domain: with the dual solution as multipliers and weights.
        point: ``[inputs]``, where the programme is minimal.
    """

    domain: Domains
    point: Tensor


def solved(problem: Problem, domain: Domains, price: float) -> Leaf | None:
    """The programme of one domain; None where the input set is not a box, or the solver gives up.

    Args:
        problem: what is asked.
        domain: one, with every neuron decided.
        price: see ``PRICES``.
    """
    from scipy import optimize  # takes a quarter of a second, which most queries need not wait for

    samples = problem.sample[domain.clause]
    region = problem.layout.root.region.take(samples)
    if region.center is not None:
        return None
    present = problem.present[domain.clause[0]]
    offsets = problem.offsets[domain.clause[0]][present]
    columns = torch.nonzero(domain.sides[0])[:, 0]
    asked = _Affine(problem, domain)
    rows, shift = asked.of(problem.layout.node, problem.questions[domain.clause[0]][present])
    inner, constants = asked.neurons(columns)
    sides = domain.sides[0, columns]
    below = torch.where((sides & LOWER) > 0, constants - domain.lower[0, columns], torch.inf)
    above = torch.where((sides & UPPER) > 0, domain.upper[0, columns] - constants, torch.inf)
    limits = torch.cat([offsets - shift, below, above])
    size = inner.abs().sum(1).clamp_min(1e-12).repeat(2)
    scale = torch.cat([torch.ones_like(offsets), size])
    extra = limits.new_zeros(len(limits), 2)
    extra[: len(offsets), 0], extra[len(offsets) :, 1] = -1.0, -1.0
    table = torch.cat([torch.cat([rows, -inner, inner]) / scale[:, None], extra], 1)
    kept = torch.isfinite(limits) & torch.isfinite(table).all(1)
    ends = np.stack([region.lower.flatten().cpu().numpy(), region.upper.flatten().cpu().numpy()], 1)
    cost = np.zeros(table.shape[1])
    worth = torch.maximum(rows.abs().sum(1), (offsets - shift).abs()).clamp_min(1e-12)
    cost[-2:] = 1.0, price * float(worth.max())
    free = np.array([[-np.inf, np.inf], [0.0, np.inf]])
    if not (np.isfinite(cost).all() and int(kept[: len(offsets)].sum())):
        return None
    found = optimize.linprog(
        cost,
        table[kept].cpu().numpy(),
        (limits / scale)[kept].cpu().numpy(),
        bounds=np.concatenate([ends, free]),
        method="highs",
        options={"time_limit": SECONDS},
    )
    if found.status != 0:
        return None
    dual = torch.zeros_like(limits)
    dual[kept] = torch.as_tensor(-found.ineqlin.marginals).to(dual).clamp_min(0)
    return Leaf(_dual_domain(domain, present, columns, dual / scale), torch.as_tensor(found.x[:-2]).to(dual))


def _dual_domain(domain: Domains, present: Tensor, columns: Tensor, dual: Tensor) -> Domains:
    """The domain with the programme's dual variables: of the constraints, then of lower and of upper bounds."""
    count = int(present.sum())
    weights, multipliers = torch.zeros_like(domain.weights), torch.zeros_like(domain.multipliers)
    weights[0, present] = dual[:count]
    value = dual[count : count + len(columns)] - dual[count + len(columns) :]
    multipliers[0, columns] = value.to(multipliers)
    return replace(domain, weights=weights, multipliers=multipliers)


class _Affine:
    """Values of nodes in one domain as affine functions of the input."""

    def __init__(self, problem: Problem, domain: Domains) -> None:
        layout = problem.layout
        samples = problem.sample[domain.clause]
        bounds = layout.bounds(domain.lower, domain.upper, samples, torch.float64)
        self._layout = layout
        self._linear = LinearBounds(layout.network, layout.root.region.take(samples), bounds, layout.root.rules)

    def of(self, index: int, functions: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients ``[m, inputs]`` and constants ``[m]`` of functions ``[m, elements]`` of a node."""
        network = self._layout.network
        collected = {index: Coefficients(functions[None])}
        total = functions.new_zeros(len(functions))
        for node in reversed(network.graph.nodes[1 : index + 1]):
            current = collected.pop(node.index, None)
            if current is None:
                continue
            if node.kind is Kind.AFFINE:
                parts, constant = through_affine(network, node, current)
            else:
                relaxed = self._linear.relaxation(node)
                if isinstance(relaxed, MaximumRelaxation):
                    elements = network.graph.nodes[node.inputs[0]].elements
                    part, constant = relaxed.through(elements, current.dense())
                    parts = [Coefficients(part)]
                else:
                    parts, constant = through_lines(relaxed.lower, relaxed.upper, current)
            total = total if constant is None else total + constant.flatten()
            gather(collected, node, parts)
        zero = functions.new_zeros(len(functions), network.graph.nodes[0].elements)
        return (collected[0].dense()[0] if 0 in collected else zero), total

    def neurons(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the neurons at ``columns`` of the layout, in ascending order."""
        layout = self._layout
        parts = [torch.zeros(0, layout.network.graph.nodes[0].elements, dtype=torch.float64, device=columns.device)]
        constants = [parts[0].new_zeros(0)]
        for index, own in layout.columns.items():
            inside = columns[(columns >= own.start) & (columns < own.stop)] - own.start
            unit = torch.zeros(len(inside), layout.network.graph.nodes[index].elements, dtype=torch.float64)
            unit = unit.to(columns.device).scatter_(1, layout.places[index][inside][:, None], 1.0)
            rows, shift = self.of(index, unit)
            parts.append(rows)
            constants.append(shift)
        return torch.cat(parts), torch.cat(constants)
