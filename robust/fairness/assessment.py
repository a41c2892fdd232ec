"""One rate in the groups of one column, wholly judged: counts, gap, test; and many of them corrected together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robust.fairness.gap import Gap, largest_gap
from robust.fairness.group_frame import GroupCounts, GroupFrame, Rate
from robust.fairness.permutation import permutation_null, pooled_statistic
from robust.statistics import holm, permutation_p_value

Parameter = str | int | float | bool


@dataclass(frozen=True)
class Question:
    """A rate to compare between groups.

    Attributes:
        rate: what is counted.
        words: it in words, for titles.
        better: which direction is good, if any.
        parameters: what tells it from others of its name: norm, epsilon.
    """

    rate: Rate
    words: str
    better: Literal["higher", "lower", "neither"]
    parameters: tuple[tuple[str, Parameter], ...] = ()

    @property
    def title(self) -> str:
        """``words`` as the start of a title."""
        return self.words[:1].upper() + self.words[1:]

    @property
    def label(self) -> str:
        """Name and parameters in a line, for tables."""
        return " ".join([self.rate.name, *(f"{key}={value}" for key, value in self.parameters)])


@dataclass(frozen=True)
class Assessment:
    """A question put to a column.

    Attributes:
        frame: the column.
        question: the question.
        counts: all groups.
        eligible: the groups with enough samples.
        gap: None if fewer than two groups are eligible.
        null: the statistic under permutation; None likewise.
        p_value: of "no group differs", uncorrected; NaN likewise.
        adjusted: after Holm over the family; NaN likewise.
        family: how many tests were corrected together.
    """

    frame: GroupFrame
    question: Question
    counts: GroupCounts
    eligible: GroupCounts
    gap: Gap | None
    null: NDArray[np.float64] | None
    p_value: float
    adjusted: float = float("nan")
    family: int = 0

    @property
    def left_out(self) -> list[str]:
        """Groups that were too small, with their sizes."""
        pairs = zip(self.counts.names, self.counts.sizes, strict=True)
        return [f"{name} (n={size})" for name, size in pairs if name not in self.eligible.names]


def assess(
    frame: GroupFrame, question: Question, rng: np.random.Generator, *, minimum_size: int, resamples: int
) -> Assessment:
    """Count, compare and test one question in one column; groups under ``minimum_size`` are left out of the gap."""
    counts = frame.count(question.rate)
    eligible = counts.at_least(minimum_size)
    if len(eligible.names) < 2:
        return Assessment(frame, question, counts, eligible, None, None, float("nan"))
    null = permutation_null(eligible, rng, resamples)
    observed = pooled_statistic(eligible.hits, eligible.sizes)
    p_value = float(permutation_p_value(observed, null))
    return Assessment(frame, question, counts, eligible, largest_gap(eligible), null, p_value)


def corrected(assessments: Sequence[Assessment]) -> list[Assessment]:
    """The same with Holm's adjusted p-values over all of them that were tested."""
    adjusted = holm([item.p_value for item in assessments])
    family = int(np.isfinite(adjusted).sum())
    return [replace(item, adjusted=float(p), family=family) for item, p in zip(assessments, adjusted, strict=True)]
