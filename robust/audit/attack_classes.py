"""Accuracy under attack by class and by group, each with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attacks.balls import NORM_NAMES, Norm
from robust.audit.check import Context
from robust.record import Table
from robust.statistics import wilson

if TYPE_CHECKING:
    from robust.audit.checks.attacks import Key, Mask

LARGEST = 60
"""Rows of the table, at most: the least robust ones."""


def class_table(norm: Norm, name: str, epsilon: float, masks: Mapping[Key, Mask], context: Context) -> Table:
    """The share that stays right at one radius, per class and per group value, the lowest first.

    Args:
        norm: of the ball.
        name: attack; ``all`` for the worst of them.
        epsilon: radius.
        masks: from ``robust_masks``.
        context: labels, class names and groups.
    """
    mask = masks[norm, name, epsilon]
    rows = []
    for what, members in _parts(context):
        n, right = int((mask.covered & members).sum()), int((mask.robust & members).sum())
        if n:
            interval = wilson(right, n)
            rows.append((what, round(right / n, 4), round(interval.low, 4), round(interval.high, 4), n))
    rows.sort(key=lambda row: (row[1], row[0]))
    return Table(
        title=f"Accuracy under attack by class, {NORM_NAMES[norm]} {epsilon:g}",
        columns=("part", "accuracy", "low", "high", "samples"),
        rows=tuple(rows[:LARGEST]),
        caption="Upper bounds on robust accuracy with 95 % Wilson intervals, each for itself; the lowest first"
        + (f", {len(rows) - LARGEST} more left out." if len(rows) > LARGEST else "."),
    )


def _parts(context: Context) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for index, name in enumerate(context.classifier.class_names):
        yield f"class {name}", context.data.labels == index
    for column, values in context.data.groups.items():
        for value in np.unique(values):
            yield f"{column} = {value}", values == value
