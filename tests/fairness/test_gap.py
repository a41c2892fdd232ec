from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.fairness import GroupCounts, gap_limits, largest_gap, worst_group
from robust.statistics import newcombe_difference, wilson


def counts(hits: list[int], sizes: list[int]) -> GroupCounts:
    return GroupCounts(tuple("abcdefgh"[: len(hits)]), np.array(hits), np.array(sizes))


def test_two_groups_give_newcombes_published_interval() -> None:
    # Newcombe (1998), table II, (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339
    gap = largest_gap(counts([56, 48], [70, 80]))
    assert (gap.highest, gap.lowest) == ("a", "b")
    assert gap.value == pytest.approx(0.2)
    assert gap.interval.low == pytest.approx(0.0524, abs=5e-5)
    assert gap.interval.high == pytest.approx(0.3339, abs=5e-5)


def test_three_groups_by_all_pairs_written_out() -> None:
    hits, sizes = [30, 20, 10], [40, 40, 40]
    pairs = [newcombe_difference(hits[i], 40, hits[j], 40, 1 - 0.05 / 3) for i, j in ((0, 1), (0, 2), (1, 2))]
    gap = largest_gap(counts(hits, sizes))
    assert gap.interval.low == pytest.approx(max(pair.low for pair in pairs))
    assert gap.interval.high == pytest.approx(max(pair.high for pair in pairs))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), min_size=2, max_size=6))
def test_the_interval_holds_the_value_and_stays_in_the_unit_interval(groups: list[tuple[int, float]]) -> None:
    sizes = [size for size, _ in groups]
    hits = [round(size * share) for size, share in groups]
    gap = largest_gap(counts(hits, sizes))
    assert 0 <= gap.interval.low <= gap.value + 1e-12
    assert gap.value - 1e-12 <= gap.interval.high <= 1


@pytest.mark.parametrize("rates", [[0.8, 0.8], [0.7] * 4, [0.95, 0.9, 0.8], [0.02, 0.05]])
def test_it_covers_the_true_gap_as_often_as_it_says(rates: list[float]) -> None:
    rng = np.random.default_rng(1)
    sizes = np.array([120, 60, 90, 40][: len(rates)])
    hits = rng.binomial(sizes, rates, size=(2000, len(rates)))
    low, high = gap_limits(hits, np.broadcast_to(sizes, hits.shape))
    truth = max(rates) - min(rates)
    covered = ((low <= truth + 1e-12) & (truth <= high)).mean()
    assert covered >= 0.94
    if truth == 0:
        assert (low > 0).mean() <= 0.06  # the bootstrap of the gap errs here almost always


def test_the_worst_group_by_hand() -> None:
    name, value, interval = worst_group(counts([9, 5], [10, 10]))
    assert (name, value) == ("b", 0.5)
    assert interval.low == pytest.approx(wilson(5, 10, 0.975).low)
    assert interval.high == pytest.approx(wilson(5, 10, 0.975).high)


def test_no_gap_of_one_group() -> None:
    with pytest.raises(ValueError, match="two groups"):
        largest_gap(counts([1], [2]))
    with pytest.raises(ValueError, match="sample each"):
        largest_gap(counts([1, 0], [2, 0]))
