from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from robust.calibration import (
    adaptive_calibration_error,
    brier_scores,
    calibrated_reference,
    confidences,
    expected_calibration_error,
    expected_calibration_error_interval,
    log_losses,
    reliability_curve,
    softmax,
)
from robust.errors import NonFiniteError
from robust.statistics import wilson

CONFIDENCE = np.array([0.95, 0.95, 0.85, 0.85, 0.55])
RIGHT = np.array([True, True, True, False, False])


def test_calibration_errors_by_hand() -> None:
    # bins of .2: (.8, 1] holds four: confidence 3.6, right 3; (.4, .6] holds one: .55, right 0
    assert expected_calibration_error(CONFIDENCE, RIGHT, 5) == pytest.approx((0.6 + 0.55) / 5)
    # bins of .1: .95: 1.9 against 2; .85: 1.7 against 1; .55 against 0
    assert expected_calibration_error(CONFIDENCE, RIGHT, 10) == pytest.approx((0.1 + 0.7 + 0.55) / 5)
    # two bins of equal count in order of confidence: {.55, .85, .85} and {.95, .95}
    assert adaptive_calibration_error(CONFIDENCE, RIGHT, 2) == pytest.approx((2.25 - 1 + 0.1) / 5)
    assert adaptive_calibration_error(CONFIDENCE, RIGHT, 50) == pytest.approx((0.05 * 2 + 0.15 + 0.85 + 0.55) / 5)


def test_the_edges_of_bins_belong_to_the_lower_one() -> None:
    curve = reliability_curve(np.array([0.0, 0.2, 0.2000001, 1.0]), np.array([False, False, True, True]), 5)
    assert [(item.low, item.count) for item in curve] == [(0.0, 2), (0.2, 1), (0.8, 1)]


def test_the_reliability_curve_by_hand() -> None:
    curve = reliability_curve(CONFIDENCE, RIGHT, 5)
    assert [(item.count, item.accuracy) for item in curve] == [(1, 0.0), (4, 0.75)]
    assert curve[1].confidence == pytest.approx(0.9)
    assert curve[1].interval == wilson(3, 4)


def test_a_calibrated_model_is_near_its_reference_and_a_liar_is_not() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 800)
    drawn = calibrated_reference(confidence, rng, resamples=400)
    honest = [expected_calibration_error(confidence, rng.random(800) < confidence) for _ in range(100)]
    assert np.mean(honest) == pytest.approx(drawn.mean(), rel=0.15)
    assert expected_calibration_error(confidence, rng.random(800) < confidence - 0.2) > np.quantile(drawn, 0.999)


def test_the_bootstrap_redraws_what_the_point_counts() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 300)
    right = rng.random(300) < confidence - 0.25
    interval = expected_calibration_error_interval(confidence, right, rng, resamples=500)
    value = expected_calibration_error(confidence, right)
    again = []
    for _ in range(500):
        indices = rng.integers(0, 300, 300)
        again.append(expected_calibration_error(confidence[indices], right[indices]))
    calibrated = np.quantile(calibrated_reference(confidence, rng, resamples=2000), 0.975)
    assert interval.low == pytest.approx(value - calibrated, abs=0.01)
    assert interval.high == pytest.approx(np.quantile(again, 0.975), abs=0.01)
    assert interval.low <= value <= interval.high


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.25])
def test_the_interval_of_the_calibration_error_covers_the_truth(shift: float) -> None:
    """Confidences in [0.4, 1], right with probability ``confidence - shift``: the true error is ``shift`` exactly.

    A percentile bootstrap covers it in none of these draws where the model is calibrated.
    """
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(60):
        confidence = rng.uniform(0.4, 1, 100)
        right = rng.random(100) < confidence - shift
        interval = expected_calibration_error_interval(confidence, right, rng, resamples=100)
        covered += interval.low <= shift <= interval.high
    assert covered >= 52  # 0.93 of 60, less two standard deviations


def test_proper_scores() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 4)) * 3
    labels = np.random.default_rng(1).integers(0, 4, 40)
    probabilities = softmax(logits)
    assert log_losses(logits, labels).mean() == pytest.approx(log_loss(labels, probabilities, labels=range(4)))
    one_hot = np.eye(4)[labels]
    assert brier_scores(probabilities, labels) == pytest.approx(((probabilities - one_hot) ** 2).sum(axis=1))
    assert brier_scores(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0])).tolist() == [0.0, 2.0]
    assert log_losses(np.array([[1000.0, 0.0]]), np.array([1])).tolist() == [1000.0]


def test_softmax_keeps_what_float32_loses_and_refuses_nan() -> None:
    probabilities = softmax(np.array([[20.0, 0.0]], dtype=np.float32))
    assert 0 < 1 - confidences(probabilities)[0] < 1e-8
    with pytest.raises(NonFiniteError, match="1 of 2"):
        softmax(np.array([[0.0, 1.0], [np.inf, 0.0]]))
