from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics import confusion_matrix as reference_matrix

from robust.calibration import balanced_accuracy, balanced_accuracy_interval, class_counts, confusion_matrix
from robust.calibration.evidence import confusion_table
from robust.statistics import wilson

TRUTH = np.array([0, 0, 0, 1, 1, 2])
ANSWER = np.array([0, 0, 1, 1, 0, 1])


def test_a_matrix_by_hand() -> None:
    matrix = confusion_matrix(TRUTH, ANSWER, 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    counts = class_counts(matrix)
    assert [(c.recall, c.precision) for c in counts] == [(2 / 3, 2 / 3), (0.5, 1 / 3), (0.0, None), (None, None)]
    assert balanced_accuracy(matrix) == pytest.approx((2 / 3 + 0.5 + 0) / 3)


def test_against_sklearn() -> None:
    rng = np.random.default_rng(0)
    truth, answer = rng.integers(0, 6, 300), rng.integers(0, 6, 300)
    matrix = confusion_matrix(truth, answer, 6)
    assert matrix.tolist() == reference_matrix(truth, answer).tolist()
    assert balanced_accuracy(matrix) == pytest.approx(balanced_accuracy_score(truth, answer))


def test_the_interval_of_one_class_is_wilsons_and_of_many_is_narrower() -> None:
    one = balanced_accuracy_interval(np.array([[18, 2], [0, 0]]))
    assert (one.low, one.high) == (pytest.approx(wilson(18, 20).low), pytest.approx(wilson(18, 20).high))
    four = balanced_accuracy_interval(np.eye(4, dtype=np.int64) * 18 + np.roll(np.eye(4, dtype=np.int64) * 2, 1, 1))
    assert four.high - four.low == pytest.approx((one.high - one.low) / 2)
    perfect = balanced_accuracy_interval(np.eye(3, dtype=np.int64) * 10)
    assert perfect.high == 1.0
    assert perfect.low < 0.95


def test_the_interval_covers_the_true_mean_recall() -> None:
    rng = np.random.default_rng(0)
    recalls, sizes = np.array([0.95, 0.8, 0.6]), np.array([30, 60, 20])
    covered = 0
    for right in rng.binomial(sizes, recalls, size=(500, 3)):
        matrix = np.diag(right)
        matrix[:, 0] += sizes - right
        matrix[0, 0] = right[0]
        matrix[0, 1] = sizes[0] - right[0]
        interval = balanced_accuracy_interval(matrix)
        covered += interval.low <= recalls.mean() <= interval.high
    assert covered >= 465  # 475 expected


def test_many_classes_show_the_most_frequent_confusions_first() -> None:
    matrix = np.eye(20, dtype=np.int64) * 5
    matrix[3, 7], matrix[9, 1] = 4, 2
    table = confusion_table([f"k{i}" for i in range(20)], matrix, top=10)
    assert table.rows == (("k3", "k7", 4, 4 / 9), ("k9", "k1", 2, 2 / 7))
    assert len(confusion_table(["a", "b"], matrix[:2, :2]).rows) == 2
