from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from robust.fairness import GroupCounts, Rate, accuracy, false_alarms, group_frame, permutation_null, pooled_statistic
from robust.fairness.assessment import Question, assess, corrected
from robust.statistics import permutation_p_value


def test_the_statistic_of_two_groups_is_the_pooled_z() -> None:
    # 56/70 against 48/80: p = 104/150, z = .2 / sqrt(p (1-p) (1/70 + 1/80))
    p = 104 / 150
    expected = 0.2 / np.sqrt(p * (1 - p) * (1 / 70 + 1 / 80))
    assert float(pooled_statistic(np.array([56, 48]), np.array([70, 80]))) == pytest.approx(expected)
    assert float(pooled_statistic(np.array([0, 0]), np.array([7, 8]))) == 0.0


@pytest.mark.parametrize(("hits", "sizes"), [([18, 9], [30, 25]), ([3, 9], [40, 60]), ([12, 12], [20, 20])])
def test_the_p_value_is_near_fishers_exact_test(hits: list[int], sizes: list[int]) -> None:
    counts = GroupCounts(("a", "b"), np.array(hits), np.array(sizes))
    null = permutation_null(counts, np.random.default_rng(0), 20000)
    ours = float(permutation_p_value(pooled_statistic(counts.hits, counts.sizes), null))
    # the same two-sided region (by |z|), enumerated from the hypergeometric distribution
    first = np.arange(0, min(sizes[0], sum(hits)) + 1)
    first = first[sum(hits) - first <= sizes[1]]
    tables = np.stack([first, sum(hits) - first], axis=1)
    chance = stats.hypergeom.pmf(first, sum(sizes), sum(hits), sizes[0])
    extreme = pooled_statistic(tables, np.array(sizes)) >= pooled_statistic(counts.hits, counts.sizes) - 1e-12
    assert ours == pytest.approx(float(chance[extreme].sum()), abs=0.012)


def test_a_shuffle_of_samples_draws_from_the_same_null() -> None:
    rng = np.random.default_rng(2)
    group, right = rng.choice(["a", "b", "c"], 200, p=[0.6, 0.3, 0.1]), rng.random(200) < 0.8
    frame = group_frame("g", group)
    rate = accuracy(right.astype(np.int64), np.ones(200, dtype=np.int64))
    counts = frame.count(rate)
    drawn = permutation_null(counts, rng, 4000)
    shuffled = []
    for _ in range(2000):
        again = group_frame("g", rng.permutation(group)).count(rate)
        shuffled.append(float(pooled_statistic(again.hits, again.sizes)))
    assert stats.ks_2samp(drawn, shuffled).statistic < 0.05


def test_equal_groups_raise_an_alarm_no_oftener_than_alpha_and_a_planted_gap_is_found() -> None:
    rng = np.random.default_rng(7)
    names = np.repeat(["a", "b", "c"], [80, 60, 30])
    alarms = found = 0
    for _ in range(200):
        equal = rng.random(170) < 0.8
        planted = rng.random(170) < np.where(names == "c", 0.45, 0.85)
        for right, count in ((equal, "equal"), (planted, "planted")):
            question = Question(accuracy(right.astype(np.int64), np.ones(170, dtype=np.int64)), "accuracy", "higher")
            item = corrected([assess(group_frame("g", names), question, rng, minimum_size=10, resamples=999)])[0]
            alarms += count == "equal" and item.adjusted <= 0.05
            found += count == "planted" and item.adjusted <= 0.05
    assert alarms <= 20  # 10 expected; above 20 once in a thousand
    assert found >= 180


def test_the_false_alarm_control_sees_a_broken_null() -> None:
    rng = np.random.default_rng(0)
    frame = group_frame("g", rng.choice(["a", "b"], 150))
    rate = accuracy(rng.integers(0, 2, 150), np.ones(150, dtype=np.int64))
    null = permutation_null(frame.count(rate), rng, 999)
    settings = {"minimum_size": 10, "alpha": 0.05, "shuffles": 100}
    assert false_alarms([frame], [[rate]], [[null]], rng, **settings) <= 15
    assert false_alarms([frame], [[rate]], [[null * 0]], rng, **settings) > 80


def test_rates_with_few_hits_raise_no_false_alarm() -> None:
    """One to three hits give the statistic a handful of values; a hundred such tests must still keep the level."""
    rng = np.random.default_rng(5)
    frame = group_frame("sex", np.array(["a"] * 300 + ["b"] * 700))
    rates, nulls = [], []
    for place in range(24):
        among = np.zeros(1000, dtype=bool)
        among[rng.choice(1000, size=150 + 2 * place, replace=False)] = True
        hit = np.zeros(1000, dtype=bool)
        hit[rng.choice(np.flatnonzero(among), size=1 + place % 3, replace=False)] = True
        rates.append(Rate("rare", among, hit))
        nulls.append(permutation_null(frame.count(rates[-1]), rng, 2500))
    settings = {"minimum_size": 10, "alpha": 0.05, "shuffles": 200}
    assert false_alarms([frame], [rates], [nulls], rng, **settings) <= 10
