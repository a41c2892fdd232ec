"""From a table to the domain of people it speaks of: kinds of columns, one-hot groups, and parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.errors import MissingColumnError, PlanError
from robust.properties.people import Attribute, People, one_hot, whole

MOST_LISTED = 32
"""Distinct numbers up to which a column that is not whole is taken as a list of values."""
MOST_WHOLE = 10_000
"""Range up to which a column of whole numbers is counted number by number."""
FEWEST_ROWS = 20
"""Rows from which on columns that look one-hot are no coincidence."""
CLOSE = 1e-4


def domain_of(
    samples: NDArray[np.floating],
    names: Sequence[str],
    *,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    continuous: Sequence[str] = (),
) -> People:
    """The domain of a table.

    A column whose data are whole numbers may be any whole number of its range; one with few distinct other values may
    be those; every other is continuous over its range. Declared groups of 0/1 columns are one category each.

    Args:
        samples: ``[n, columns]``, in the table's own units.
        names: of the columns.
        ranges: column -> lowest and highest value; by default the data's.
        groups: name -> one-hot columns.
        continuous: columns that are continuous although their data are whole numbers.

    Raises:
        MissingColumnError: a name that is no column.
        PlanError: a range without width or that the data leave, a group that is none, a one-hot group that nobody
            declared.
    """
    ranges, groups = dict(ranges or {}), dict(groups or {})
    for name in (*ranges, *continuous, *(column for group in groups.values() for column in group)):
        column_place(name, names)
    values = np.asarray(samples, dtype=np.float64)
    places = {name: [column_place(column, names) for column in group] for name, group in groups.items()}
    _check_groups(values, names, places)
    grouped = {place for group in places.values() for place in group}
    attributes = [one_hot(name, group, [names[place] for place in group]) for name, group in places.items()]
    attributes += [
        _attribute(names[place], place, values[:, place], ranges.get(names[place]), names[place] in continuous)
        for place in range(len(names))
        if place not in grouped
    ]
    return People(sorted(attributes, key=lambda item: item.columns[0]))


def column_place(name: str, names: Sequence[str]) -> int:
    """The place of a column.

    Raises:
        MissingColumnError: there is none of that name.
    """
    if name in names:
        return list(names).index(name)
    near = get_close_matches(name, list(names), n=1, cutoff=0.5)
    raise MissingColumnError(
        f"the model reads no column {name!r}",
        wanted=f"one of {', '.join(names)}",
        got=name,
        hint=f"did you mean {near[0]!r}?" if near else None,
    )


def _attribute(
    name: str, place: int, values: NDArray[np.float64], given: tuple[float, float] | None, continuous: bool
) -> Attribute:
    low, high = (float(values.min()), float(values.max())) if given is None else map(float, given)
    if given is not None and not (np.isfinite([low, high]).all() and low < high):
        raise PlanError(f"the range of column {name!r} has no width", wanted="finite low < high", got=given)
    if values.min() < low - CLOSE or values.max() > high + CLOSE:
        raise PlanError(
            f"the data leave the range of column {name!r}",
            wanted=f"{low:g} to {high:g}",
            got=f"{values.min():g} to {values.max():g}",
        )
    rounded = values.round()
    if low == high:
        return Attribute(name, (place,), (round(low) if abs(low - round(low)) < CLOSE else low,))
    whole_ends = abs(low - round(low)) <= CLOSE and abs(high - round(high)) <= CLOSE
    if not continuous and whole_ends and np.abs(values - rounded).max() <= CLOSE and high - low < MOST_WHOLE:
        return whole(name, place, round(low), round(high))
    distinct = np.unique(values)
    if not continuous and given is None and len(distinct) <= MOST_LISTED and len(distinct) < len(values) / 2:
        return Attribute(name, (place,), tuple(map(float, distinct)))
    return Attribute(name, (place,), None, low, high)


def _check_groups(values: NDArray[np.float64], names: Sequence[str], places: Mapping[str, Sequence[int]]) -> None:
    """That declared groups are one-hot, and that nothing else looks like one.

    Undeclared: binary columns of one prefix (``job_``, ``job=``), or two binary columns, of which every row has one.
    """
    seen: set[int] = set()
    for name, group in places.items():
        part = values[:, list(group)]
        if len(group) < 2 or seen.intersection(group):
            raise PlanError(f"the one-hot group {name!r} is none", wanted="two or more columns of their own", got=group)
        if not (_binary(part).all() and (np.abs(part.sum(1) - 1) <= CLOSE).all()):
            wanted = "0 or 1 everywhere, and one 1 in every row"
            raise PlanError(f"the columns of group {name!r} are not one-hot", wanted=wanted)
        seen.update(group)
    binary = _binary(values)
    free = [place for place in range(len(names)) if place not in seen and binary[place]]
    for name, group in _suspects(free, names, values) if len(values) >= FEWEST_ROWS else ():
        columns = [names[place] for place in group]
        raise PlanError(
            f"columns {', '.join(columns)} look one-hot: exactly one of them is 1 in every row",
            wanted="a declaration, so that no impossible person is made up",
            hint=f"declare them: one_hot = {{ {name} = {columns} }}",
        )


def _suspects(
    free: Sequence[int], names: Sequence[str], values: NDArray[np.float64]
) -> Iterator[tuple[str, list[int]]]:
    """Groups of columns that share a prefix, or pairs, of which every row has exactly one."""
    prefixes: dict[str, list[int]] = {}
    for place in free:
        for mark in ("_", "=", "."):
            head, found, _ = names[place].rpartition(mark)
            if found:
                prefixes.setdefault(head + mark, []).append(place)
    for head, group in prefixes.items():
        part = values[:, group]
        if len(group) > 1 and (np.abs(part.sum(1) - 1) <= CLOSE).all() and (part.max(0) > part.min(0)).all():
            yield head[:-1], group
    ones = values[:, free].round()
    counts, together = ones.sum(0), ones.T @ ones
    for first, second in zip(*np.nonzero((together == 0) & (counts[:, None] + counts == len(values))), strict=True):
        if first < second and 0 < counts[first] < len(values):
            yield "group", [free[int(first)], free[int(second)]]


def _binary(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(((np.abs(values) <= CLOSE) | (np.abs(values - 1) <= CLOSE)).all(0))


def parts_by_data(people: People, numbers: Tensor, changed: int, most: int) -> tuple[Tensor, Tensor]:
    """The domain cut into at most ``most`` boxes so that each cut halves the data as evenly as it can.

    Box by box, the one that holds most rows is cut at the median of the attribute with most distinct values in it.

    Args:
        people: the domain.
        numbers: rows of the data as people, ``[n, attributes]``.
        changed: the attribute that is not cut.
        most: at least 1.

    Returns:
        Lower and upper numbers ``[parts, attributes]``; together they are the domain, and no two share a person.
    """
    lower, upper = people.everyone()
    boxes = [(lower[0], upper[0], numbers)]
    done: list[tuple[Tensor, Tensor, Tensor]] = []
    while boxes and len(boxes) + len(done) < most:
        boxes.sort(key=lambda box: -len(box[2]))
        low, high, rows = boxes.pop(0)
        cut = _best_cut(people, low, high, rows, changed)
        if cut is None:
            done.append((low, high, rows))
            continue
        place, at, after = cut
        left_high, right_low = high.clone(), low.clone()
        left_high[place], right_low[place] = at, after
        inside = rows[:, place] <= at
        boxes += [(low, left_high, rows[inside]), (right_low, high, rows[~inside])]
    found = done + boxes
    return torch.stack([box[0] for box in found]), torch.stack([box[1] for box in found])


def _best_cut(people: People, low: Tensor, high: Tensor, rows: Tensor, changed: int) -> tuple[int, float, float] | None:
    """Attribute, the last number of the left half and the first of the right one; None where no data tell."""
    best: tuple[int, int] | None = None
    for place in range(len(people.attributes)):
        distinct = len(set(rows[:, place].tolist()))
        if place != changed and distinct > 1 and (best is None or distinct > best[0]):
            best = distinct, place
    if best is None:
        return None
    place = best[1]
    values = rows[:, place].sort().values
    at = float(values[(len(values) - 1) // 2])
    if at >= float(values[-1]):  # so that rows remain on the right
        at = float(values[values < values[-1]][-1])
    if people.attributes[place].levels is None:
        after = float(values[values > at][0])
        middle = (at + after) / 2
        return (place, middle, middle) if float(low[place]) < middle < float(high[place]) else None
    return place, at, at + 1
