"""Complete verification by splitting neurons: branch and bound over the signs (or intervals) of single neurons."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robust.properties import Property
from robust.record.answer import Verdict
from verifiers.branching.branching import halves, rank
from verifiers.branching.domains import Domains, Pool
from verifiers.branching.outcome import Outcome
from verifiers.branching.problem import Problem
from verifiers.branching.refine import refined
from verifiers.branching.root import root_bounds
from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.margins import require_fit
from verifiers.memory import Effort, out_of_memory
from verifiers.network import Network
from verifiers.region import region_of

REFINE = 0.3
ROOT_STEPS = 20
FIRST_STEPS = 40
STEPS = 12
RATE, LATER_RATE = 0.25, 0.15
TRIES = 6


def split_neurons(
    network: Network,
    case: Property,
    deadline: Deadline,
    *,
    replay: Callable[[Tensor], Tensor | None] | None = None,
    effort: Effort | None = None,
    keep_proof: bool = False,
) -> Outcome:
    limits = replace(effort or Effort(), expired=lambda: deadline.expired)
    run = None
    try:
        with torch.no_grad():
            require_fit(network.graph, case)
            region = region_of([case.inputs]).to(torch.float64, network.graph.device)
            t=time.time()
            root = root_bounds(network.to(torch.float64), region, limits, ROOT_STEPS)
            t1=time.time()
            run = _Run(Problem.of(root, case), limits, replay)
            run.begin()
            if _Run.verbose: print("root %.1f s" % (t1-t), "width", run.problem.layout.width, "worst", run.lowest, "open", len(run.pool))
            if len(run.pool) and REFINE:
                t=time.time()
                root = refined(root, limits, REFINE * deadline.left, ROOT_STEPS)
                run = _Run(Problem.of(root, case), limits, replay)
                run.begin()
                if _Run.verbose: print("refined %.1f s" % (time.time()-t), "width", run.problem.layout.width, "worst", run.lowest, "open", len(run.pool))
            while len(run.pool) and run.witness is None:
                run.round()
    except OutOfTimeError:
        pass
    if run is None:
        return Outcome(Verdict.UNKNOWN, "time ran out at the root")
    if run.witness is not None:
        return Outcome(Verdict.FALSIFIED, "found", domains=run.count, witness=run.witness)
    if deadline.expired or run.stuck:
        return Outcome(Verdict.UNKNOWN, "open", run.lowest, run.count, len(run.pool) + run.stuck)
    return Outcome(Verdict.VERIFIED, "proved", run.lowest, run.count, 0)


@dataclass(eq=False)
class _Run:
    problem: Problem
    effort: Effort
    replay: object
    count: int = 0
    stuck: int = 0
    closed: float = math.inf
    witness: Tensor | None = None
    log: list = field(default_factory=list)
    rows: int = 64
    verbose = False

    def begin(self):
        start = self.problem.start()
        self.pool = Pool(start)
        start = self.bounded(start, FIRST_STEPS, RATE)
        self.clock = {}
        ok = self.problem.confirmed(start, self.effort) > 0
        done = set(start.clause[ok].tolist())
        keep = []
        for clause in set(start.clause.tolist()) - done:
            rows = torch.nonzero(start.clause == clause)[:, 0]
            best = rows[start.bound[rows].argmax()]
            one = start.take(best[None])
            if len(rows) > 1:
                one.weights.mul_(0.7).add_(self.problem.present[clause].double() * 0.3 / len(rows))
                one = replace(one, bound=one.bound.clone().fill_(-math.inf))
                one = self.bounded(one, FIRST_STEPS, RATE)
            keep.append(one)
        if keep:
            self.pool.put(Domains.cat(keep))

    @property
    def lowest(self):
        return min(self.closed, self.pool.worst)

    def bounded(self, domains, steps, rate):
        parts = []
        for rows in torch.split(torch.arange(len(domains)), self.problem.rows(self.effort)):
            parts.append(self.problem.improve(domains.take(rows), steps, rate, self.effort))
        self.count += len(domains)
        return Domains.cat(parts)

    def round(self):
        t0 = time.time()
        rows = min(self.problem.rows(self.effort), 512)
        popped = self.pool.pop(max(1, rows // 2))
        try:
            ranking = rank(self.problem, popped, TRIES, rows, self.effort)
            t1 = time.time()
            if not bool(ranking.usable[:, 0].all()):
                self.stuck += int((~ranking.usable[:, 0]).sum())
                keep = ranking.usable[:, 0]
                popped = popped.take(keep)
                ranking = replace(ranking, columns=ranking.columns[keep], usable=ranking.usable[keep])
                if not len(popped):
                    return
            levels = 1
            while levels < ranking.columns.shape[1] and len(popped) * 2 ** (levels + 1) <= 32 and bool(ranking.usable[:, levels].all()):
                levels += 1
            parts = halves(self.problem, popped, ranking.columns[:, :levels])
            found = self.bounded(parts, STEPS, LATER_RATE)
            t2 = time.time()
            promising = found.bound > self.problem.wanted(found)
            open_ = ~promising
            if bool(promising.any()):
                good = torch.nonzero(promising)[:, 0]
                confirmed = self.problem.confirmed(found.take(good), self.effort)
                failed = confirmed <= 0
                open_[good[failed]] = True
                if bool(failed.any()): print("FAILED", int(failed.sum()), found.bound[good[failed]][:3], confirmed[failed][:3])
                self.closed = min([self.closed, *confirmed[~failed].tolist()])
            self.pool.put(found.take(open_))
        except OutOfTimeError:
            self.pool.put(popped)
            raise
        if self.verbose:
            print(f"   {len(popped)} -> {len(found)} levels {levels}, open {int(open_.sum())}, pool {len(self.pool)}, worst {self.pool.worst:.4f} count {self.count} rank {t1-t0:.2f} bound {t2-t1:.2f} confirm {time.time()-t2:.2f}", flush=True)
