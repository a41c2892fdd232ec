"""A person and a counterpart: the same person with another value of one attribute, and small changes in chosen others.

The product network maps ``[x, values of the changed columns, differences]`` to the outputs for both. Values of the
changed attribute are compared step by step, each with the next: where no step changes the decision none of them
together does, because "the same decision" is transitive. (Question: Biswas and Rajan, Fairify, ICSE 2023.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.properties.pairs import Paired
from robust.properties.people import People


class Changed(nn.Module):
    """The second person: columns of the first, some replaced, differences added to some.

    Args:
        width: columns of one person.
        replaced: columns that the next numbers of the joint input stand for.
        moved: columns that the last numbers are added to.
    """

    def __init__(self, width: int, replaced: Sequence[int], moved: Sequence[int]) -> None:
        super().__init__()
        order = torch.arange(width)
        order[list(replaced)] = torch.arange(width, width + len(replaced))
        self.register_buffer("order", order)
        self.start, self.count = width + len(replaced), len(moved)
        if moved:
            placement = torch.zeros(width, len(moved))
            placement[list(moved), range(len(moved))] = 1.0
            self.register_buffer("placement", placement)

    def forward(self, joint: Tensor) -> Tensor:
        """``[n, width + replaced + moved] -> [n, width]``."""
        second = joint.index_select(1, self.get_buffer("order"))
        if not self.count:
            return second
        return second + nn.functional.linear(joint[:, self.start :], self.get_buffer("placement"))


@dataclass(frozen=True)
class Tolerance:
    """How far a counterpart may differ in one more attribute.

    Attributes:
        attribute: its place.
        most: the largest difference, in units of the column.
    """

    attribute: int
    most: float


class Counterparts:
    """All persons of a domain with all their counterparts.

    A box is a box of people with one more number per tolerance, its difference (counted in steps of the levels, or a
    value of a continuous attribute), and a *step*: the changed attribute has level ``step`` at the person and
    ``step + 1`` at the counterpart.

    Args:
        people: the domain.
        changed: place of the attribute that differs; it has at least two levels.
        tolerances: place -> largest further difference, in the column's units, above 0.

    Raises:
        PropertyError: an attribute that cannot change in steps, or a tolerance that cannot be.
    """

    def __init__(self, people: People, changed: int, tolerances: Mapping[int, float] | None = None) -> None:
        self.people, self.changed = people, changed
        item = people.attributes[changed]
        if item.levels is None or len(item.levels) < 2:
            raise PropertyError(
                f"the protected column {item.name!r} cannot change",
                wanted="at least two values that can be listed",
                got="a continuous range" if item.levels is None else f"one value, {item.levels[0]:g}",
                hint="declare its values",
            )
        self.steps = len(item.levels) - 1
        self.tolerances = tuple(Tolerance(place, most) for place, most in sorted((tolerances or {}).items()))
        for tolerance in self.tolerances:
            self._check(tolerance)
        self._columns = [place for place, one in enumerate(people.attributes) for _ in one.columns]

    def _check(self, tolerance: Tolerance) -> None:
        item = self.people.attributes[tolerance.attribute]
        if tolerance.attribute == self.changed:
            raise PropertyError(f"{item.name!r} is protected and tolerant at once", wanted="one of the two")
        if item.levels is not None and item.step is None:
            raise PropertyError(
                f"a tolerance in {item.name!r} means nothing",
                wanted="a number, continuous or in even steps",
                got="a category" if item.one_hot else "uneven levels",
            )
        if not (0 < tolerance.most < float("inf") and self._limit(tolerance) > 0):
            wanted = "a finite number above 0" if item.step is None else f"at least one step, {item.step:g}"
            raise PropertyError(f"an impossible tolerance of {item.name!r}", wanted=wanted, got=tolerance.most)

    def paired(self, network: nn.Module) -> Paired:
        """The product network, joint inputs ``[n, joint]`` to both outputs."""
        moved = [self.people.attributes[item.attribute].columns[0] for item in self.tolerances]
        second = Changed(self.people.width, self.people.attributes[self.changed].columns, moved)
        pair = Paired(network, (self.people.width,), second)
        pair.train(network.training)
        return pair

    @property
    def dimensions(self) -> int:
        """Numbers of a box."""
        return len(self.people.attributes) + len(self.tolerances)

    @property
    def joint(self) -> int:
        """Numbers of a joint input."""
        return self.people.width + len(self.people.attributes[self.changed].columns) + len(self.tolerances)

    @property
    def counted(self) -> Tensor:
        """Bool ``[dimensions]``: which numbers of a box are whole."""
        items = [*self.people.attributes, *(self.people.attributes[one.attribute] for one in self.tolerances)]
        return torch.tensor([item.levels is not None for item in items])

    def owners(self) -> Tensor:
        """Int64 ``[joint]``: the dimension of a box that each joint input belongs to; -1: fixed by the step."""
        place = {one.attribute: len(self.people.attributes) + number for number, one in enumerate(self.tolerances)}
        columns = [0] * self.people.width
        for number, item in enumerate(self.people.attributes):
            for column in item.columns:
                columns[column] = -1 if number == self.changed else number
        extra = [-1] * len(self.people.attributes[self.changed].columns)
        return torch.tensor([*columns, *extra, *(place[one.attribute] for one in self.tolerances)])

    def roots(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes of people ``[n, attributes]`` with all differences: ``[n, dimensions]``."""
        low, high = lower.clone(), upper.clone()
        low[:, self.changed] = high[:, self.changed] = 0.0
        limits = [self._limit(item) for item in self.tolerances]
        most = torch.tensor(limits, dtype=torch.float64).expand(len(low), -1)
        return torch.cat([low, -most], 1), torch.cat([high, most], 1)

    def fitted(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes with differences cut to those that some person's counterpart can have; bool ``[n]``: none is left."""
        low, high, count = lower.clone(), upper.clone(), len(self.people.attributes)
        for number, item in enumerate(self.tolerances, count):
            first, last = self.people.attributes[item.attribute].ends
            low[:, number] = torch.maximum(low[:, number], first - upper[:, item.attribute])
            high[:, number] = torch.minimum(high[:, number], last - lower[:, item.attribute])
        return low, high, (low > high).any(1)

    def region(self, lower: Tensor, upper: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Ends of the joint inputs ``[n, joint]`` over boxes ``[n, dimensions]`` at steps ``[n]``."""
        count = len(self.people.attributes)
        here, there = self._persons(lower[:, :count], upper[:, :count], step), self._next(step)
        low = [here[0], there]
        high = [here[1], there]
        for number, item in enumerate(self.tolerances, count):
            size, room = self._scale(item)
            low.append(lower[:, number : number + 1] * size - room)
            high.append(upper[:, number : number + 1] * size + room)
        return torch.cat(low, 1), torch.cat(high, 1)

    def pairs(self, numbers: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of both persons, ``[n, attributes]`` each, of single points ``[n, dimensions]`` of boxes.

        A difference that would leave the range of its attribute is cut.
        """
        count = len(self.people.attributes)
        first = numbers[:, :count].clone()
        first[:, self.changed] = step.double()
        second = first.clone()
        second[:, self.changed] += 1
        for number, item in enumerate(self.tolerances, count):
            ends = self.people.attributes[item.attribute].ends
            moved = first[:, item.attribute] + numbers[:, number]
            second[:, item.attribute] = moved.clamp(*ends)
        return first, second

    def _persons(self, lower: Tensor, upper: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = lower.clone(), upper.clone()
        lower[:, self.changed] = upper[:, self.changed] = step.double()
        return self.people.ends(lower, upper)

    def _next(self, step: Tensor) -> Tensor:
        """Values of the changed columns at the counterpart, ``[n, columns]``."""
        item = self.people.attributes[self.changed]
        numbers = torch.zeros(len(step), len(self.people.attributes), dtype=torch.float64)
        numbers[:, self.changed] = step.double() + 1
        return self.people.ends(numbers, numbers)[0][:, list(item.columns)]

    def _scale(self, item: Tolerance) -> tuple[float, float]:
        """Column units per number of a difference, and what float32 may move the difference of two levels by."""
        attribute = self.people.attributes[item.attribute]
        if attribute.levels is None or attribute.step is None:
            return 1.0, 0.0
        exact = all(value == round(value) and abs(value) < 2**24 for value in attribute.levels)
        return attribute.step, 0.0 if exact else 2.0**-22 * max(map(abs, attribute.levels))

    def _limit(self, item: Tolerance) -> float:
        step = self.people.attributes[item.attribute].step
        return item.most if step is None else float(int(item.most / step + 1e-9))
