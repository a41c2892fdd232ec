"""Cases of one network, prepared: what is asked of every domain, how well it is answered, when the answer counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robust.properties import Property
from verifiers.branching.domains import Domains
from verifiers.branching.layout import Layout
from verifiers.branching.questions import Questions
from verifiers.branching.split_search import SplitSearch
from verifiers.certify import COMFORT, noise_at_middle
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort, chunk_rows
from verifiers.roundoff import rows_of

DECAY = 0.93
"""What a step of the search is of the one before it."""
ENOUGH = 1.02
"""The search is content when it exceeds the margin for rounding by this factor, and by ``COMFORT``."""


@dataclass(frozen=True, eq=False)
class Proved:
    """What is proved of domains; positive is a proof.

    Attributes:
        bound: float64 ``[n]``, over the real numbers, less the noise of the problem; or ``runs``, if that is better.
        runs: float64 ``[n]``, in every float32 run; minus infinity where bounds of inner neurons are not those of runs.
    """

    bound: Tensor
    runs: Tensor

    def take(self, rows: Tensor) -> Proved:
        """Of the domains at ``rows``, mask or indices."""
        return Proved(self.bound[rows], self.runs[rows])

    @classmethod
    def cat(cls, parts: Sequence[Proved]) -> Proved:
        """Of all domains, in order."""
        return cls(torch.cat([part.bound for part in parts]), torch.cat([part.runs for part in parts]))


@dataclass(frozen=True, eq=False)
class Problem:
    """What all domains share: ``c`` clauses, of cases over one or several input sets.

    Attributes:
        layout: of the network over the whole input sets.
        questions: float64 ``[c, m, outputs]``, the constraints of every clause, zeros behind shorter ones.
        offsets: float64 ``[c, m]``.
        present: bool ``[c, m]``.
        noise: float64 ``[c, m]``, by how much a bound must exceed zero to count: by what rounding typically does to a
            float32 run of the model (see ``noise_at_middle``).
        goal: float64 ``[c, m]``: where the search is content.
        sample: int64 ``[c]``, the input set of each clause.
        case: int64 ``[c]``, the case of each clause.
        number: int64 ``[c]``, which clause of its case it is.
    """

    layout: Layout
    questions: Tensor
    offsets: Tensor
    present: Tensor
    noise: Tensor
    goal: Tensor
    sample: Tensor
    case: Tensor
    number: Tensor

    @classmethod
    def of(cls, root: LinearBounds, cases: Sequence[Property], samples: Tensor) -> Problem:
        """All clauses of some cases.

        Args:
            root: float64 bounds of all nodes over the cases' input sets.
            cases: ``k`` of them.
            samples: int64 ``[k]``, the input set of each.
        """
        double, region = root.network, root.region
        asked = Questions.of(cases, region.lower.dtype, region.lower.device)
        case, number = torch.nonzero(asked.real.any(2), as_tuple=True)
        matrix, offset = (part.reshape(*asked.real.shape, *part.shape[2:]) for part in (asked.matrix, asked.offset))
        questions, offsets, sample = matrix[case, number], offset[case, number], samples[case]
        outputs = double.graph.forward((region.lower + region.upper) / 2).reshape(len(region), -1)
        magnitude = torch.bmm(questions.abs(), outputs.abs()[sample][:, :, None])[:, :, 0] + offsets.abs()
        noise = noise_at_middle(double, region.take(sample), questions)
        goal = ENOUGH * noise + COMFORT * magnitude
        present = asked.real[case, number]
        return cls(Layout.of(root), questions, offsets, present, noise, goal, sample, case, number)

    @classmethod
    def inner(cls, root: LinearBounds, index: int, places: Tensor) -> Problem:
        """Elements ``places [k]`` of a node, and after them their negatives, as ``2 k`` clauses of one constraint, over
        one input set."""
        layout = Layout.of(root, index)
        unit = torch.zeros(len(places), 1, root.network.graph.nodes[index].elements, dtype=torch.float64)
        unit = unit.to(places.device).scatter_(2, places[:, None, None], 1.0)
        questions = torch.cat([unit, -unit])
        zero, first = torch.zeros_like(questions[:, :, 0]), torch.zeros_like(places).repeat(2)
        present = torch.ones_like(zero, dtype=torch.bool)
        return cls(layout, questions, zero, present, zero, zero, first, first, places.repeat(2))

    def rows(self, effort: Effort) -> int:
        """How many domains fit into the budget at once."""
        return chunk_rows(self.layout.network.to(torch.float32), 1, effort)

    def start(self) -> Domains:
        """Whole input sets, once for each constraint of each clause."""
        clause, constraint = torch.nonzero(self.present, as_tuple=True)
        weights = torch.zeros(len(clause), self.present.shape[1], dtype=torch.float64, device=clause.device)
        weights[torch.arange(len(clause)), constraint] = 1.0
        lower, upper = (rows_of(end, self.sample[clause]).clone() for end in self.layout.compact())
        single = torch.zeros(len(clause), self.layout.width, dtype=torch.float32, device=clause.device)
        slopes = torch.full((len(clause), self.layout.slope_width), torch.nan, device=clause.device)
        bound = torch.full((len(clause),), -torch.inf, dtype=torch.float64, device=clause.device)
        leaf = torch.full_like(clause, -1)
        return Domains(clause, bound, leaf, lower, upper, single.to(torch.uint8), single, slopes, weights)

    def search(self, domains: Domains, effort: Effort, *, single: bool = True) -> SplitSearch:
        """The bounds of domains, from where their slopes and multipliers are."""
        questions, offsets = self.questions[domains.clause], self.offsets[domains.clause]
        samples = self.sample[domains.clause]
        return SplitSearch.over(self.layout, domains, samples, questions, offsets, effort, single=single)

    def wanted(self, domains: Domains) -> Tensor:
        """Where the search for each domain is content ``[n]``."""
        return (self.goal[domains.clause] * domains.weights).sum(1)

    def improve(self, domains: Domains, steps: int, rate: float, effort: Effort) -> Domains:
        """The domains with the best slopes, multipliers and weights that some steps find, and the bounds these give."""
        search, wanted = self.search(domains, effort), self.wanted(domains)
        best = torch.full_like(domains.bound, -torch.inf)
        slopes, multipliers, weights = domains.slopes.clone(), domains.multipliers.clone(), domains.weights
        for step in range(steps + 1):
            effort.check()
            found = search.bound().double()
            better = (found > best)[:, None]
            best = torch.maximum(found, best)
            for index, (places, columns) in self.layout.slopes.items():
                if index in search.starts and len(places) and index in search.choices:
                    now = search.choices[index].parameter[:, 0, places]  # type: ignore[union-attr]
                    slopes[:, columns] = torch.where(better, now.expand(len(best), -1), slopes[:, columns])
            for index, multiplier in search.multipliers.items():
                columns = self.layout.columns[index]
                multipliers[:, columns] = torch.where(better, multiplier.value, multipliers[:, columns])
            weights = torch.where(better, search.weights.double(), weights)
            if step == steps or bool((best > wanted).all()):
                break
            search.climb(rate)
            rate *= DECAY
        bound = torch.maximum(best, domains.bound)
        return replace(domains, bound=bound, slopes=slopes, multipliers=multipliers, weights=weights)

    def confirmed(self, domains: Domains, effort: Effort) -> Proved:
        """Bounds by one pass in float64 with the domains' slopes and multipliers, less all that it may have rounded."""
        effort.check()
        search = self.search(domains, effort, single=False)
        runs, reals = search.rounded()
        noise = (self.noise[domains.clause] * domains.weights).sum(1)
        total = domains.weights.sum(1).clamp_min(1.0)  # the best constraint exceeds zero by the mixture's share of it
        if not self.layout.root.runs:
            runs = torch.full_like(runs, -torch.inf)
        return Proved(torch.maximum(reals - noise, runs) / total, runs / total)
