"""Tighter bounds of single neurons, each by a small branch and bound over the neurons before it.

Every later bound gains from an earlier one, so that in dense networks a few splits for each neuron of the first layers
are worth more than many splits for the question itself. Others do the same with mixed integer programmes (Tjeng et
al., Evaluating Robustness of Neural Networks with Mixed Integer Programming, 2019, section 4.2.1); here thousands of
small trees go through the backward pass together.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from verifiers.branching.branching import halves, rank
from verifiers.branching.domains import Domains
from verifiers.branching.layout import open_neurons
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.problem import Problem, Proved
from verifiers.branching.root import optimised, ordered, sound
from verifiers.interval import Bounds
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort

STEPS, FIRST_STEPS = 8, 20
"""Steps of the search for a half, and for the whole input set."""
RATE, FIRST_RATE = 0.15, 0.25
TRIES = 4
"""Neurons that are tried for each split."""
LEAVES = 2
"""How many leaves of each tree, the worst, a round splits."""
PATIENCE, GAIN = 3, 0.001
"""So many rounds may pass in which all widths together shrink by less than this share of them."""
PROBED, WORTH = 64, 0.04
"""The first split of so many neurons of the first node has to shrink their widths by this share; else all is left."""
TOGETHER = 512
"""Domains that go through a pass together, at most."""


class Allowance:
    """What refining may take: seconds; or where ``domains`` is given, so many bounded domains instead."""

    def __init__(self, seconds: float, domains: int | None = None) -> None:
        self._end, self._most = time.monotonic() + seconds, domains
        self._spent = 0

    def part(self, parts: int) -> Allowance:
        """One of so many equal parts of what is left."""
        seconds = max(0.0, self._end - time.monotonic())
        return Allowance(seconds / parts, None if self._most is None else max(0, self._most - self._spent) // parts)

    def spend(self, domains: int) -> None:
        """So many more were bounded."""
        self._spent += domains

    @property
    def used_up(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self._end if self._most is None else self._spent >= self._most


def refined(
    root: LinearBounds, effort: Effort, allowance: Allowance, steps: int, tree: NeuronTree | None = None
) -> LinearBounds:
    """Bounds of all neurons that leave a gap, tightened node after node.

    Args:
        root: bounds of one input set, in float64.
        effort: limits.
        allowance: about how much this may take.
        steps: of optimisation, where earlier bounds have changed.
        tree: takes the trees of all neurons.

    Returns:
        ``root`` itself where splits gain too little.
    """
    bounds = dict(root.bounds)
    first = [index for index in sorted(root.network.relaxed_operands) if index not in root.network.affine_prefix]
    changed = False
    for place, index in enumerate(first):
        current = sound(root, bounds)
        open_ = open_neurons(current, index)
        if changed and bool(open_.any()):
            bounds[index] = optimised(current, index, open_, effort, steps, None if tree is None else [tree])
            current = sound(root, bounds)
            open_ = open_neurons(current, index)
        places = torch.nonzero(open_[0])[:, 0]
        if len(places) and not allowance.used_up:
            if not changed:
                some = places[:: 1 + len(places) // PROBED]
                if _Trees(Problem.inner(current, index, some), some, effort, None).gain() < WORTH:
                    return root
            part = allowance.part(len(first) - place)
            trees = _Trees(Problem.inner(current, index, places), places, effort, tree)
            bounds[index] = trees.grown(current, part)
            allowance.spend(trees.count)
            changed = True
    return LinearBounds(root.network, root.region, bounds, root.rules, runs=root.runs) if changed else root


class _Trees:
    """A tree for either side of each neuron of one node; ``count`` domains were bounded."""

    def __init__(self, problem: Problem, places: Tensor, effort: Effort, tree: NeuronTree | None) -> None:
        self._problem, self._places, self._effort, self._tree = problem, places, effort, tree
        self._rows = min(TOGETHER, problem.rows(effort))
        self.count = 0

    def gain(self) -> float:
        """By which share one round of splits shrinks all widths together."""
        start = self._planted()
        return 1 - self._width(self._round(start)) / max(self._width(start), 1e-30)

    def grown(self, linear: LinearBounds, allowance: Allowance) -> Bounds:
        """The node's bounds after splitting until nothing is left of the allowance, or until it gains little."""
        problem, effort, tree = self._problem, self._effort, self._tree
        found = self._planted()
        width, idle = self._width(found), 0
        while width > 0 and idle < PATIENCE and not allowance.used_up:
            bounded = self.count
            found = self._round(found)
            allowance.spend(self.count - bounded)
            before, width = width, self._width(found)
            idle = idle + 1 if before - width < GAIN * before else 0
        sure = Proved.cat([problem.confirmed(part, effort) for part in self._parts(found)])
        confirmed = sure.runs if problem.layout.root.runs else sure.bound
        if tree is not None:
            tree.close(found, confirmed)
        least = self._least(found, confirmed)
        index, count = problem.layout.node, len(self._places)
        low, high = (end.clone() for end in linear.bounds[index].flat(1))
        low[0, self._places] = torch.maximum(low[0, self._places], least[:count])
        high[0, self._places] = torch.minimum(high[0, self._places], -least[count:])
        return ordered(low, high, linear.bounds[index])

    def _planted(self) -> Domains:
        """The whole input set, for either side of each neuron."""
        start, tree = self._problem.start(), self._tree
        if tree is not None:
            roots = [tree.ask(self._problem.layout, self._places, sign) for sign in (1, -1)]
            start = replace(start, leaf=torch.cat(roots).to(start.leaf))
        return Domains.cat([self._improved(part, FIRST_STEPS, FIRST_RATE) for part in self._parts(start)])

    def _round(self, domains: Domains) -> Domains:
        """The leaves after splitting the worst of each tree."""
        chosen = self._chosen(domains)
        if not bool(chosen.any()):
            return domains
        return Domains.cat([domains.take(~chosen), *(self._halved(part) for part in self._parts(domains.take(chosen)))])

    def _parts(self, domains: Domains) -> list[Domains]:
        places = torch.arange(len(domains), device=domains.clause.device)
        return [domains.take(part) for part in torch.split(places, self._rows)]

    def _least(self, domains: Domains, bounds: Tensor) -> Tensor:
        """The smallest bound of each tree's leaves."""
        start = torch.full((2 * len(self._places),), torch.inf, dtype=torch.float64, device=bounds.device)
        return start.scatter_reduce(0, domains.clause, bounds, "amin")

    def _width(self, domains: Domains) -> float:
        least, count = self._least(domains, domains.bound), len(self._places)
        open_ = (least[:count] < 0) & (least[count:] < 0)
        return float(-(least[:count] + least[count:])[open_].sum())

    def _chosen(self, domains: Domains) -> Tensor:
        """The worst leaves of every tree whose neuron is open on both sides, bool ``[n]``."""
        least, count = self._least(domains, domains.bound), len(self._places)
        open_ = ((least[:count] < 0) & (least[count:] < 0)).repeat(2)
        eligible = open_[domains.clause] & (domains.bound < 0)
        order = torch.where(eligible, domains.bound, torch.inf).argsort(stable=True)
        order = order[domains.clause[order].argsort(stable=True)]
        trees = domains.clause[order]
        place = torch.arange(len(order), device=order.device) - torch.searchsorted(trees, trees)
        chosen = torch.zeros_like(eligible)
        chosen[order[place < LEAVES]] = True
        return chosen & eligible

    def _halved(self, domains: Domains) -> Domains:
        ranking = rank(self._problem, domains, TRIES, 4 * self._rows, self._effort)
        usable = ranking.usable[:, 0]
        done = domains.take(~usable)
        if not bool(usable.any()):
            return done
        both = halves(self._problem, domains.take(usable), ranking.columns[usable][:, :1], self._tree)
        return Domains.cat([done, self._improved(both, STEPS, RATE)])

    def _improved(self, domains: Domains, steps: int, rate: float) -> Domains:
        self.count += len(domains)
        return self._problem.improve(domains, steps, rate, self._effort)
