"""Trees of splits of neurons: that both sides are there, and that no leaf holds an unsafe point.

A leaf is where some neurons lie on given sides of thresholds. A backward pass with the proof's slopes and multipliers
bounds its clause's mixture of constraints there; whatever slopes, multipliers and weights are given, the pass makes
something valid of them, or nothing. Bounds over the whole input set are this checker's own, tightened by the trees that
the proof has for single neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.checker.bounds import Bounds, below, bound, gamma
from robust.checker.program import Program
from robust.checker.proof import Column
from robust.checker.questions import Case
from robust.checker.verdict import InvalidError, NotEstablishedError

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
CHUNK = 64


@dataclass(frozen=True)
class Naming:
    """The proof's numbers of nodes -> steps of the program.

    Attributes:
        operands: of a node that a function reads.
        functions: of a node that is a function.
    """

    operands: Mapping[int, int]
    functions: Mapping[int, int]

    @classmethod
    def of(cls, nodes: Any, program: Program) -> Naming:
        """Functions are paired in order; a wrong pair cannot make a wrong proof, only none.

        Raises:
            NotEstablishedError: the proof's functions are others than the program's.
        """
        own = [place for place, step in enumerate(program.steps) if step.kind not in ("input", "affine")]
        try:
            theirs = [
                (place, int(node["inputs"][0]), int(node["elements"]))
                for place, node in enumerate(nodes)
                if node["kind"] not in ("input", "affine")
            ]
        except (TypeError, KeyError, ValueError, IndexError) as error:
            raise InvalidError("the header", f"its nodes are no list of nodes: {error}") from error
        if [size for _, _, size in theirs] != [program.steps[place].size for place in own]:
            raise NotEstablishedError("the network", "the proof's functions are others than this checker's")
        pairs = list(zip(theirs, own, strict=True))
        operands = {operand: program.steps[step].sources[0] for (_, operand, _), step in pairs}
        return cls(operands, {place: step for (place, _, _), step in pairs})


@dataclass(eq=False)
class Tree:
    """Its rows, all in memory: a few numbers each.

    Attributes:
        columns: ``parent``, ``side``, ``node``, ``element``, ``threshold``, ``question``, each ``[r]``.
    """

    columns: Mapping[str, NDArray[Any]]

    def leaves(self, questions: int, where: str) -> Places:
        """Rows without children.

        Raises:
            InvalidError: the rows are no trees of splits into two sides, one for each question.
        """
        parent = self.columns["parent"].astype(np.int64)
        count = len(parent)
        roots = np.flatnonzero(parent == -1)
        if (parent < -1).any() or (parent >= np.arange(count)).any():
            raise InvalidError(where, "its rows are no trees, each after its parent")
        question = self.columns["question"].astype(np.int64)
        if question[roots].tolist() != list(range(questions)):
            raise InvalidError(where, "there is no root for each question")
        children = np.flatnonzero(parent >= 0)
        order = children[np.argsort(parent[children], kind="stable")]
        if len(order) % 2 or (np.bincount(parent[children], minlength=count) % 2).any():
            raise InvalidError(where, "a split has no two sides")
        one, other = order[0::2], order[1::2]
        same = [
            np.array_equal(self.columns[name][one], self.columns[name][other])
            for name in ("parent", "node", "element", "threshold")
        ]
        sides = self.columns["side"]
        if not (all(same) and (sides[one] == 0).all() and (sides[other] == 1).all()):
            raise InvalidError(where, "a split has no two sides")
        if len(np.unique(parent[one])) != len(one) or (question[order] != question[parent[order]]).any():
            raise InvalidError(where, "a split has more than two sides, or a part leaves its question")
        if not np.isfinite(self.columns["threshold"][children].astype(np.float64)).all():
            raise InvalidError(where, "a threshold is no finite number")
        return np.setdiff1d(np.arange(count), parent[children])

    def limits(self, row: int) -> list[tuple[int, int, int, float]]:
        """Node, element, side and threshold of all splits above a row."""
        found = []
        names = ("node", "element", "side", "threshold")
        while self.columns["parent"][row] >= 0:
            node, element, side, threshold = (self.columns[name][row] for name in names)
            found.append((int(node), int(element), int(side), float(threshold)))
            row = int(self.columns["parent"][row])
        return found


@dataclass(eq=False)
class Neurons(Case):
    """A case whose proof is trees of splits of neurons.

    Attributes:
        columns: of the trees, by name.
        naming: of nodes.
    """

    columns: Mapping[str, Column] = field(kw_only=True)
    naming: Naming = field(kw_only=True)
    whole: Bounds = field(init=False)

    def check(self) -> None:
        """Establish the case.

        Raises:
            InvalidError: the trees are none.
            NotEstablishedError: a leaf is not proved.
        """
        names = ("parent", "side", "node", "element", "threshold", "question")
        tree = Tree({name: self.columns[name].whole() for name in names})
        self.asked = self.columns["questions"].whole().astype(np.int64)
        self.ground = self.columns["ground"].whole().astype(np.int64)
        if self.asked.ndim != 2 or self.asked.shape[1:] != (3,) or len(self.ground) != len(self.asked):
            raise InvalidError(self.where, "its questions are no list of three numbers each")
        leaves = tree.leaves(len(self.asked), self.where)
        clauses = self.asked[self.asked[:, 2] == 0, 1]
        if sorted(clauses.tolist()) != list(range(self.questions.count)):
            raise InvalidError(self.where, "not every clause is asked about once")
        with np.errstate(all="ignore"):
            self.whole = bound(self.program, self.lower[None], self.upper[None])
            self._entries(tree, leaves)
        self.rows = len(leaves)

    def _entries(self, tree: Tree, leaves: Places) -> None:
        leaf = self.columns["leaf"].whole().astype(np.int64)
        question = tree.columns["question"].astype(np.int64)
        if ((leaf < 0) | (leaf >= len(question))).any():
            raise InvalidError(self.where, "an entry is of no row")
        best = np.full(len(question), -np.inf)
        grounds, start, used = self.ground[question[leaf]], 0, 0
        places = _Places.of(self.columns)
        while start < len(leaf):
            ground = grounds[start]
            stop = start + int(np.argmax([*(grounds[start : start + CHUNK] != ground), True]))
            if ground > used:
                self._learn(best, leaves, question, used)
                used = int(ground)
            found = self._bounds(tree, leaf[start:stop], int(ground), start, places)
            np.maximum.at(best, leaf[start:stop], found)
            start = stop
        wrong = [row for row in leaves if self.asked[question[row], 2] == 0 and not best[row] > 0]
        if wrong:
            raise NotEstablishedError(f"{self.where}, leaf {wrong[0]}", f"a bound of {best[wrong[0]]:.3g} is no proof")
        proved = [best[row] for row in leaves if self.asked[question[row], 2] == 0]
        self.smallest = float(min(proved, default=np.inf))

    def _learn(self, best: Numbers, leaves: Places, question: Places, ground: int) -> None:
        """Bounds of neurons over the whole set that trees on the grounds so far have proved."""
        smallest = np.full(len(self.asked), np.inf)
        np.minimum.at(smallest, question[leaves], best[leaves])
        known = {step: (low.copy(), high.copy()) for step, (low, high) in self._ends().items()}
        for place, (node, element, sign) in enumerate(self.asked.tolist()):
            step = self.naming.operands.get(node)
            if sign == 0 or step is None or self.ground[place] > ground or not np.isfinite(smallest[place]):
                continue
            if not 0 <= element < self.program.steps[step].size or sign not in (1, -1):
                raise InvalidError(self.where, "a question is about no neuron")
            low, high = known[step]
            if sign > 0:
                low[0, element] = max(low[0, element], smallest[place])
            else:
                high[0, element] = min(high[0, element], -smallest[place])
        self.whole = bound(self.program, self.lower[None], self.upper[None], known)

    def _ends(self) -> dict[int, tuple[Numbers, Numbers]]:
        steps = set(self.naming.operands.values())
        return {step: (self.whole.lower[step], self.whole.upper[step]) for step in steps if step}

    def _bounds(self, tree: Tree, rows: Places, ground: int, start: int, places: _Places) -> Numbers:
        """Lower bounds ``[n]`` of what is asked on leaves, with what their entries say; a leaf without points has
        infinity."""
        count = len(rows)
        found, empty = self._domains(tree, rows)
        chosen = self._slopes(ground, count, places)
        shifts = self._multipliers(ground, start, count, places)
        asked = tree.columns["question"][rows].astype(np.int64)
        result = np.full(count, -np.inf)
        weights = self._weights(count)
        kinds = [(node, -1 if sign else place) for node, place, sign in self.asked[asked].tolist()]
        for kind in dict.fromkeys(kinds):
            own = np.array([other == kind for other in kinds])
            result[own] = self._asked(found, self.asked[asked[own]], weights[own], own, chosen, shifts)
        result[empty] = np.inf
        return result

    def _domains(self, tree: Tree, rows: Places) -> tuple[Bounds, NDArray[np.bool_]]:
        count = len(rows)
        lower = {step: np.repeat(low, count, 0) for step, low in self.whole.lower.items() if step in self._ends()}
        upper = {step: np.repeat(high, count, 0) for step, high in self.whole.upper.items() if step in lower}
        for place, row in enumerate(rows.tolist()):
            for node, element, side, threshold in tree.limits(row):
                step = self.naming.operands.get(node)
                if step is None or step not in lower or not 0 <= element < lower[step].shape[1]:
                    raise NotEstablishedError(f"{self.where}, row {row}", "it splits what no function reads")
                if side:
                    lower[step][place, element] = max(lower[step][place, element], threshold)
                else:
                    upper[step][place, element] = min(upper[step][place, element], threshold)
        empty = np.zeros(count, bool)
        for step, low in lower.items():
            empty |= np.asarray((low > upper[step]).any(1))
        whole_lower, whole_upper = self.whole.lower, self.whole.upper
        lower = {**{step: np.broadcast_to(v, (count, v.shape[1])) for step, v in whole_lower.items()}, **lower}
        upper = {**{step: np.broadcast_to(v, (count, v.shape[1])) for step, v in whole_upper.items()}, **upper}
        return Bounds(self.program, lower, upper, self.whole.charges), empty

    def _slopes(self, ground: int, count: int, places: _Places) -> dict[int, Numbers]:
        own = places.slopes[places.slopes[:, 0] == ground]
        table = _table(self.columns["slopes"], self.columns["slope_count"], count, len(own), self.where)
        result: dict[int, Numbers] = {}
        for node in np.unique(own[:, 1]).tolist():
            step = self.naming.functions.get(node)
            if step is None:
                continue
            at = own[:, 1] == node
            values = np.full((count, self.program.steps[step].size), np.nan)
            values[:, self._elements(own[at, 2], step)] = table[:, at]
            result[step] = values
        return result

    def _multipliers(self, ground: int, start: int, count: int, places: _Places) -> dict[int, Numbers]:
        own = places.columns[places.columns[:, 0] == ground]
        first, last = np.searchsorted(places.leaf, [start, start + count])
        leaf, column = places.leaf[first:last] - start, places.column[first:last]
        values = places.multiplier[first:last].astype(np.float64)
        if ((column < 0) | (column >= len(own))).any() or not np.isfinite(values).all():
            raise InvalidError(self.where, "a multiplier belongs to no neuron, or is no finite number")
        result: dict[int, Numbers] = {}
        for node in np.unique(own[column, 1]).tolist():
            step = self.naming.operands.get(node)
            if step is None:
                raise NotEstablishedError(self.where, "a multiplier is of what no function reads")
            at = own[column, 1] == node
            table = result.setdefault(step, np.zeros((count, self.program.steps[step].size)))
            table[leaf[at], self._elements(own[column[at], 2], step)] = values[at]
        return result

    def _elements(self, places: Places, step: int) -> Places:
        """Places in a step's value, none of them beyond its end."""
        size = self.program.steps[step].size
        if (places >= size).any():
            raise InvalidError(self.where, f"a place {int(places.max())} in a value of {size} elements")
        return places

    def _weights(self, count: int) -> Numbers:
        counts = self.columns["weight_count"].next(count).astype(np.int64)
        if (counts != counts[0]).any() or not 0 <= counts[0] < 2**20:
            raise InvalidError(self.where, "entries of one batch have mixtures of different sizes")
        flat = self.columns["weights"].next(int(counts.sum()))
        return np.asarray(flat, np.float64).reshape(count, int(counts[0]))

    def _asked(
        self, found: Bounds, asked: Places, weights: Numbers, own: NDArray[np.bool_],
        chosen: Mapping[int, Numbers], shifts: Mapping[int, Numbers],
    ) -> Numbers:  # fmt: skip
        node, place, sign = asked[0].tolist()
        part = Bounds(
            self.program,
            {step: values[own] for step, values in found.lower.items()},
            {step: values[own] for step, values in found.upper.items()},
            found.charges,
        )
        chosen = {step: values[own] for step, values in chosen.items()}
        shifts = {step: values[own] for step, values in shifts.items()}
        if sign:
            step = self.naming.operands.get(node)
            if step is None or ((asked[:, 1] < 0) | (asked[:, 1] >= self.program.steps[step].size)).any():
                raise InvalidError(self.where, "a question is about no neuron")
            functions = np.zeros((len(weights), 1, self.program.steps[step].size))
            functions[np.arange(len(weights)), 0, asked[:, 1]] = np.sign(asked[:, 2])
            offset, error = np.zeros(len(weights)), np.zeros(len(weights))
        else:
            step = self.program.output
            functions, offset, error = self._mixture(place, weights, part)
        slopes, constants = below(part, step, functions, chosen, shifts)
        lower, upper = part.lower[0], part.upper[0]
        least = constants[:, 0] + np.where(slopes[:, 0] > 0, slopes[:, 0] * lower, slopes[:, 0] * upper).sum(1)
        least = least - offset - gamma(8) * (np.abs(least) + np.abs(offset)) - error
        total = np.maximum(1.0, weights.sum(1)) if sign == 0 else 1.0
        bounds: Numbers = least / total
        return np.nan_to_num(bounds, nan=-np.inf, posinf=-np.inf, neginf=-np.inf)

    def _mixture(self, clause: int, weights: Numbers, part: Bounds) -> tuple[Numbers, Numbers, Numbers]:
        """The constraints of a clause mixed: functions ``[n, 1, outputs]``, offsets and errors ``[n]``."""
        rows = self.questions.rows[self.questions.clause == clause]
        offsets = self.questions.offsets[self.questions.clause == clause]
        if weights.shape[1] < len(rows):
            raise InvalidError(self.where, f"a mixture of {weights.shape[1]} weights for {len(rows)} constraints")
        if not (weights >= 0).all() or not np.isfinite(weights).all() or (weights[:, len(rows) :] != 0).any():
            raise InvalidError(self.where, "constraints are mixed with weights of at least 0, one each")
        weights = weights[:, : len(rows)]
        size = part.largest(self.program.output) @ np.abs(rows).T + np.abs(offsets)
        error = gamma(len(rows) + 12) * (weights * size).sum(1)
        return (weights @ rows)[:, None], weights @ offsets, error


@dataclass(frozen=True, eq=False)
class _Places:
    """Where slopes and multipliers belong."""

    slopes: Places
    columns: Places
    leaf: Places
    column: Places
    multiplier: NDArray[np.float32]

    @classmethod
    def of(cls, columns: Mapping[str, Column]) -> _Places:
        tables = [columns[name].whole().astype(np.int64) for name in ("slope_places", "columns")]
        if any(table.ndim != 2 or table.shape[1:] != (3,) or (table < 0).any() for table in tables):
            raise InvalidError("places", "they are no lists of three numbers each")
        leaf, column = (columns[f"multiplier_{name}"].whole().astype(np.int64) for name in ("leaf", "column"))
        value = columns["multiplier"].whole()
        if not len(leaf) == len(column) == len(value) or (np.diff(leaf) < 0).any():
            raise InvalidError("multipliers", "they are no list in the order of entries")
        return cls(tables[0], tables[1], leaf, column, value.astype(np.float32))


def _table(values: Column, counts: Column, rows: int, width: int, where: str) -> Numbers:
    if (counts.next(rows).astype(np.int64) != width).any():
        raise InvalidError(where, f"an entry has other than {width} slopes")
    return values.next(rows * width).astype(np.float64).reshape(rows, width)
