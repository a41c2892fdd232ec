"""The group frame: one sensitive column, and rates counted in each of its groups.

A rate is a yes or no (``hit``) of the samples it speaks of (``among``): accuracy is "right" among all, the true
positive rate is "called positive" among the positives, robust accuracy is "stayed right" among the attacked. So one
formula, hits over samples per group, serves all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust.errors import DataShapeError


@dataclass(frozen=True)
class Rate:
    """A yes or no per sample, among some of them.

    Attributes:
        name: the metric, for example ``true_positive_rate``.
        among: bool ``[n]``, which samples it speaks of.
        hit: bool ``[n]``, its answer; ignored outside ``among``.
    """

    name: str
    among: NDArray[np.bool_]
    hit: NDArray[np.bool_]


@dataclass(frozen=True)
class GroupCounts:
    """A rate in every group.

    Attributes:
        names: the groups, in the frame's order.
        hits: int64 ``[groups]``.
        sizes: int64 ``[groups]``, samples of the group that the rate speaks of.
    """

    names: tuple[str, ...]
    hits: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def at_least(self, size: int) -> GroupCounts:
        """The groups with at least ``size`` samples (and one)."""
        keep = np.flatnonzero(self.sizes >= max(1, size))
        return GroupCounts(tuple(self.names[i] for i in keep), self.hits[keep], self.sizes[keep])


@dataclass(frozen=True)
class GroupFrame:
    """One sensitive column.

    Attributes:
        column: its name.
        names: its groups, sorted (numbers as numbers).
        codes: int64 ``[n]``, the place of each sample's group in ``names``.
    """

    column: str
    names: tuple[str, ...]
    codes: NDArray[np.int64]

    def count(self, rate: Rate) -> GroupCounts:
        """Hits and samples of ``rate`` per group.

        Raises:
            DataShapeError: the rate speaks of another number of samples.
        """
        if len(rate.among) != len(self.codes) or len(rate.hit) != len(self.codes):
            raise DataShapeError(
                f"the rate {rate.name} and the group column {self.column!r} differ in number of samples",
                wanted=len(self.codes),
                got=f"{len(rate.among)} and {len(rate.hit)}",
            )
        codes, groups = self.codes[rate.among], len(self.names)
        hits = np.bincount(codes, weights=rate.hit[rate.among], minlength=groups).astype(np.int64)
        return GroupCounts(self.names, hits, np.bincount(codes, minlength=groups).astype(np.int64))


def group_frame(column: str, values: NDArray[np.str_]) -> GroupFrame:
    """The frame of a column of group names ``[n]``."""
    names, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
    order = sorted(range(len(names)), key=lambda i: _sort_key(str(names[i])))
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return GroupFrame(column, tuple(str(names[i]) for i in order), place[codes.reshape(-1)])


def _sort_key(name: str) -> tuple[int, float, int, str]:
    """Numbers and bins by their lower ends (``< 28``, ``28 to < 37``, ``>= 37``), then text."""
    first = name.removeprefix(">=").removeprefix("<").strip().split(" to ")[0]
    try:
        return (0, float(first), 0 if name.startswith("<") else 1, name)
    except ValueError:
        return (1, 0.0, 0, name)
