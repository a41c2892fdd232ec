"""What must be excluded over a box: every clause, by one of its constraints or by a mixture of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from robust.checker.bounds import Bounds, Known, below, bound, gamma
from robust.checker.program import Program
from robust.checker.query import Group
from robust.checker.verdict import NotEstablishedError

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Questions:
    """The constraints ``a @ y <= b`` of all clauses of a case, as float64, and by how much these are off.

    Attributes:
        rows: ``[r, outputs]``.
        offsets: ``[r]``.
        clause: int ``[r]``, which clause each belongs to.
        count: how many clauses there are; one without a constraint holds everywhere, and is never excluded.
    """

    rows: Numbers
    offsets: Numbers
    clause: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, group: Group, outputs: int) -> Questions:
        """Those of one group of branches."""
        rows, offsets, clause = [], [], []
        for place, constraints in enumerate(group.clauses):
            for linear, limit in constraints:
                row = np.zeros(outputs)
                for name, factor in linear.items():
                    at = int(name.partition("_")[2])
                    if at >= outputs:
                        raise NotEstablishedError(name, f"the model has {outputs} outputs")
                    row[at] = float(factor)
                rows.append(row)
                offsets.append(float(limit))
                clause.append(place)
        table = np.array(rows).reshape(-1, outputs)
        return cls(table, np.array(offsets), np.array(clause, np.int64), len(group.clauses))

    def lines(self, found: Bounds) -> tuple[Numbers, Numbers]:
        """Linear functions of the input below ``a @ y - b``: slopes ``[n, r, inputs]``, constants ``[n, r]``."""
        output = found.program.output
        slopes, constants = below(found, output, self.rows[None])
        size = found.largest(output) @ np.abs(self.rows).T + np.abs(self.offsets)
        return slopes, constants - self.offsets - gamma(8) * (size + np.abs(constants))

    def excluded(self, least: Numbers) -> Marks:
        """Clauses ``[n, count]`` that a constraint excludes whose left side less its right is at least ``[n, r]``."""
        marks = np.zeros((len(least), self.count), bool)
        for place in range(self.count):
            marks[:, place] = (least[:, self.clause == place] > 0).any(1)
        return marks

    def missed(self, least: Numbers) -> float:
        """By how much the unsafe set is missed over boxes that are all proved."""
        best = [least[:, self.clause == place].max(1, initial=-np.inf) for place in range(self.count)]
        return float(np.min(best)) if best and len(least) else np.inf


@dataclass(eq=False)
class Case:
    """One case of a query, to be established.

    Attributes:
        program, questions: what is asked of what.
        lower, upper: ``[inputs]``, the exact input set rounded outward.
        where: names the case in messages.
        rows, added, smallest: see ``Established``.
    """

    program: Program
    questions: Questions
    lower: Numbers
    upper: Numbers
    where: str
    rows: int = 0
    added: int = 0
    smallest: float = np.inf


@dataclass(frozen=True, eq=False)
class Part:
    """What is known of ``n`` boxes.

    Attributes:
        bounds: of all steps.
        slopes, constants: of ``Questions.lines``.
        least: their minima ``[n, r]``.
        excluded: ``[n, clauses]``.
    """

    bounds: Bounds
    slopes: Numbers
    constants: Numbers
    least: Numbers
    excluded: Marks


def part_of(program: Program, questions: Questions, lower: Numbers, upper: Numbers, known: Known | None) -> Part:
    """Bound boxes ``[n, inputs]``."""
    with np.errstate(all="ignore"):
        found = bound(program, lower, upper, known)
        slopes, constants = questions.lines(found)
        least = constants + np.where(slopes > 0, slopes * lower[:, None], slopes * upper[:, None]).sum(2)
        least = np.nan_to_num(least, nan=-np.inf, posinf=-np.inf, neginf=-np.inf)
    return Part(found, slopes, constants, least, questions.excluded(least))


def remainder(part: Part, questions: Questions, lower: Numbers, upper: Numbers) -> tuple[Numbers, Numbers]:
    """The least boxes ``[n, inputs]`` around all points where some clause may hold; a lower end above its upper one:
    there are none.

    Where all constraints of a clause hold, so do ``slopes @ x + constants <= 0``, and each of these limits each input,
    given the others' ends. What is lost by rounding is added to the limit. Two rounds.
    """
    rest_lower, rest_upper = np.full_like(lower, np.inf), np.full_like(upper, -np.inf)
    for place in range(questions.count):
        rows = questions.clause == place
        low, high = lower, upper
        for _ in range(2):
            low, high = _limited(part.slopes[:, rows], part.constants[:, rows], low, high)
        gone = ((low > high).any(1) | part.excluded[:, place])[:, None]
        rest_lower = np.minimum(rest_lower, np.where(gone, np.inf, low))
        rest_upper = np.maximum(rest_upper, np.where(gone, -np.inf, high))
    return rest_lower, rest_upper


def _limited(slopes: Numbers, constants: Numbers, lower: Numbers, upper: Numbers) -> tuple[Numbers, Numbers]:
    with np.errstate(all="ignore"):
        one, other = slopes * lower[:, None], slopes * upper[:, None]
        least = np.minimum(one, other)
        size = np.maximum(np.abs(one), np.abs(other)).sum(2) + np.abs(constants)
        room = -constants - least.sum(2) + gamma(2 * slopes.shape[2] + 16) * size
        reach = (room[:, :, None] + least) / slopes
        reach = reach + np.where(slopes > 0, 1, -1) * gamma(8) * (np.abs(reach) + (size[:, :, None] / np.abs(slopes)))
        usable = np.isfinite(reach) & (one != other)
        top = np.where(usable & (slopes > 0), reach, np.inf).min(1, initial=np.inf)
        bottom = np.where(usable & (slopes < 0), reach, -np.inf).max(1, initial=-np.inf)
    return np.maximum(lower, bottom), np.minimum(upper, top)


def outward(values: Sequence[Fraction], *, down: bool) -> Numbers:
    """Exact numbers as float64, rounded away from the set."""
    found = np.array([float(value) for value in values])
    for place, value in enumerate(values):
        if np.isfinite(found[place]) and (Fraction(found[place]) > value if down else Fraction(found[place]) < value):
            found[place] = np.nextafter(found[place], -np.inf if down else np.inf)
    return found
