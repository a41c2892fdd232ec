from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from robust.ood import measure

SCORES = st.lists(st.integers(-6, 6), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES)
def test_points_agree_with_sklearn_ties_and_all(normal: list[int], abnormal: list[int]) -> None:
    found = measure(np.array(normal, float), np.array(abnormal, float), np.random.default_rng(0), resamples=20)
    truth = np.array([0] * len(normal) + [1] * len(abnormal))
    scores = np.array(normal + abnormal, float)
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, scores))
    assert found["aupr_out"].value == pytest.approx(average_precision_score(truth, scores))
    assert found["aupr_in"].value == pytest.approx(average_precision_score(1 - truth, -scores))
    threshold = min(t for t in normal if np.mean(np.array(normal) <= t) >= 0.95)
    assert found["fpr95"].value == pytest.approx(np.mean(np.array(abnormal) <= threshold))
    for item in found.values():
        for interval in (item.interval, item.simultaneous):
            assert 0 <= interval.low <= interval.high <= 1


def test_fpr_by_hand() -> None:
    # twenty normal scores 1..20: 95 % is nineteen, so the threshold is 19; 3 of 5 abnormal ones are at most that
    found = measure(
        np.arange(1.0, 21.0), np.array([0.0, 5.0, 19.0, 19.5, 30.0]), np.random.default_rng(0), resamples=50
    )
    assert found["fpr95"].value == pytest.approx(0.6)


def test_a_perfect_separation_is_not_certain() -> None:
    found = measure(np.zeros(30), np.ones(30), np.random.default_rng(0), resamples=200)
    assert found["auroc"].value == 1.0
    assert found["auroc"].interval.low < 0.97
    assert found["aupr_out"].interval.low < 0.95
    assert found["fpr95"].value == 0.0
    assert found["fpr95"].interval.high > 0.05
    assert found["auroc"].simultaneous.low == found["auroc"].interval.low


def test_a_higher_level_is_wider_and_the_same_seed_gives_the_same() -> None:
    rng = np.random.default_rng(1)
    normal, abnormal = rng.normal(size=80), rng.normal(1, 1, 80)
    first = measure(normal, abnormal, np.random.default_rng(5), simultaneous=0.99)
    assert first == measure(normal, abnormal, np.random.default_rng(5), simultaneous=0.99)
    for item in first.values():
        assert item.simultaneous.low <= item.interval.low <= item.interval.high <= item.simultaneous.high
        assert item.simultaneous.level == 0.99


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_auroc_intervals_cover_the_truth(shift: float) -> None:
    from scipy import stats

    truth = float(stats.norm.cdf(shift / np.sqrt(2)))
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(150):
        found = measure(rng.normal(size=40), rng.normal(shift, 1, 40), rng, resamples=200)["auroc"].interval
        covered += found.low <= truth <= found.high
    assert covered >= 135  # 142.5 expected at 95 %


def test_what_is_no_score_is_refused() -> None:
    for bad in (np.array([]), np.array([np.nan])):
        with pytest.raises(ValueError, match="finite scores"):
            measure(bad, np.ones(3), np.random.default_rng(0))
