"""The search over domains of many cases: those near a decision first, worst domains first, many at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from verifiers.branching.branching import Ranking, halves, rank
from verifiers.branching.domains import Domains, Pool
from verifiers.branching.exact_leaf import PRICES, solved
from verifiers.branching.neuron_tree import NeuronTree
from verifiers.branching.problem import Problem, Proved
from verifiers.branching.standings import Standings
from verifiers.branching.trial import TIE, Trial
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.memory import Effort, out_of_memory

FIRST_STEPS, STEPS = 40, 12
"""Steps of the search for a whole input set, and for a half."""
FIRST_RATE, RATE = 0.25, 0.15
TRIES = 6
"""Neurons that are tried for each split."""
SMALL = 32
"""While a batch has fewer domains than this, each is split by several neurons at once."""
LARGEST = 1024
"""Domains that go through a pass together, at most."""
QUICK, SLOW = 0.1, 0.3
"""Seconds of a pass below which the next batch may be larger, and above which it is made smaller."""
KEPT_BYTES = 64
"""Open domains may take so many times the budget for temporaries. From half of it on the largest bounds go first."""
Result = TypeVar("Result")
UNDECIDED = "neurons are all split and a linear programme does not decide"


class NeuronSearch:
    """Branch and bound over the cases of a problem.

    Args:
        problem: what is asked.
        standings: of its cases; outcomes go there.
        trial: takes points where relaxed networks are minimal.
        effort: limits.
        tree: takes the splits.
        counted: domains are counted, not seconds: batches do not depend on how long a pass takes.

    Attributes:
        standings: as given.
    """

    def __init__(
        self,
        problem: Problem,
        standings: Standings,
        trial: Trial,
        effort: Effort,
        tree: NeuronTree | None,
        *,
        counted: bool,
    ) -> None:
        self._problem, self.standings, self._trial = problem, standings, trial
        self._effort, self._tree, self._counted = effort, tree, counted
        self._pool = Pool(problem.start(), problem.case, len(standings.live))
        self._most = min(LARGEST, problem.rows(effort))
        self._rows = min(64, self._most)

    @property
    def open(self) -> list[int]:
        """The cases that are not decided."""
        return torch.nonzero(self.standings.live)[:, 0].tolist()

    def begin(self) -> None:
        """Bound the whole input sets, for every clause; what is not proved goes to the pool."""
        problem, start = self._problem, self._problem.start()
        if self._tree is not None:
            roots = self._tree.ask(problem.layout, problem.number, 0, problem.case, problem.sample).to(start.clause)
            start = replace(start, leaf=roots[start.clause])
        start = self._improved(start, FIRST_STEPS, FIRST_RATE)
        best = torch.full((len(problem.present),), -torch.inf, dtype=torch.float64, device=start.bound.device)
        sure, runs = (torch.full_like(start.bound, -torch.inf) for _ in range(2))
        promising = torch.nonzero(start.bound > 0)[:, 0]
        if len(promising):
            confirmed = self._confirmed(start.take(promising))
            sure[promising], runs[promising] = confirmed.bound, confirmed.runs
        best = best.scatter_reduce(0, start.clause, sure, "amax")
        top = (sure == best[start.clause]) & (sure > 0)
        self._close(start.take(top), Proved(sure[top], runs[top]))
        self._pool.put(self._mixed(start.take(best[start.clause] <= 0)))
        self.standings.begun(self._pool.worst)
        self._settle()

    def run(self, deadline: Deadline, most: int | None = None) -> None:
        """Split until every case is decided or has had its part, or time is up.

        Args:
            deadline: of this run.
            most: domains of each case, after which it waits for another run.

        Raises:
            OutOfTimeError: the effort's own time was up.
        """
        limit = KEPT_BYTES * self._effort.budget(self._problem.layout.network.graph.device)
        while not deadline.expired:
            left = self._left(most)
            if not bool((left > 0).any()):
                return
            if self._pool.bytes > limit:
                self._give_up(int(self._pool.counts.argmax()), "open domains take too much memory")
            else:
                self._round(left, nearest=self._pool.bytes > limit // 2)

    def stop(self, reason: str, least: int = 0) -> None:
        """Give up all cases that are not decided, of which at least so many domains were bounded."""
        for case in self.open:
            if int(self.standings.count[case]) >= least:
                self._give_up(case, reason)

    def _left(self, most: int | None) -> Tensor:
        """How many domains of each case may be split now: int64 ``[cases]``."""
        open_ = self._pool.counts
        if most is None:
            return open_
        return torch.minimum(open_, (most - self.standings.count + 1).clamp_min(0) // 2)

    def _round(self, left: Tensor, *, nearest: bool) -> None:
        turn = self.standings.turn(self._pool.counts, self._pool.worst)
        taken = self._pool.pop(max(1, self._rows // 2), turn, left, nearest=nearest)
        try:
            parts = self._split(taken)
        except (OutOfTimeError, RuntimeError):
            self._pool.put(self._living(taken))
            raise
        self._pool.put(self._living(parts))
        self._settle()

    def _split(self, domains: Domains) -> Domains:
        """What is left open of domains after splitting each."""
        ranking = self._fitting(lambda part: rank(self._problem, part, TRIES, 2 * self._rows, self._effort), domains)
        if ranking is None:
            return domains
        self._show(ranking.points, domains)
        usable = ranking.usable[:, 0]
        self._leaves(domains.take(~usable))
        usable = usable & self.standings.live[self._problem.case[domains.clause]]
        if not bool(usable.any()):
            return domains.take(usable)
        chosen = domains.take(usable)
        columns = _levels(replace(ranking, columns=ranking.columns[usable], usable=ranking.usable[usable]))
        parts = self._improved(halves(self._problem, chosen, columns, self._tree), STEPS, RATE)
        open_ = parts.bound <= self._problem.wanted(parts)
        promising = torch.nonzero(~open_)[:, 0]
        if len(promising):
            sure = self._confirmed(parts.take(promising))
            proved = sure.bound > 0
            open_[promising] = ~proved
            self._close(parts.take(promising[proved]), sure.take(proved))
        return parts.take(open_)

    def _improved(self, domains: Domains, steps: int, rate: float) -> Domains:
        """Domains with better bounds; batches grow, and shrink where a pass takes long."""
        parts, start = [domains.take(slice(0, 0))], 0
        while start < len(domains):
            part = domains.take(slice(start, start + self._rows))
            clock = time.monotonic()
            found = self._fitting(lambda part: self._problem.improve(part, steps, rate, self._effort), part)
            if found is None:
                continue
            parts.append(found)
            seconds = 0.0 if self._counted else (time.monotonic() - clock) / (2 * steps + 1)
            start += len(part)
            if seconds < QUICK and len(part) == self._rows:
                self._rows = min(2 * self._rows, self._most)
            elif seconds > SLOW:
                self._rows = max(1, self._rows // 2)
        self.standings.bounded(self._problem.case[domains.clause])
        return Domains.cat(parts)

    def _confirmed(self, domains: Domains) -> Proved:
        """Bounds in float64, in batches half as large."""
        parts, start = [Proved(domains.bound[:0], domains.bound[:0])], 0
        while start < len(domains):
            part = domains.take(slice(start, start + max(1, self._rows // 2)))
            found = self._fitting(lambda part: self._problem.confirmed(part, self._effort), part)
            if found is not None:
                parts.append(found)
                start += len(part)
        return Proved.cat(parts)

    def _fitting(self, call: Callable[[Domains], Result], domains: Domains) -> Result | None:
        """What ``call`` makes of domains; None, and smaller batches from now on, where memory does not suffice."""
        try:
            return call(domains)
        except RuntimeError as error:
            if not out_of_memory(error) or len(domains) == 1:
                raise
            self._most = self._rows = max(1, len(domains) // 2)
            return None

    def _close(self, domains: Domains, sure: Proved) -> None:
        self.standings.closed(self._problem.case[domains.clause], sure.bound, sure.runs > 0)
        if self._tree is not None and len(domains):
            self._tree.close(domains, sure.bound)

    def _mixed(self, domains: Domains) -> Domains:
        """One domain per clause: its best constraint, and where there are several, some of each."""
        order = domains.bound.argsort(descending=True, stable=True)
        order = order[domains.clause[order].argsort(stable=True)]
        clause = domains.clause[order]
        first = torch.ones_like(clause, dtype=torch.bool)
        first[1:] = clause[1:] != clause[:-1]
        best = domains.take(order[first])
        present = self._problem.present[best.clause].double()
        several = present.sum(1) > 1
        mixed, present = best.take(several), present[several]
        weights = 0.7 * mixed.weights + 0.3 * present / present.sum(1, keepdim=True)
        mixed = replace(mixed, weights=weights, bound=torch.full_like(mixed.bound, -torch.inf))
        return Domains.cat([best.take(~several), self._improved(mixed, FIRST_STEPS, FIRST_RATE)])

    def _leaves(self, domains: Domains) -> None:
        """Close decided domains by their linear programmes; those that resist stay open for good."""
        for place in range(len(domains)):
            self._effort.check()
            domain = domains.take(slice(place, place + 1))
            case = int(self._problem.case[domain.clause])
            if self.standings.live[case] and not self._solved(domain):
                self.standings.stuck(case, float(domain.bound), UNDECIDED)

    def _solved(self, domain: Domains) -> bool:
        for price in PRICES:
            leaf = solved(self._problem, domain, price)
            if leaf is None:
                return False
            self._show(leaf.point[None], domain)
            sure = self._problem.confirmed(leaf.domain, self._effort)
            if bool(sure.bound[0] > 0):
                self._close(leaf.domain, sure)
                return True
        return False

    def _show(self, points: Tensor, domains: Domains) -> None:
        """Try points ``[n, inputs]`` of domains; cases that one of them settles leave."""
        alive = self.standings.live[self._problem.case[domains.clause]]
        if not bool(alive.any()):
            return
        witnesses, ties = self._trial(points[alive], domains.clause[alive])
        for case in sorted({*witnesses, *ties}):
            own = domains.bound[self._problem.case[domains.clause] == case]
            open_, worst = int(self._pool.counts[case]) + len(own), min(float(self._pool.worst[case]), float(own.min()))
            if case in witnesses:
                self.standings.falsified(case, witnesses[case], open_, worst)
            else:
                self.standings.stopped(case, TIE, open_, worst)
            self._pool.drop(case)

    def _living(self, domains: Domains) -> Domains:
        return domains.take(self.standings.live[self._problem.case[domains.clause]])

    def _settle(self) -> None:
        """Cases of which nothing is left to be split leave."""
        for case in torch.nonzero(self.standings.live & (self._pool.counts == 0))[:, 0].tolist():
            self.standings.ended(case)

    def _give_up(self, case: int, reason: str) -> None:
        self.standings.stopped(case, reason, int(self._pool.counts[case]), float(self._pool.worst[case]))
        self._pool.drop(case)


def _levels(ranking: Ranking) -> Tensor:
    """Columns to split at once ``[n, levels]``: one, and more while the batch stays small."""
    levels = 1
    while levels < ranking.columns.shape[1] and len(ranking.columns) * 2 ** (levels + 1) <= SMALL:
        if not bool(ranking.usable[:, levels].all()):
            break
        levels += 1
    return ranking.columns[:, :levels]
