from __future__ import annotations

import numpy as np
import pytest

from robust.statistics import median_interval


def test_ranks_by_hand() -> None:
    # n = 10: P(Bin(10, 1/2) <= 1) = 11/1024 < 2.5 % < P(<= 2) = 56/1024, so the second smallest and second largest.
    interval = median_interval(range(1, 11))
    assert (interval.low, interval.high, interval.level) == (2.0, 9.0, 0.95)


def test_few_values_say_what_their_range_covers() -> None:
    interval = median_interval([3.0, 1.0])
    assert (interval.low, interval.high) == (1.0, 3.0)
    assert interval.level == pytest.approx(0.5)
    assert median_interval([1.0]).level == 0.0


def test_coverage_of_a_known_median() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        interval = median_interval(rng.exponential(size=15))
        hits += interval.low <= np.log(2) <= interval.high
    assert hits / 400 >= 0.93


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_no_values_no_interval(values: list[float]) -> None:
    with pytest.raises(ValueError, match="median"):
        median_interval(values)
