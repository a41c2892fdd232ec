"""The search over domains: worst first, many at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from robust.properties import UnsafeSet
from robust.properties.rounding import outward, step
from verifiers.branching.branching import Ranking, halves, rank
from verifiers.branching.domains import Domains, Pool
from verifiers.branching.exact_leaf import PRICES, solved
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.problem import Problem
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.memory import Effort, out_of_memory

FIRST_STEPS, STEPS = 40, 12
"""Steps of the search for the whole input set, and for a half."""
FIRST_RATE, RATE = 0.25, 0.15
TRIES = 6
"""Neurons that are tried for each split."""
SMALL = 32
"""While a batch has fewer domains than this, each is split by several neurons at once."""
LARGEST = 1024
"""Domains that go through a pass together, at most."""
QUICK, SLOW = 0.1, 0.3
"""Seconds of a pass below which the next batch may be larger, and above which it is made smaller."""
SHOWN = 64
"""Points of the worst domains that are looked at for a witness in each round."""
KEPT_BYTES = 64
"""Open domains may take so many times the budget for temporaries. From half of it on the largest bounds go first."""


class NeuronSearch:
    """Branch and bound over one case.

    Attributes:
        count: domains bounded so far.
        witness: ``[*shape]``, replayed.
        reason: why the search stopped, where that was neither time nor success.
    """

    def __init__(
        self,
        problem: Problem,
        unsafe: UnsafeSet,
        replay: Callable[[Tensor], Tensor | None] | None,
        effort: Effort,
        tree: NeuronTree | None,
    ) -> None:
        self._problem, self._unsafe, self._replay = problem, unsafe, replay
        self._effort, self._tree = effort, tree
        self._pool = Pool(problem.start())
        self._most = min(LARGEST, problem.rows(effort))
        self._rows = min(64, self._most)
        self._closed, self._stuck, self._lowest_stuck = math.inf, 0, math.inf
        self.count, self.reason = 0, ""
        self.witness: Tensor | None = None

    @property
    def open(self) -> int:
        """Domains that are neither split nor proved."""
        return len(self._pool) + self._stuck

    @property
    def bound(self) -> float | None:
        """The smallest bound over all leaves."""
        lowest = min(self._closed, self._pool.worst, self._lowest_stuck)
        return lowest if math.isfinite(lowest) else None

    @property
    def decided(self) -> bool:
        """Whether there is nothing left to do."""
        return self.witness is not None or not len(self._pool)

    def begin(self) -> None:
        """Bound the whole input set, for every clause; what is not proved goes to the pool."""
        problem, start = self._problem, self._problem.start()
        if self._tree is not None:
            clauses = torch.arange(len(problem.present), device=start.clause.device)
            roots = self._tree.ask(problem.layout.node, clauses, 0).to(clauses)
            start = replace(start, leaf=roots[start.clause])
        self._pool.put(start)
        start = self._improved(self._pool.pop(len(start)), FIRST_STEPS, FIRST_RATE)
        sure = self._confirmed(start)
        best = torch.full((len(problem.present),), -torch.inf, dtype=torch.float64, device=sure.device)
        best = best.scatter_reduce(0, start.clause, sure, "amax")
        top = (sure == best[start.clause]) & (sure > 0)
        self._close(start.take(top), sure[top])
        self._pool.put(self._mixed(start.take(best[start.clause] <= 0)))

    def run(self, deadline: Deadline) -> None:
        """Split the worst until nothing is open, a witness is found, or time is up.

        Raises:
            OutOfTimeError: the effort's own time was up.
        """
        while not self.decided and not deadline.expired:
            limit = KEPT_BYTES * self._effort.budget(self._problem.layout.network.graph.device)
            if self._pool.bytes > limit:
                self.reason = "open domains take too much memory"
                return
            self._round(nearest=self._pool.bytes > limit // 2)

    def _round(self, *, nearest: bool) -> None:
        taken = self._pool.pop(max(1, self._rows // 2), nearest=nearest)
        try:
            parts = self._split(taken)
        except OutOfTimeError:
            self._pool.put(taken)
            raise
        except RuntimeError as error:
            self._pool.put(taken)
            if not out_of_memory(error) or self._rows == 1:
                raise
            self._most = self._rows = max(1, self._rows // 2)
            return
        self._pool.put(parts)

    def _split(self, domains: Domains) -> Domains:
        """What is left open of domains after splitting each."""
        ranking = rank(self._problem, domains, TRIES, 2 * self._rows, self._effort)
        self._show(ranking.points)
        usable = ranking.usable[:, 0]
        self._leaves(domains.take(~usable))
        if not bool(usable.any()):
            return domains.take(usable)
        chosen = domains.take(usable)
        columns = _levels(replace(ranking, columns=ranking.columns[usable], usable=ranking.usable[usable]))
        parts = self._improved(halves(self._problem, chosen, columns, self._tree), STEPS, RATE)
        open_ = parts.bound <= self._problem.wanted(parts)
        promising = torch.nonzero(~open_)[:, 0]
        if len(promising):
            sure = self._confirmed(parts.take(promising))
            open_[promising] = ~(sure > 0)
            self._close(parts.take(promising[sure > 0]), sure[sure > 0])
        return parts.take(open_)

    def _improved(self, domains: Domains, steps: int, rate: float) -> Domains:
        """Domains with better bounds; batches grow and shrink with how long a pass takes."""
        parts, start = [], 0
        while start < len(domains):
            part = domains.take(torch.arange(start, min(start + self._rows, len(domains))))
            clock = time.monotonic()
            parts.append(self._problem.improve(part, steps, rate, self._effort))
            seconds = (time.monotonic() - clock) / (2 * steps + 1)
            start += self._rows
            if seconds < QUICK and len(part) == self._rows:
                self._rows = min(2 * self._rows, self._most)
            elif seconds > SLOW:
                self._rows = max(1, self._rows // 2)
        self.count += len(domains)
        return Domains.cat(parts)

    def _confirmed(self, domains: Domains) -> Tensor:
        """Bounds in float64, in batches half as large."""
        places = torch.arange(len(domains), device=domains.clause.device)
        parts = torch.split(places, max(1, self._rows // 2))
        return torch.cat([self._problem.confirmed(domains.take(part), self._effort) for part in parts])

    def _close(self, domains: Domains, bounds: Tensor) -> None:
        if not len(domains):
            return
        self._closed = min(self._closed, float(bounds.min()))
        if self._tree is not None:
            self._tree.close(domains.leaf, bounds)

    def _mixed(self, domains: Domains) -> Domains:
        """One domain per clause: its best constraint, and where there are several, some of each."""
        chosen = []
        for clause in sorted(set(domains.clause.tolist())):
            rows = torch.nonzero(domains.clause == clause)[:, 0]
            one = domains.take(rows[domains.bound[rows].argmax()][None])
            if len(rows) > 1:
                weights = 0.7 * one.weights + 0.3 * self._problem.present[clause].double() / len(rows)
                bound = torch.full_like(one.bound, -torch.inf)
                one = self._improved(replace(one, weights=weights, bound=bound), FIRST_STEPS, FIRST_RATE)
            chosen.append(one)
        return Domains.cat(chosen) if chosen else domains

    def _leaves(self, domains: Domains) -> None:
        """Close decided domains by their linear programmes; those that resist stay open for good."""
        for place in range(len(domains)):
            self._effort.check()
            domain = domains.take(torch.tensor([place], device=domains.clause.device))
            if not self._solved(domain):
                self._stuck += 1
                self._lowest_stuck = min(self._lowest_stuck, float(domain.bound[0]))
                self.reason = "neurons are all split and a linear programme does not decide"

    def _solved(self, domain: Domains) -> bool:
        for price in PRICES:
            leaf = solved(self._problem, domain, price)
            if leaf is None:
                return False
            self._show(leaf.point[None])
            sure = self._problem.confirmed(leaf.domain, self._effort)
            if bool(sure[0] > 0):
                self._close(leaf.domain, sure)
                return True
        return False

    def _show(self, points: Tensor) -> None:
        """Replay points ``[k, inputs]`` that reach the unsafe set in float32."""
        if self._replay is None or self.witness is not None:
            return
        region = self._problem.layout.root.region
        low = step(outward(region.lower, torch.float32, down=False), down=False)
        high = step(outward(region.upper, torch.float32, down=True), down=True)
        points = points[:SHOWN].to(low).reshape(-1, *low.shape[1:])
        points = torch.minimum(torch.maximum(torch.minimum(points, high), low), region.upper.to(low))
        outputs = self._problem.layout.network.to(torch.float32).graph.forward(points).flatten(1)
        reached = self._unsafe.contains(outputs)
        if bool(reached.any()):
            self.witness = self._replay(points[reached])


def _levels(ranking: Ranking) -> Tensor:
    """Columns to split at once ``[n, levels]``: one, and more while the batch stays small."""
    levels = 1
    while levels < ranking.columns.shape[1] and len(ranking.columns) * 2 ** (levels + 1) <= SMALL:
        if not bool(ranking.usable[:, levels].all()):
            break
        levels += 1
    return ranking.columns[:, :levels]
