from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from robust.record import Interval
from robust.statistics import (
    auroc,
    bootstrap,
    bootstrap_batched,
    chunks,
    clopper_pearson,
    clopper_pearson_lower,
    holm,
    hull,
    mann_whitney_interval,
    mcnemar,
    newcombe_difference,
    newcombe_pairs,
    percentile_interval,
    permutation_p_value,
    samples_needed,
    simultaneous_level,
    wilson,
    wilson_limits,
)

RATES = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=60, deadline=None)
@given(RATES)
def test_wilson_and_clopper_pearson_agree_with_scipy(rate: tuple[int, int]) -> None:
    successes, trials = rate
    test = stats.binomtest(successes, trials)
    for ours, method in ((wilson(successes, trials), "wilson"), (clopper_pearson(successes, trials), "exact")):
        theirs = test.proportion_ci(0.95, method=method)
        assert ours.low == pytest.approx(theirs.low, abs=1e-9)
        assert ours.high == pytest.approx(theirs.high, abs=1e-9)


@pytest.mark.parametrize("function", [wilson, clopper_pearson])
@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(function: object, successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        function(successes, trials)  # type: ignore[operator]


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.5, 0.97])
def test_clopper_pearson_covers_exactly_and_wilson_on_average(truth: float) -> None:
    n = 40
    chance = stats.binom.pmf(np.arange(n + 1), n, truth)
    covered = {
        method: sum(p for k, p in enumerate(chance) if method(k, n).low <= truth <= method(k, n).high)
        for method in (wilson, clopper_pearson)
    }
    assert covered[clopper_pearson] >= 0.95
    assert covered[wilson] >= 0.92


def test_wilson_limits_take_arrays_and_shares_that_are_no_counts() -> None:
    low, high = wilson_limits([0.0, 0.5, 1.0], [10, 10, 10])
    assert low.tolist() == pytest.approx([wilson(k, 10).low for k in (0, 5, 10)])
    assert high.tolist() == pytest.approx([wilson(k, 10).high for k in (0, 5, 10)])
    between = wilson_limits(0.55, 10)
    assert wilson(5, 10).low < between[0] < wilson(6, 10).low


# Newcombe (1998), Statistics in Medicine 17:873, table II, method 10
@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
    ],
)
def test_newcombe_differences_as_published(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    interval = newcombe_difference(*counts)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)
    lows, highs = newcombe_pairs([counts[0], counts[2]], [counts[1], counts[3]])
    assert (lows[0, 1], highs[0, 1]) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (lows[1, 0], highs[1, 0]) == (pytest.approx(-interval.high), pytest.approx(-interval.low))


def test_simultaneous_levels() -> None:
    assert simultaneous_level(1) == pytest.approx(0.95)
    assert simultaneous_level(5) == pytest.approx(0.99)
    assert simultaneous_level(0) == pytest.approx(0.95)


def test_holm_by_hand_with_a_hole() -> None:
    # three tests: .01 * 3, .02 * 2, then .04 is raised to what came before
    assert holm([0.02, np.nan, 0.01, 0.04]).tolist() == pytest.approx([0.04, np.nan, 0.03, 0.04], nan_ok=True)
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_the_area_is_sklearns(negative: list[int], positive: list[int]) -> None:
    truth = [0] * len(negative) + [1] * len(positive)
    assert auroc(negative, positive) == pytest.approx(roc_auc_score(truth, negative + positive))


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300))
def test_the_interval_of_an_area_holds_it_mirrors_and_solves_its_equation(area: float, n: int, m: int) -> None:
    interval = mann_whitney_interval(area, n, m)
    mirrored = mann_whitney_interval(1 - area, n, m)
    assert 0 <= interval.low <= area <= interval.high <= 1
    assert mirrored.low == pytest.approx(1 - interval.high, abs=1e-6)
    if 0.01 < area < 0.99:
        a = interval.low
        variance = a * (1 - a) * (1 + ((n + m) / 2 - 1) * ((1 - a) / (2 - a) + a / (1 + a))) / (n * m)
        assert area - a == pytest.approx(stats.norm.ppf(0.975) * np.sqrt(variance), abs=1e-6)


def test_the_interval_of_an_area_has_width_where_there_is_no_error_and_refuses_nonsense() -> None:
    assert 0.9 < mann_whitney_interval(1.0, 50, 50).low < 0.97
    assert mann_whitney_interval(0.8, 400, 400).high - 0.8 < 0.05
    for bad in ((1.2, 5, 5), (0.5, 0, 5)):
        with pytest.raises(ValueError, match="area"):
            mann_whitney_interval(*bad)  # type: ignore[arg-type]


def test_bootstraps_of_a_mean_agree_with_each_other_and_with_theory() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    half = 1.96 * values.std() / 20
    one = bootstrap(lambda i: float(values[i].mean()), [400], np.random.default_rng(1), 2000)
    many = bootstrap_batched(lambda i: values[i].mean(axis=1), 400, np.random.default_rng(1), 2000, cells=100_000)
    for interval in (one, many):
        assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
        assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
        assert interval.method == "bootstrap (2000)"


def test_strata_are_resampled_each_for_itself() -> None:
    values = np.array([0.0] * 5 + [1.0] * 7)
    interval = bootstrap(lambda i: float(values[i].sum()), [5, 7], np.random.default_rng(0), 50)
    assert (interval.low, interval.high) == (7.0, 7.0)


def test_chunks_percentiles_and_hulls() -> None:
    assert chunks(10, 100, 300) == [3, 3, 3, 1]
    assert chunks(10, 10**9, 300) == [1] * 10
    assert sum(chunks(1000, 7)) == 1000
    interval = percentile_interval(np.array([*range(101), np.nan], dtype=float), 0.9)
    assert (interval.low, interval.high) == (pytest.approx(5.0), pytest.approx(95.0))
    with pytest.raises(ValueError, match="no bootstrap"):
        percentile_interval(np.array([np.nan]))
    wide = hull(Interval(low=0.2, high=0.4, method="a"), Interval(low=0.3, high=0.9, method="b"))
    assert (wide.low, wide.high, wide.method) == (0.2, 0.9, "a widened to b")
    with pytest.raises(ValueError, match="levels"):
        hull(Interval(low=0, high=1, method="a"), Interval(low=0, high=1, level=0.9, method="b"))


def test_permutation_p_values_by_hand() -> None:
    null = np.array([0.0, 1.0, 1.0, 2.0])
    assert permutation_p_value([3.0, 2.0, 1.0, 0.5, -1.0], null).tolist() == [0.2, 0.4, 0.8, 0.8, 1.0]
    assert float(permutation_p_value(1.0 + 1e-15, null)) == 0.8  # a tie up to rounding counts against us


def test_one_sided_lower_limits() -> None:
    """All of ``n``: ``p ** n = alpha``; none: 0; one: ``(1 - p) ** n = 1 - alpha``."""
    found = clopper_pearson_lower([0, 1, 20], [20, 20, 20], 0.05)
    assert found.tolist() == pytest.approx([0.0, 1 - 0.95 ** (1 / 20), 0.05 ** (1 / 20)])
    two_sided = [clopper_pearson(k, 50, 0.9).low for k in range(51)]
    assert clopper_pearson_lower(range(51), [50] * 51, 0.05).tolist() == pytest.approx(two_sided)
    for wrong in ((2, 1, 0.1), (0, 0, 0.1), (1, 2, 0.0), (1, 2, 1.0)):
        with pytest.raises(ValueError, match="limits"):
            clopper_pearson_lower(*wrong)


def test_mcnemar_by_hand() -> None:
    """10 samples apart, 9 of them one way: two-sided exact p = 2 * (1 + 10) / 2^10."""
    first = np.array([True] * 9 + [False] + [True] * 20 + [False] * 10)
    second = np.array([False] * 9 + [True] + [True] * 20 + [False] * 10)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second, found.n) == (9, 1, 40)
    assert found.difference == pytest.approx(8 / 40)
    assert found.p_value == pytest.approx(22 / 1024)
    assert found.interval.low < 8 / 40 < found.interval.high
    assert found.interval.low > 0
    assert mcnemar(second, first).interval.high == pytest.approx(-found.interval.low)
    same = mcnemar(first, first)
    assert same.p_value == 1.0
    assert same.interval.low < 0 < same.interval.high
    with pytest.raises(ValueError, match="same samples"):
        mcnemar(first, second[:-1])


def test_the_paired_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        cells = rng.choice(4, size=60, p=[0.6, 0.15, 0.05, 0.2])
        found = mcnemar((cells == 0) | (cells == 1), (cells == 0) | (cells == 2))
        covered += found.interval.low <= 0.1 <= found.interval.high
    assert covered >= 372  # 95 % of 400 less two standard deviations


def test_as_many_samples_as_a_width_needs() -> None:
    for half, rate in ((0.05, 0.5), (0.02, 0.9), (0.1, 0.0)):
        n = samples_needed(half, rate)
        wide = [float(high - low) for low, high in (wilson_limits(rate, m, 0.95) for m in (n, n - 1))]
        assert wide[0] <= 2 * half < wide[1]
    assert 380 < samples_needed(0.05) < 386  # 1.96^2 / 4 / 0.05^2 = 384, less what Wilson saves
    with pytest.raises(ValueError, match="half width"):
        samples_needed(0.0)
