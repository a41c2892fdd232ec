"""People of a table: what each column may hold, and boxes of people that respect whole numbers and categories.

A person is one value per *attribute*; an attribute is one column, or the columns of a one-hot group. The values of an
attribute with finitely many levels are counted ``0 .. k - 1`` in increasing order; those of a continuous one are the
values themselves. A box of people is a lower and an upper such number per attribute.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError

MOST_LEVELS = 100_000


@dataclass(frozen=True)
class Attribute:
    """What one attribute may be.

    Attributes:
        name: for people.
        columns: its places in the model's input; more than one: a one-hot group, exactly one of which is 1.
        levels: all values it may have, increasing; of a one-hot group ``0 .. k - 1``. None: a continuous range.
        low: lower end of a continuous range.
        high: upper end.
        labels: a word per level, or none.

    Raises:
        PropertyError: no column, levels that do not increase, a continuous range without width, labels that do not fit.
    """

    name: str
    columns: tuple[int, ...]
    levels: tuple[float, ...] | None = None
    low: float = 0.0
    high: float = 0.0
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        levels = self.levels
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise PropertyError(
                f"attribute {self.name!r} has impossible columns", wanted="different places, at least 1"
            )
        if levels is None and not -math.inf < self.low < self.high < math.inf:
            raise PropertyError(
                f"the range of {self.name!r} has no width", wanted="finite low < high", got=(self.low, self.high)
            )
        if levels is not None and (not levels or not all(a < b for a, b in itertools.pairwise(levels))):
            raise PropertyError(f"the levels of {self.name!r} do not increase", wanted="increasing numbers", got=levels)
        if levels is not None and not all(map(math.isfinite, levels)):
            raise PropertyError(f"a level of {self.name!r} is NaN or infinite", wanted="finite numbers")
        if self.one_hot and (levels is None or len(levels) != len(self.columns)):
            raise PropertyError(f"the group {self.name!r} needs one level per column", wanted=len(self.columns))
        if self.labels and len(self.labels) != len(levels or ()):
            raise PropertyError(f"the labels of {self.name!r} do not fit its levels", got=len(self.labels))

    @property
    def one_hot(self) -> bool:
        """Whether it is a group of columns."""
        return len(self.columns) > 1

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest number of a box: counted levels, or values of a continuous range."""
        return (self.low, self.high) if self.levels is None else (0.0, float(len(self.levels) - 1))

    @property
    def step(self) -> float | None:
        """The distance of neighbouring levels where it is always the same; None elsewhere."""
        if self.levels is None or self.one_hot or len(self.levels) < 2:
            return None
        steps = [b - a for a, b in itertools.pairwise(self.levels)]
        return steps[0] if max(steps) - min(steps) <= 1e-9 * max(map(abs, self.levels)) else None

    def word(self, number: float) -> str | float:
        """How a number of a box is written for people."""
        if self.levels is None:
            return float(f"{number:.6g}")
        if self.labels:
            return self.labels[int(number)]
        value = self.levels[int(number)]
        return int(value) if value == int(value) else value


def whole(name: str, column: int, low: int, high: int, labels: Sequence[str] = ()) -> Attribute:
    """An attribute of all whole numbers from ``low`` to ``high``.

    Raises:
        PropertyError: an inverted range, or more than ``MOST_LEVELS`` numbers.
    """
    if not low <= high or high - low >= MOST_LEVELS:
        raise PropertyError(
            f"impossible whole numbers of {name!r}",
            wanted=f"low <= high, at most {MOST_LEVELS} numbers",
            got=(low, high),
            hint="declare the column as continuous",
        )
    return Attribute(name, (column,), tuple(float(value) for value in range(low, high + 1)), labels=tuple(labels))


def one_hot(name: str, columns: Sequence[int], labels: Sequence[str] = ()) -> Attribute:
    """A category written as one column per value, exactly one of which is 1."""
    return Attribute(name, tuple(columns), tuple(map(float, range(len(columns)))), labels=tuple(labels))


class People:
    """A domain of people: one attribute per column or group of columns, every column in exactly one.

    Args:
        attributes: in any order; their columns together are ``0 .. width - 1``.

    Raises:
        PropertyError: a column in no attribute or in two.
    """

    def __init__(self, attributes: Sequence[Attribute]) -> None:
        self.attributes = tuple(attributes)
        columns = sorted(column for item in self.attributes for column in item.columns)
        if columns != list(range(len(columns))) or not columns:
            raise PropertyError(
                "attributes do not cover the columns once each", wanted="0, 1, ... without gaps", got=columns
            )
        self.width = len(columns)
        self._levels = [  # as the model gets them, so that a box holds the very numbers that are asked
            None if item.levels is None else torch.tensor(item.levels, dtype=torch.float32).double()
            for item in self.attributes
        ]

    def index(self, name: str) -> int:
        """The place of an attribute.

        Raises:
            PropertyError: no attribute has that name.
        """
        names = [item.name for item in self.attributes]
        if name not in names:
            raise PropertyError(f"there is no column {name!r}", wanted=f"one of {', '.join(names)}", got=name)
        return names.index(name)

    def everyone(self) -> tuple[Tensor, Tensor]:
        """The box of the whole domain, two of ``[1, attributes]``, float64."""
        ends = torch.tensor([item.ends for item in self.attributes], dtype=torch.float64)
        return ends[None, :, 0], ends[None, :, 1]

    def ends(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """The ends of the model's inputs over boxes of people: two of ``[n, attributes]`` to two of ``[n, width]``."""
        low, high = (torch.zeros(len(lower), self.width, dtype=torch.float64) for _ in range(2))
        for place, item in enumerate(self.attributes):
            first, last, levels = lower[:, place], upper[:, place], self._levels[place]
            if item.one_hot:
                number = torch.arange(len(item.columns), dtype=torch.float64)[None]
                within = (first[:, None] <= number) & (number <= last[:, None])
                high[:, list(item.columns)] = within.double()
                low[:, list(item.columns)] = (within & (first == last)[:, None]).double()
            elif levels is None:
                low[:, item.columns[0]], high[:, item.columns[0]] = first, last
            else:
                low[:, item.columns[0]], high[:, item.columns[0]] = levels[first.long()], levels[last.long()]
        return low, high

    def inputs(self, numbers: Tensor) -> Tensor:
        """Model inputs float32 ``[n, width]`` of people ``[n, attributes]``."""
        return self.ends(numbers, numbers)[0].float()

    def share(self, lower: Tensor, upper: Tensor) -> Tensor:
        """The share of the domain that lies in each box, ``[n]``: people are counted, continuous ranges measured."""
        found = torch.ones(len(lower), dtype=torch.float64)
        for place, item in enumerate(self.attributes):
            size = upper[:, place] - lower[:, place]
            found *= size / (item.high - item.low) if item.levels is None else (size + 1) / len(item.levels)
        return found

    def numbers(self, inputs: Tensor, tolerance: float = 1e-4) -> tuple[Tensor, Tensor]:
        """People ``[n, attributes]`` of model inputs ``[n, width]``, and bool ``[n]``: which of them are of the domain.

        Args:
            inputs: rows of a table.
            tolerance: by how much a value may miss its level, for values that were scaled and scaled back.
        """
        wide = inputs.double()
        numbers = torch.zeros(len(wide), len(self.attributes), dtype=torch.float64)
        known = torch.ones(len(wide), dtype=torch.bool)
        for place, (item, levels) in enumerate(zip(self.attributes, self._levels, strict=True)):
            values = wide[:, list(item.columns)]
            if item.one_hot:
                numbers[:, place] = values.argmax(1).double()
                hot = torch.nn.functional.one_hot(values.argmax(1), len(item.columns))
                known &= ((values - hot).abs() <= tolerance).all(1)
            elif levels is None:
                numbers[:, place] = values[:, 0].clamp(item.low, item.high)
                known &= (values[:, 0] - numbers[:, place]).abs() <= tolerance
            else:
                near = (values - levels).abs().min(1)
                numbers[:, place] = near.indices.double()
                known &= near.values <= tolerance
        return numbers, known
