"""The exact verifier: rigorous bounds first, Z3 for what they leave open, the real model for every counterexample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from robust.errors import GraphError, SubjectError
from robust.graph import Graph
from robust.properties import Halfspaces, Property
from robust.properties.lattice import LatticeBox
from robust.record import Meanings, Verdict, VerdictResult
from verifiers.margins import require_fit
from verifiers.smt.emit import Constraint, smtlib
from verifiers.smt.encode import UNIT_32, Encoding, Size, TooLargeError, encode
from verifiers.smt.guess import descend
from verifiers.smt.program import Row
from verifiers.smt.solver import Limits, Solver

ARITHMETIC = "exact rational arithmetic of the stored weights, with a margin for float32 rounding in any order of sums"
Replay = Callable[[Tensor], Tensor]
"""From inputs ``[n, *input_shape]`` to the real model's outputs ``[n, outputs]``."""
TRIED = 16
"""Points at which the real model is compared with exact arithmetic before anything is said of it."""
BOTH = Meanings(Verdict.VERIFIED, Verdict.VERIFIED)
DIGITS = (5, 9, None)
"""Binary digits of the coefficients in the questions that are asked one after the other; None for the exact one."""


class SmtVerifier:
    """Z3 (de Moura and Bjorner 2008) on the exact piecewise linear network, after Katz et al. 2017 (section 1).

    Each clause of the unsafe set is one question. It is widened by a proved bound of the difference between float32
    and exact arithmetic before it is asked, so that VERIFIED holds in both; a counterexample is rounded to float32 and
    replayed on the real model. What is reached only within that difference is UNKNOWN unless a point replays.

    An L2 ball is verified over its bounding box, and falsified only by a point of the ball itself. Of a ``LatticeBox``
    only its points are asked about: whole numbers are integers to Z3.

    Args:
        replay: the real model; None replays on the operation graph in its own arithmetic.
        limits: per question.
        size: of the networks it tries.
        guess: descend on the graph for a counterexample before Z3 is asked.
    """

    def __init__(
        self,
        *,
        replay: Replay | None = None,
        limits: Limits | None = None,
        size: Size | None = None,
        guess: bool = True,
    ) -> None:
        self.replay = replay
        self.limits = limits or Limits()
        self.size = size or Size()
        self.guess = guess

    def __repr__(self) -> str:
        return f"SmtVerifier(limits={self.limits!r}, size={self.size!r}, guess={self.guess!r})"

    @property
    def name(self) -> str:
        """``z3``."""
        return "z3"

    def verify(self, graph: Graph, properties: Sequence[Property]) -> list[VerdictResult]:
        """One answer per property, in their order.

        Raises:
            PropertyError: a property does not fit the network's shapes.
        """
        for item in properties:
            require_fit(graph, item)
        with Solver(self.limits) as solver:
            return [self._one(graph, item, solver) for item in properties]

    def _one(self, graph: Graph, item: Property, solver: Solver) -> VerdictResult:
        try:
            encoding = encode(graph, item.inputs.bounding_box(), self.size)
        except (GraphError, SubjectError, TooLargeError) as error:
            return _unknown(f"{error.message}; Z3 was not started")
        question = _Question(graph, item, encoding, solver, self.replay or graph.forward, self.guess)
        return question.answer()


class _Question:
    """One property of one network, clause by clause."""

    def __init__(
        self, graph: Graph, item: Property, encoding: Encoding, solver: Solver, replay: Replay, guess: bool
    ) -> None:
        self.graph, self.item, self.encoding, self.solver = graph, item, encoding, solver
        self.real, self.guess = replay, guess
        self.program = encoding.program
        self.box = item.inputs.bounding_box()
        self.lattice = item.inputs if isinstance(item.inputs, LatticeBox) else None

    def answer(self) -> VerdictResult:
        open_clauses, margin = [], float("inf")
        for clause in self.item.unsafe.clauses:
            excluded = self._excluded_by(clause)
            margin = min(margin, excluded)
            if excluded <= 0:
                open_clauses.append(clause)
        if strange := self._strange():
            return _unknown(strange)
        if not open_clauses:
            finite = margin if np.isfinite(margin) else None
            return _verified("linear bounds exclude every unsafe clause; Z3 had nothing left to decide", finite)
        if self.guess:
            for clause in open_clauses:
                witness = descend(self.graph, self.box, clause, self._starts(), self._confirmed)
                if len(witness):
                    return _falsified(witness[0], "a point found by descent reaches the unsafe set on the real model")
        reasons = []
        for clause in open_clauses:
            found = self._solve(clause)
            if isinstance(found, Tensor):
                return _falsified(found, "a point that Z3 found reaches the unsafe set on the real model")
            if found:
                reasons.append(found)
        if reasons:
            return _unknown(f"{len(reasons)} of {len(self.item.unsafe.clauses)} clauses stayed open: {reasons[0]}")
        count = len(open_clauses)
        words = "clause" if count == 1 else "clauses"
        return _verified(f"Z3 found {count} unsafe {words} unsatisfiable (trusting Z3)", None)

    def _solve(self, clause: Halfspaces) -> Tensor | str:
        """A confirmed witness, the empty string for an excluded clause, or why it stayed open."""
        wide = self._constraints(clause, +1)
        for digits in DIGITS:
            answer = self.solver.ask(smtlib(self.program, wide, digits, self.lattice), self.program.inputs)
            if answer.kind == "unsat":
                return ""
            if answer.kind == "unknown":
                return answer.reason
            point = self._to_input(answer.point)
            if bool(self._confirmed(point)[0]):
                return point[0]
            if self.guess and len(witness := descend(self.graph, self.box, clause, point, self._confirmed)):
                return witness[0]
        for sign in (-1, 0):
            text = smtlib(self.program, self._constraints(clause, sign), None, self.lattice)
            answer = self.solver.ask(text, self.program.inputs)
            if answer.kind == "sat":
                point = self._to_input(answer.point)
                if bool(self._confirmed(point)[0]):
                    return point[0]
        return "the unsafe set is reached within float32 rounding only, and no point of it replays on the real model"

    def _excluded_by(self, clause: Halfspaces) -> float:
        """How far bounds keep the clause away; at most 0 where they do not."""
        constraints = self._constraints(clause, +1)
        if not constraints:
            return -float("inf")
        rows = [_row(self.encoding, constraint) for constraint in constraints]
        return float(self.encoding.relaxation.bound(rows)[0].max())

    def _constraints(self, clause: Halfspaces, sign: int) -> list[Constraint]:
        """The clause, wider (+1) or narrower (-1) by what float32 may change."""
        result = []
        for weights, offset in zip(clause.matrix.tolist(), clause.offset.tolist(), strict=True):
            used = {place: Fraction(weight) for place, weight in enumerate(weights) if weight}
            slack = sum(abs(weights[i]) * self.program.rounding[i] for i in used)
            size = abs(offset) + sum(abs(weights[i]) * self.program.magnitude[i] for i in used)
            slack += (len(used) + 2) * UNIT_32 * size
            result.append(Constraint(used, Fraction(offset) + sign * Fraction(slack)))
        return result

    def _strange(self) -> str:
        """Why the real model is no float32 run of the graph (half precision, another function); else nothing."""
        generator = torch.Generator().manual_seed(0)
        share = torch.rand(TRIED, *self.box.shape, generator=generator)
        share[::2] = share[::2].round()
        lower, upper = self.box.lower.cpu(), self.box.upper.cpu()
        points = self.box.clamp((lower + share * (upper - lower)).float().to(self.graph.device))
        with torch.no_grad():
            exact = self.graph.to(torch.float64).forward(points.double()).flatten(1)
            found = self.real(points).flatten(1).to(exact)
        allowed = torch.tensor(self.program.rounding, dtype=torch.float64, device=exact.device) * 1.01 + 1e-300
        beyond = float(((found - exact).abs() / allowed).nan_to_num(nan=torch.inf).max())
        if beyond <= 1:
            return ""
        return f"the real model is {beyond:.3g} times farther from exact arithmetic than float32 rounding explains"

    def _starts(self) -> Tensor:
        lower, upper = self.box.lower.float(), self.box.upper.float()
        return torch.stack([(lower + upper) / 2, lower, upper]).to(self.graph.device)

    def _to_input(self, free: Sequence[Fraction]) -> Tensor:
        values = list(self.program.point)
        for place, value in zip(self.program.places, free, strict=True):
            values[place] = value
        flat = torch.tensor([float(value) for value in values], dtype=torch.float64)
        point = flat.reshape(1, *self.graph.input_shape).to(self.graph.device).float()
        point = self.box.clamp(point)
        return point if self.lattice is None else self.lattice.nearest(point)

    def _confirmed(self, points: Tensor) -> Tensor:
        """Which points lie in the input set and are sent into the unsafe set by the real model, each by itself.

        A batch may be summed in another order than a single sample, so what a batch finds is asked again alone.
        """
        hits = self.item.inputs.contains(points) & self._unsafe(points)
        for place in hits.nonzero().flatten().tolist() if len(points) > 1 else ():
            hits[place] = self._unsafe(points[place : place + 1])[0]
        return hits

    def _unsafe(self, points: Tensor) -> Tensor:
        with torch.no_grad():
            outputs = self.real(points).flatten(1)
        return self.item.unsafe.contains(outputs).to(points.device)


def _row(encoding: Encoding, constraint: Constraint) -> Row:
    outputs = encoding.program.outputs
    parts = [(weight, outputs[place]) for place, weight in constraint.weights.items()]
    return Row.combine(parts, -constraint.offset)


def _verified(reason: str, margin: float | None) -> VerdictResult:
    return VerdictResult(
        verdict=Verdict.VERIFIED, reason=reason, engine="z3", arithmetic=ARITHMETIC, meanings=BOTH, lower_bound=margin
    )


def _falsified(point: Tensor, reason: str) -> VerdictResult:
    witness = tuple(float(value) for value in point.flatten().tolist())
    return VerdictResult(verdict=Verdict.FALSIFIED, reason=reason, engine="z3", witness=witness)


def _unknown(reason: str) -> VerdictResult:
    return VerdictResult(verdict=Verdict.UNKNOWN, reason=reason, engine="z3")
