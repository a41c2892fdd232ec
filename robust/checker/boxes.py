"""Trees of boxes: that they cover the input set, and that no leaf holds an unsafe point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robust.checker.bounds import Known
from robust.checker.proof import Column
from robust.checker.questions import Case, Part, part_of, remainder
from robust.checker.verdict import InvalidError, NotEstablishedError

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
CHUNK = 256
FEW_INPUTS = 24
"""Inputs that vary, up to which this checker splits boxes of its own."""
MOST_PIECES = 100_000
"""Pieces that a box is cut into, at most, to see whether others cover it."""
MOST_ADDED = 20_000
"""Boxes of its own that it bounds for a case, at most."""


@dataclass(eq=False)
class Boxes(Case):
    """A case whose proof is a tree of boxes.

    Attributes:
        columns: of the tree, by name; read in order, a chunk at a time.
    """

    columns: Mapping[str, Column] = field(kw_only=True)
    _inner: dict[int, dict[int, tuple[Numbers, Numbers]]] = field(default_factory=dict)
    _uncovered: dict[int, _Cover] = field(default_factory=dict)

    def check(self) -> None:
        """Establish the case.

        Raises:
            InvalidError: the tree is none.
            NotEstablishedError: a part is left over.
        """
        parent = self.columns["parent"].whole().astype(np.int64)
        varying = self.columns["varying"].whole().astype(np.int64)
        count, inputs = len(parent), len(self.lower)
        if not count or parent[0] != -1 or (parent[1:] < 0).any() or (parent >= np.arange(count)).any():
            raise InvalidError(self.where, "its rows are no tree, each after its parent")
        if len(set(varying.tolist())) < len(varying) or ((varying < 0) | (varying >= inputs)).any():
            raise InvalidError(self.where, "the inputs that it splits are none")
        if not len(varying):
            self._prove(self.lower[None], self.upper[None], None, "the whole set")
            self.rows = 1
            return
        last = np.full(count, -1)
        last[parent[1:]] = np.arange(1, count)
        start = 0
        while start < count:
            stop = min(count, start + CHUNK)
            late = np.flatnonzero(parent[start:stop] >= start)
            stop = start + int(late[0]) if len(late) else stop
            if stop == start:
                raise InvalidError(f"{self.where}, row {start}", "it follows itself")
            self._chunk(start, parent[start:stop], last[start:stop], varying)
            start = stop
        self.rows = count

    def _chunk(self, start: int, parent: Places, last: Places, varying: Places) -> None:
        names = ("lower", "upper", "cut_lower", "cut_upper")
        part_lower, part_upper, cut_lower, cut_upper = (self.columns[name].next(len(parent)) for name in names)
        inherits = self.columns["inherits"].next(len(parent)).astype(bool)
        lower, upper = (np.repeat(end[None], len(parent), 0) for end in (self.lower, self.upper))
        lower[:, varying], upper[:, varying] = part_lower, part_upper
        if not (np.isfinite(part_lower).all() and np.isfinite(part_upper).all()):
            raise InvalidError(f"{self.where}, rows from {start}", "an end of a box is no finite number")
        if start == 0 and ((lower[0] > self.lower) | (upper[0] < self.upper)).any():
            raise InvalidError(self.where, "its first box is smaller than the input set")
        known = self._known(parent, inherits, lower, upper)
        part = part_of(self.program, self.questions, lower, upper, known)
        closed = np.asarray(part.excluded.all(1))
        self.smallest = min(self.smallest, self.questions.missed(part.least[closed]))
        rest = remainder(part, self.questions, lower, upper)
        for row in range(len(parent)):
            place = start + row
            box = part_lower[row], part_upper[row]
            empty = bool((lower[row] > upper[row]).any())
            if not (closed[row] or empty):
                left = rest[0][row], rest[1][row]
                if last[row] < 0 or (cut_lower[row] > box[0]).any() or (cut_upper[row] < box[1]).any():
                    self.smallest = min(self.smallest, 0.0)
                cut = (cut_lower[row], cut_upper[row])
                self._left_over(place, left, cut, varying, last[row] > place, self._row_known(part, row))
            if last[row] > place:
                kept = self._kept(part, row)  # copies: a view would keep its whole chunk
                self._inner[place] = {step: (low.copy(), high.copy()) for step, (low, high) in kept.items()}
                self._uncovered[place] = _Cover(int(last[row]), cut_lower[row], cut_upper[row], bool(closed[row]))
            if parent[row] >= 0:
                self._covered(int(parent[row]), place, box)

    def _left_over(
        self,
        place: int,
        left: tuple[Numbers, Numbers],
        cut: tuple[Numbers, Numbers],
        varying: Places,
        split: bool,
        known: Known,
    ) -> None:
        """What may be unsafe must lie in the part that goes on; other parts are proved here."""
        low, high = left
        if (low > high).any():
            return
        if not split or not (np.isfinite(cut[0]).all() and np.isfinite(cut[1]).all()):
            self._prove(low[None], high[None], known, f"row {place}")
            return
        for axis, at in enumerate(varying):
            for below_cut in (True, False):
                beyond = low[at] < cut[0][axis] if below_cut else high[at] > cut[1][axis]
                if not beyond:
                    continue
                one, other = low.copy(), high.copy()
                if below_cut:
                    other[at] = min(other[at], cut[0][axis])
                else:
                    one[at] = max(one[at], cut[1][axis])
                self._prove(one[None], other[None], known, f"row {place}, beyond its cut")
                if below_cut:
                    low[at] = max(low[at], cut[0][axis])
                else:
                    high[at] = min(high[at], cut[1][axis])

    def _covered(self, parent: int, place: int, box: tuple[Numbers, Numbers]) -> None:
        cover = self._uncovered[parent]
        cover.boxes.append(box)
        if place == cover.last:
            if not cover.needless and not covers(cover.lower, cover.upper, cover.boxes):
                raise InvalidError(f"{self.where}, row {parent}", "its parts do not cover what it leaves")
            del self._uncovered[parent], self._inner[parent]

    def _known(self, parent: Places, inherits: NDArray[np.bool_], lower: Numbers, upper: Numbers) -> Known | None:
        if not inherits.any():
            return None
        steps = {step for row in parent[inherits] for step in self._inner.get(int(row), {})}
        known = {}
        for step in steps:
            size = self.program.steps[step].size
            low, high = np.full((len(parent), size), -np.inf), np.full((len(parent), size), np.inf)
            for row, above in enumerate(parent):
                if inherits[row] and above >= 0:
                    low[row], high[row] = self._inner[int(above)][step]
            known[step] = (low, high)
        return known

    def _kept(self, part: Part, row: int) -> dict[int, tuple[Numbers, Numbers]]:
        read = {step.sources[0] for step in self.program.steps if step.kind not in ("input", "affine")}
        return {step: (part.bounds.lower[step][row], part.bounds.upper[step][row]) for step in read if step}

    def _row_known(self, part: Part, row: int) -> Known:
        return {step: (low[None], high[None]) for step, (low, high) in self._kept(part, row).items()}

    def _prove(self, lower: Numbers, upper: Numbers, known: Known | None, what: str) -> None:
        """Prove a box, by splitting it where need be.

        Raises:
            NotEstablishedError: it has too many varying inputs for that, or it takes too many parts.
        """
        wide = int((upper > lower).sum())
        while len(lower):
            if self.added + len(lower) > MOST_ADDED:
                raise NotEstablishedError(f"{self.where}, {what}", f"not by {MOST_ADDED} further boxes")
            self.added += len(lower)
            now, later = slice(0, CHUNK), slice(CHUNK, None)
            count = len(lower[now])
            given = known and {
                step: (low.repeat(count, 0), high.repeat(count, 0)) for step, (low, high) in known.items()
            }
            part = part_of(self.program, self.questions, lower[now], upper[now], given)
            closed = np.asarray(part.excluded.all(1))
            self.smallest = min(self.smallest, self.questions.missed(part.least[closed]))
            low, high = remainder(part, self.questions, lower[now], upper[now])
            left = ~closed & (low <= high).all(1)
            if (low[~closed] > lower[now][~closed]).any() or (high[~closed] < upper[now][~closed]).any():
                self.smallest = min(self.smallest, 0.0)
            if left.any() and wide > FEW_INPUTS:
                raise NotEstablishedError(
                    f"{self.where}, {what}", f"a bound of {part.least.max(1, initial=-np.inf).min():.3g} is no proof"
                )
            halves = _halved(low[left], high[left], part.slopes[left])
            lower, upper = np.concatenate([halves[0], lower[later]]), np.concatenate([halves[1], upper[later]])


@dataclass
class _Cover:
    last: int
    lower: Numbers
    upper: Numbers
    needless: bool
    boxes: list[tuple[Numbers, Numbers]] = field(default_factory=list)


def _halved(lower: Numbers, upper: Numbers, slopes: Numbers) -> tuple[Numbers, Numbers]:
    if not len(lower):
        return lower, upper
    axis = (np.abs(slopes).max(1, initial=0.0) * (upper - lower)).argmax(1)
    rows = np.arange(len(lower))
    middle = lower[rows, axis] / 2 + upper[rows, axis] / 2
    first, second = upper.copy(), lower.copy()
    first[rows, axis] = second[rows, axis] = middle
    return np.concatenate([lower, second]), np.concatenate([first, upper])


def covers(lower: Numbers, upper: Numbers, boxes: Sequence[tuple[Numbers, Numbers]]) -> bool:
    """Whether boxes cover one: it is cut at their faces until a box holds each piece."""
    pieces = [(lower, upper, boxes)]
    for _ in range(MOST_PIECES):
        if not pieces:
            return True
        lower, upper, boxes = pieces.pop()
        if (lower > upper).any() or any((low <= lower).all() and (high >= upper).all() for low, high in boxes):
            continue
        near = [(low, high) for low, high in boxes if (low <= upper).all() and (high >= lower).all()]
        cut = _face(lower, upper, near)
        if cut is None:
            return False
        axis, face = cut
        one, other = upper.copy(), lower.copy()
        one[axis] = other[axis] = face
        pieces += [(lower, one, near), (other, upper, near)]
    return False


def _face(lower: Numbers, upper: Numbers, boxes: Sequence[tuple[Numbers, Numbers]]) -> tuple[int, float] | None:
    """An axis, and a face of some box strictly between the ends there."""
    for axis in range(len(lower)):
        for face in (float(end[axis]) for box in boxes for end in box):
            if lower[axis] < face < upper[axis]:
                return axis, face
    return None
