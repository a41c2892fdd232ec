"""Rows of a table: whole numbers stay whole, categories stay categories, and what may not change does not.

(Attacks on tables that respect their kinds of columns: Ballet et al., Imperceptible Adversarial Attacks on Tabular
Data, 2019; Cartella et al., Adversarial Attacks for Tabular Data, 2021. The search is a beam for the fewest attributes
that change a decision.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attacks.attack import replayed
from attacks.goals import Goal, as_goal
from robust.errors import DataRangeError, DataShapeError, UsageError
from robust.properties.people import Attribute, People
from robust.subjects.protocols import Classifier

Direction = Literal["up", "down"]
VALUES = 24
"""Values of an attribute that are tried for each row, at most: all levels where there are no more."""
ROWS = 4096
"""Rows that go through the model together."""


@dataclass(frozen=True, eq=False)
class TabularAttempt:
    """What was found, for ``n`` rows.

    Attributes:
        success: bool ``[n]``: the real model answers the changed row as the goal wishes. Rows that reach it unchanged
            are successes with nothing changed.
        people: float64 ``[n, attributes]``: the changed rows as numbers of attributes (``People``); the row itself
            where there is no success.
        adversarials: float32 ``[n, width]``: the same as model inputs.
        changed: bool ``[n, attributes]``: which attributes differ.
        forward: int64 ``[n]``: queries, replays included.
    """

    success: Tensor
    people: Tensor
    adversarials: Tensor
    changed: Tensor
    forward: Tensor

    def __len__(self) -> int:
        return len(self.success)


class TabularAttack:
    """The fewest attributes whose change makes a model err: a beam over sets of changes, one attribute more each time.

    It asks for scores alone, and for nothing outside the subject's input box. That nothing was found proves nothing;
    ``verifiers.individual`` proves.

    Args:
        people: what each column may hold.
        immutable: names of attributes that stay.
        directions: attribute -> the only way that it may go (``up``: no lower than it was).
        reach: attribute -> how far it may go: levels for those that are counted, input units for continuous ones.
        most: attributes that may change together; None: all.
        beam: partial changes that are kept of each row.

    Raises:
        UsageError: a name that is none, a direction that is none, nothing that may change.
    """

    name = "tabular"

    def __init__(
        self,
        people: People,
        *,
        immutable: Sequence[str] = (),
        directions: Mapping[str, Direction] | None = None,
        reach: Mapping[str, float] | None = None,
        most: int | None = None,
        beam: int = 8,
    ) -> None:
        self.people, self.beam = people, beam
        fixed = {people.index(name) for name in immutable}
        self.mutable = [place for place in range(len(people.attributes)) if place not in fixed]
        self.directions = {people.index(name): way for name, way in (directions or {}).items()}
        self.reach = {people.index(name): float(far) for name, far in (reach or {}).items()}
        self.most = len(self.mutable) if most is None else most
        if not set(self.directions.values()) <= {"up", "down"}:
            raise UsageError("an attribute goes another way", wanted="up or down", got=directions)
        if any(not far >= 0 for far in self.reach.values()):
            raise UsageError("an attribute has an impossible reach", wanted="at least 0", got=reach)
        for place in (*self.directions, *self.reach):
            if people.attributes[place].one_hot:
                raise UsageError(
                    f"categories of {people.attributes[place].name!r} have no order",
                    wanted="directions and reach of numbers alone",
                )
        if not self.mutable or self.most < 1 or beam < 1:
            raise UsageError(
                "nothing may change", wanted="a mutable attribute, most >= 1, beam >= 1", got=(self.most, beam)
            )

    def __call__(
        self, classifier: Classifier, x: Tensor, wanted: Tensor | Goal, generator: torch.Generator
    ) -> TabularAttempt:
        """Look for the smallest set of changes for each row.

        Args:
            classifier: the subject.
            x: rows float32 ``[n, width]``, each of the domain.
            wanted: true classes int64 ``[n]`` (any other answer is a success), or a goal.
            generator: a CPU generator, for values of continuous attributes; the global ones are never touched.

        Raises:
            DataShapeError: another number of columns than the domain has.
            DataRangeError: a row that is not of the domain.
        """
        if x.ndim != 2 or x.shape[1] != self.people.width:
            raise DataShapeError("rows do not fit the domain", wanted=["n", self.people.width], got=list(x.shape))
        people, known = self.people.numbers(x.cpu())
        if not bool(known.all()):
            raise DataRangeError(
                "a row is not of the domain",
                wanted="declared levels, values within ranges, one 1 in each group",
                got=f"{int((~known).sum())} rows, the first is row {int((~known).int().argmax())}",
            )
        goal = as_goal(wanted, len(classifier.class_names), len(x), classifier.device)
        run = _Beam(self, classifier, people, goal, generator)
        run.begin()
        for _ in range(min(self.most, len(self.mutable))):
            if not run.step():
                break
        return run.attempt()

    def values(self, place: int, own: Tensor, generator: torch.Generator) -> Tensor:
        """Numbers float64 ``[n, k]`` that an attribute may take in place of ``own [n]``; its own where it may not."""
        item = self.people.attributes[place]
        low, high = item.ends
        if item.levels is not None and len(item.levels) <= VALUES:
            found = torch.arange(len(item.levels), dtype=torch.float64).expand(len(own), -1)
        else:
            found = self._spread(item, own, low, high, self.reach.get(place), generator)
        way, far = self.directions.get(place), self.reach.get(place)
        allowed = torch.ones_like(found, dtype=torch.bool)
        if way is not None:
            allowed &= found >= own[:, None] if way == "up" else found <= own[:, None]
        if far is not None:
            allowed &= (found - own[:, None]).abs() <= far
        return torch.where(allowed, found, own[:, None])

    @staticmethod
    def _spread(
        item: Attribute, own: Tensor, low: float, high: float, far: float | None, generator: torch.Generator
    ) -> Tensor:
        """Evenly over what is in reach, from a random beginning, with the ends and the neighbours."""
        first = own.clamp_min(low) - (high - low if far is None else far)
        last = own + (high - low if far is None else far)
        first, last = first.clamp(low, high), last.clamp(low, high)
        inner = (torch.arange(VALUES - 4, dtype=torch.float64) + torch.rand(1, generator=generator).double()) / (
            VALUES - 4
        )
        spread = first[:, None] + inner * (last - first)[:, None]
        step = 1.0 if item.levels is not None else 0.01 * (high - low)
        near = torch.stack([first, last, (own - step).clamp(low, high), (own + step).clamp(low, high)], 1)
        found = torch.cat([near, spread], 1)
        return found.round() if item.levels is not None else found


class _Beam:
    """Partial changes of every row that still stands."""

    def __init__(
        self, attack: TabularAttack, classifier: Classifier, people: Tensor, goal: Goal, generator: torch.Generator
    ) -> None:
        self.attack, self.classifier, self.goal, self.generator = attack, classifier, goal, generator
        self.origin, self.best = people, people.clone()
        self.success = torch.zeros(len(people), dtype=torch.bool)
        self.forward = torch.zeros(len(people), dtype=torch.int64)
        self.rows = torch.arange(len(people))
        self.partial = people.clone()

    def begin(self) -> None:
        """Ask about the rows themselves."""
        self._confirm(self.rows, self.origin)

    def step(self) -> bool:
        """One attribute more in every partial change; False when nothing is left to do."""
        keep = ~self.success[self.rows]
        self.rows, self.partial = self.rows[keep], self.partial[keep]
        if not len(self.rows):
            return False
        rows, candidates = self._candidates()
        if not len(rows):
            return False
        margins = self._margins(rows, candidates)
        order = margins.argsort(stable=True)
        order = order[rows[order].argsort(stable=True)]  # by row, the best first
        sizes = torch.bincount(rows, minlength=len(self.origin))
        first = sizes.cumsum(0) - sizes
        rank = torch.arange(len(order)) - first[rows[order]]
        chosen = order[rank < self.attack.beam]
        self.rows, self.partial = rows[chosen], candidates[chosen]
        hopeful = margins[chosen] <= 0
        self._confirm(self.rows[hopeful], self.partial[hopeful])
        return True

    def _candidates(self) -> tuple[Tensor, Tensor]:
        """All partial changes with one attribute more, once each."""
        rows, found = [], []
        for place in self.attack.mutable:
            fresh = torch.nonzero(self.partial[:, place] == self.origin[self.rows, place])[:, 0]
            if not len(fresh):
                continue
            own = self.partial[fresh, place]
            values = self.attack.values(place, own, self.generator)
            changed = self.partial[fresh][:, None].repeat(1, values.shape[1], 1)
            changed[:, :, place] = values
            moved = (values != own[:, None]).flatten()
            rows.append(self.rows[fresh].repeat_interleave(values.shape[1])[moved])
            found.append(changed.flatten(0, 1)[moved])
        if not rows:
            return self.rows[:0], self.partial[:0]
        whole = torch.unique(torch.cat([torch.cat(rows).double()[:, None], torch.cat(found)], 1), dim=0)
        whole = whole[self.classifier.input_box.contains(self._inputs(whole[:, 1:])).cpu()]
        return whole[:, 0].long(), whole[:, 1:]

    def _margins(self, rows: Tensor, people: Tensor) -> Tensor:
        parts = []
        for some, values in zip(torch.split(rows, ROWS), torch.split(people, ROWS), strict=True):
            with torch.no_grad():
                logits = self.classifier.logits(self._inputs(values)).float()
            parts.append(self.goal.take(some.to(self.classifier.device)).margin(logits).cpu())
        self.forward += torch.bincount(rows, minlength=len(self.origin))
        return torch.cat(parts)

    def _confirm(self, rows: Tensor, people: Tensor) -> None:
        """Ask the real model about candidates, in order; the first success of each row counts."""
        for some, values in zip(torch.split(rows, ROWS), torch.split(people, ROWS), strict=True):
            if not len(some):
                continue
            logits = replayed(self.classifier, self._inputs(values))
            hits = self.goal.take(some.to(self.classifier.device)).reached(logits).cpu()
            self.forward += torch.bincount(some, minlength=len(self.origin))
            for place in torch.nonzero(hits)[:, 0].tolist():
                row = int(some[place])
                if not self.success[row]:
                    self.success[row], self.best[row] = True, values[place]

    def _inputs(self, people: Tensor) -> Tensor:
        return self.attack.people.inputs(people).to(self.classifier.device)

    def attempt(self) -> TabularAttempt:
        """All of it."""
        adversarials = self.attack.people.inputs(self.best)
        return TabularAttempt(self.success, self.best, adversarials, self.best != self.origin, self.forward)
