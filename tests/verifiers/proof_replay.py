"""Proofs established again with the suite's own passes in float64: each leaf once, no search. A test, no checker."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.properties import Property
from verifiers.bound_stages import bound_margins
from verifiers.branching.box_margins import box_margins
from verifiers.branching.box_method import OVER_ZONOTOPES
from verifiers.branching.clipping import clipped
from verifiers.branching.domains import LOWER, UPPER, Domains
from verifiers.branching.layout import Layout
from verifiers.branching.problem import Problem
from verifiers.branching.questions import Questions
from verifiers.functions import Functions
from verifiers.interval import Bounds
from verifiers.memory import Effort
from verifiers.methods import METHODS
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region, region_of
from verifiers.roundoff import Roundoff

Arrays = Mapping[str, NDArray[Any]]
TOLERANCE = 1e-6
"""What another order of summation may change, as a share: of bounds, and of the estimated margins for rounding."""


class RejectedError(Exception):
    """What is wrong with a proof."""


def require(condition: bool, what: str) -> None:
    if not condition:
        raise RejectedError(what)


def replay(kind: str, arrays: Arrays, network: Network, case: Property) -> int:
    """Rows that were established; raises ``RejectedError``."""
    with torch.no_grad():
        double = network.to(torch.float64)
        if kind == "neurons":
            return _Neurons(arrays, double, case).run()
        return _Boxes(arrays, double, case).run()


class _Boxes:
    def __init__(self, arrays: Arrays, network: Network, case: Property) -> None:
        self.arrays, self.network, self.case = arrays, network, case
        self.questions = Questions.of([case], torch.float64, torch.device("cpu"))
        self.method = str(arrays["method"])
        self.varying = torch.from_numpy(arrays["varying"])
        self.column = {
            name: torch.from_numpy(arrays[name]) for name in ("lower", "upper", "cut_lower", "cut_upper", "bound")
        }
        self.inner: dict[int, dict[int, Bounds]] = {}

    def run(self) -> int:
        parent = self.arrays["parent"]
        whole = region_of([self.case.inputs]).to(torch.float64)
        self.low, self.high = whole.lower.flatten(1), whole.upper.flatten(1)
        first = parent.tolist()
        require(first.count(-1) == 1 and first[0] == -1, "one tree")
        require(all(above < row for row, above in enumerate(first)), "parents come first")
        if self.method in ("interval", "zonotope") or not len(self.varying):
            margin = bound_margins(self.network, [self.case], self.method)[0].reals
            require(len(parent) == 1 and margin > 0, "the whole set")
            return 1
        root = torch.equal(self.column["lower"][:1], self.low[:, self.varying])
        require(root and torch.equal(self.column["upper"][:1], self.high[:, self.varying]), "the root is the set")
        for row in range(len(parent)):
            self._row(row, np.flatnonzero(parent == row))
        return len(parent)

    def _row(self, row: int, children: NDArray[Any]) -> None:
        lower, upper = self.low.clone(), self.high.clone()
        lower[:, self.varying], upper[:, self.varying] = self.column["lower"][row], self.column["upper"][row]
        shape = (1, *self.network.graph.input_shape)
        region = Region(lower.reshape(shape), upper.reshape(shape))
        inherits = bool(self.arrays["inherits"][row])
        known = self.inner[int(self.arrays["parent"][row])] if inherits else {}
        method = replace(METHODS["crown"] if self.method == "crown" else OVER_ZONOTOPES, alone=True)
        roundoff = Roundoff(self.network, run=True)
        linear = propagate(self.network, region, method, Effort(), known=known, roundoff=roundoff)
        kept = (index for index in self.network.relaxed_operands if index not in self.network.affine_prefix)
        self.inner[row] = {index: linear.bounds[index] for index in kept}
        owner = torch.zeros(1, dtype=torch.int64)
        slopes, constants, toll = linear.lines(Functions.of(self.network.graph.output, self.questions.matrix))
        minimum = constants + region.minimum(slopes)
        margins = box_margins(self.questions, linear, toll.of_reals(minimum), toll.off(minimum), owner)[0][0]
        bound = float(self.column["bound"][row])
        if bound > 0:
            require(not len(children), "a leaf has no children")
            require(float(margins.min()) > 0, "a leaf is proved")
            require(bound <= float(margins.min()) * (1 + TOLERANCE) + 1e-8, "a leaf has its bound")
            return
        constants = toll.off(constants) - self.questions.offset
        fixed = torch.ones_like(lower[0], dtype=torch.bool).index_fill(0, self.varying, False)
        rest = slopes[:, :, fixed]
        constants = constants + torch.minimum(rest * lower[:, None, fixed], rest * upper[:, None, fixed]).sum(2)
        low, high = self._left(row, slopes[:, :, self.varying], constants, margins)
        cut_low, cut_high = self.column["cut_lower"][row], self.column["cut_upper"][row]
        if bool((low > high).any()):
            return
        slack = TOLERANCE * (self.column["upper"][row] - self.column["lower"][row])
        require(bool(((cut_low <= low + slack) & (cut_high >= high - slack)).all()), "a cut keeps what may be unsafe")
        require(_covered(cut_low, cut_high, self.column["lower"][children], self.column["upper"][children]), "a cover")

    def _left(self, row: int, slopes: Tensor, constants: Tensor, margins: Tensor) -> tuple[Tensor, Tensor]:
        rows, real = self.questions.rows, self.questions.real.flatten(1)
        constants = torch.where(real, constants, -torch.inf)
        box = self.column["lower"][row][None], self.column["upper"][row][None]
        lower, upper = torch.full_like(box[0][0], torch.inf), torch.full_like(box[0][0], -torch.inf)
        for clause, margin in enumerate(margins.tolist()):
            part = slice(clause * rows, (clause + 1) * rows)
            low, high = clipped(*box, slopes[:, part], constants[:, part])
            if margin <= 0 and not bool((low > high).any()):
                lower, upper = torch.minimum(lower, low[0]), torch.maximum(upper, high[0])
        return lower, upper


def _covered(low: Tensor, high: Tensor, lower: Tensor, upper: Tensor) -> bool:
    """Whether boxes cover a box: every cell of the grid of all their ends lies in one of them."""
    axes = []
    for place in range(len(low)):
        ends = torch.cat([low[place : place + 1], high[place : place + 1], lower[:, place], upper[:, place]])
        ends = torch.unique(ends[(ends >= low[place]) & (ends <= high[place])]).tolist()
        axes.append(list(itertools.pairwise(ends)) or [(ends[0], ends[0])])
    for cell in itertools.product(*axes):
        start, stop = (torch.tensor([side[end] for side in cell], dtype=torch.float64) for end in (0, 1))
        if not bool(((lower <= start) & (upper >= stop)).all(1).any()):
            return False
    return True


class _Neurons:
    def __init__(self, arrays: Arrays, network: Network, case: Property) -> None:
        self.arrays, self.network, self.case = arrays, network, case
        self.region = region_of([case.inputs]).to(torch.float64)
        self.questions = [tuple(row) for row in arrays["questions"].tolist()]

    def run(self) -> int:
        self._trees()
        clauses = [place for node, place, sign in self.questions if sign == 0]
        require(sorted(clauses) == list(range(len(self.case.unsafe.clauses))), "every clause is asked about once")
        entries: dict[int, list[int]] = {}
        for entry, row in enumerate(self.arrays["leaf"].tolist()):
            entries.setdefault(row, []).append(entry)
        parents = set(self.arrays["parent"].tolist())
        leaves = [row for row in range(len(self.arrays["parent"])) if row not in parents]
        for row in leaves:
            require(row in entries, "every leaf has its lines")
            question = int(self.arrays["question"][row])
            bound = max(self._bound(row, entry, question) for entry in entries[row])
            claimed = float(self.arrays["bound"][row])
            require(self.questions[question][2] != 0 or bound > 0, "a leaf of a clause is proved")
            require(claimed <= bound + TOLERANCE * max(1.0, abs(bound)), "a leaf has its bound")
        return len(leaves)

    def _trees(self) -> None:
        a = self.arrays
        children: dict[int, list[int]] = {}
        for row, parent in enumerate(a["parent"].tolist()):
            require(parent < row, "parents come first")
            children.setdefault(parent, []).append(row)
        roots = children.pop(-1)
        require(a["question"][roots].tolist() == list(range(len(self.questions))), "a root for each question")
        for parent, pair in children.items():
            require(len(pair) == 2 and a["side"][pair].tolist() == [0, 1], "both sides of a split")
            for name in ("node", "element", "threshold", "question"):
                require(a[name][pair[0]] == a[name][pair[1]], "both sides are of one split")
            require(a["question"][pair[0]] == a["question"][parent], "a tree stays with its question")

    def _problem(self, question: int) -> Problem:
        node, place, sign = self.questions[question]
        ground, start = int(self.arrays["ground"][question]), 0
        bounds: dict[int, Bounds] = {}
        for number, index, count in self.arrays["root"].tolist():
            if number == ground:
                shape = self.network.graph.nodes[index].batched(1)
                ends = (self.arrays[name][start : start + count] for name in ("root_lower", "root_upper"))
                bounds[index] = Bounds(*(torch.from_numpy(end.copy()).reshape(shape) for end in ends))
            start += count
        root = propagate(self.network, self.region, METHODS["interval"], Effort(), known=bounds)
        columns, slopes = (_grouped(self.arrays[name], ground) for name in ("columns", "slope_places"))
        places = {index: found for index, (found, _) in columns.items()}
        layout = Layout(root, node, places, {index: own for index, (_, own) in columns.items()}, slopes)
        if sign == 0:
            problem = Problem.of(root, [self.case], torch.zeros(1, dtype=torch.int64))
        else:
            problem = Problem.inner(root, node, torch.tensor([place]))
        return replace(problem, layout=layout)

    def _bound(self, row: int, entry: int, question: int) -> float:
        a, problem = self.arrays, self._problem(question)
        _, place, sign = self.questions[question]
        clause = torch.tensor([place if sign == 0 else (0 if sign == 1 else 1)])
        lower, upper = (end.clone() for end in problem.layout.compact())
        sides = torch.zeros_like(lower, dtype=torch.uint8)
        nodes, elements = problem.layout.origins
        while a["parent"][row] >= 0:
            column = torch.nonzero((nodes == int(a["node"][row])) & (elements == int(a["element"][row])))[0, 0]
            threshold = float(a["threshold"][row])
            if a["side"][row] == 0:
                upper[0, column] = min(float(upper[0, column]), threshold)
                sides[0, column] |= UPPER
            else:
                lower[0, column] = max(float(lower[0, column]), threshold)
                sides[0, column] |= LOWER
            row = int(a["parent"][row])
        multipliers = torch.zeros_like(lower, dtype=torch.float32)
        own = a["multiplier_leaf"] == entry
        multipliers[0, a["multiplier_column"][own].astype(np.int64)] = torch.from_numpy(a["multiplier"][own])
        slopes, weights = (self._piece(name, entry) for name in ("slope", "weight"))
        require(bool((weights >= 0).all()), "constraints are mixed with weights of at least 0")
        none = torch.zeros(1, dtype=torch.float64)
        parts = (clause, none, clause - 1, lower, upper, sides, multipliers, slopes, weights)
        return float(problem.confirmed(Domains(*parts), Effort()).bound[0])

    def _piece(self, name: str, entry: int) -> Tensor:
        counts = self.arrays[f"{name}_count"]
        start = int(counts[:entry].sum())
        return torch.from_numpy(self.arrays[f"{name}s"][start : start + int(counts[entry])].copy())[None]


def _grouped(rows: NDArray[Any], ground: int) -> dict[int, tuple[Tensor, slice]]:
    own, start = rows[rows[:, 0] == ground], 0
    result: dict[int, tuple[Tensor, slice]] = {}
    for node in dict.fromkeys(own[:, 1].tolist()):
        places = torch.from_numpy(own[own[:, 1] == node][:, 2].copy())
        result[node] = (places, slice(start, start + len(places)))
        start += len(places)
    return result
