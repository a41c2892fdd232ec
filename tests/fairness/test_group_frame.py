from __future__ import annotations

import numpy as np
import pytest

from robust.errors import DataShapeError
from robust.fairness import (
    Rate,
    accuracy,
    attack_success,
    best_proof,
    false_positive_rate,
    group_frame,
    selection_rate,
    true_positive_rate,
    worst_case,
)

SEX = np.array(["f"] * 6 + ["m"] * 4)
TRUTH = np.array([1, 1, 1, 0, 0, 0, 1, 1, 0, 0])
ANSWER = np.array([1, 0, 0, 1, 0, 0, 1, 1, 1, 0])


def test_rates_against_a_contingency_table_written_by_hand() -> None:
    frame = group_frame("sex", SEX)
    table = {
        "accuracy": (accuracy(ANSWER, TRUTH), [3, 3], [6, 4]),
        "selection": (selection_rate(ANSWER, TRUTH, 1), [2, 3], [6, 4]),
        "true positive": (true_positive_rate(ANSWER, TRUTH, 1), [1, 2], [3, 2]),
        "false positive": (false_positive_rate(ANSWER, TRUTH, 1), [1, 1], [3, 2]),
    }
    for name, (rate, hits, sizes) in table.items():
        counts = frame.count(rate)
        assert counts.hits.tolist() == hits, name
        assert counts.sizes.tolist() == sizes, name


def test_rates_agree_with_fairlearn() -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    rng = np.random.default_rng(0)
    truth, answer, group = rng.integers(0, 2, 300), rng.integers(0, 2, 300), rng.choice(["a", "b", "c"], 300)
    frame = group_frame("g", group)
    for ours, theirs in (
        (selection_rate(answer, truth, 1), metrics.selection_rate),
        (true_positive_rate(answer, truth, 1), metrics.true_positive_rate),
        (false_positive_rate(answer, truth, 1), metrics.false_positive_rate),
    ):
        reference = metrics.MetricFrame(metrics=theirs, y_true=truth, y_pred=answer, sensitive_features=group).by_group
        counts = frame.count(ours)
        assert (counts.hits / counts.sizes).tolist() == pytest.approx(reference.to_numpy().tolist())


def test_groups_are_sorted_numbers_as_numbers_and_codes_follow() -> None:
    values = np.array(["10", "9", "x", "10", "-1"])
    frame = group_frame("age", values)
    assert frame.names == ("-1", "9", "10", "x")
    assert [frame.names[code] for code in frame.codes] == values.tolist()
    bins = group_frame("age", np.array([">= 61", "< 9", "9 to < 37", "37 to < 61", "(missing)"]))
    assert bins.names == ("< 9", "9 to < 37", "37 to < 61", ">= 61", "(missing)")


def test_small_groups_are_set_aside_and_wrong_lengths_refused() -> None:
    frame = group_frame("sex", SEX)
    assert frame.count(accuracy(ANSWER, TRUTH)).at_least(5).names == ("f",)
    with pytest.raises(DataShapeError, match="wanted: 10"):
        frame.count(Rate("x", np.ones(3, dtype=bool), np.ones(3, dtype=bool)))


def test_the_worst_of_attacks_the_best_of_proofs_and_only_samples_that_all_tried() -> None:
    first = [((0, 1), np.array([True, False])), ((2,), np.array([True]))]
    second = [((0, 1, 3), np.array([False, True, True]))]
    among, robust = worst_case([first, second], 5)
    assert among.tolist() == [True, True, False, False, False]
    assert robust.tolist() == [False, False, False, False, False]
    among, certified = best_proof([first, second], 5)
    assert certified.tolist() == [True, True, False, False, False]
    assert not worst_case([], 5)[0].any()
    # twice under one attack (restarts): broken once is broken
    among, robust = worst_case([[((0, 1), np.array([True, True])), ((1,), np.array([False]))]], 2)
    assert robust.tolist() == [True, False]


def test_attack_success_is_among_answers_that_were_right() -> None:
    among = np.array([True, True, True, False])
    robust = np.array([True, False, False, False])
    right = np.array([True, True, False, True])
    counts = group_frame("g", np.array(["a"] * 4)).count(attack_success(among, robust, right))
    assert (counts.hits.tolist(), counts.sizes.tolist()) == ([1], [2])


def test_results_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataShapeError):
        worst_case([[((0, 7), np.array([True, True]))]], 5)
    with pytest.raises(DataShapeError):
        worst_case([[((0, 1), np.array([True]))]], 5)
