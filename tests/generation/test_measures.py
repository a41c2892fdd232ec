"""Manifold scores, diversity, copies, C_T, balance and judge: numbers by hand or by a second method."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robust.errors import DataShapeError, LabelError
from robust.generation.balance import balance
from robust.generation.copies import authentic, count_copies
from robust.generation.data_copying import copying_scores, copying_statistic, mann_whitney_z
from robust.generation.diversity import class_diversity, mean_pairwise_distance, smallest
from robust.generation.judge import fit_judge
from robust.generation.manifold import manifold_scores


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def test_manifold_scores_by_hand() -> None:
    # real balls: 0 +- 1, 1 +- 1, 3 +- 2; generated 0.5 lies in two of them, 10 in none; generated balls reach 9.5
    scores = manifold_scores(column(0.5, 10.0), column(0.0, 1.0, 3.0), k=1)
    assert (scores.precision, scores.recall) == (0.5, 1.0)
    assert (scores.density, scores.coverage) == (1.0, pytest.approx(2 / 3))


def test_a_collapsed_generator_is_precise_and_has_no_recall() -> None:
    real = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 3)))
    scores = manifold_scores(real[:1].repeat(30, 1) + 1e-6, real, k=3)
    assert (scores.precision, scores.inside_generated) == (1.0, 0)
    assert scores.coverage < 0.3


def test_mean_pairwise_distance_by_hand() -> None:
    # pairs of {0, 2, 4}: 2, 2, 4; leaving one out: 2, 4, 2 with variance 8/9, times n - 1
    mean, error = mean_pairwise_distance(column(0.0, 2.0, 4.0))
    assert (mean, error) == (pytest.approx(8 / 3), pytest.approx(4 / 3))
    with pytest.raises(DataShapeError, match="pair"):
        mean_pairwise_distance(column(1.0))


def test_diversity_of_one_image_per_class_is_zero_and_of_half_the_spread_one_half() -> None:
    rng = np.random.default_rng(1)
    real, labels = torch.from_numpy(rng.normal(size=(40, 6))), np.arange(40) % 2
    ratio, interval = smallest(class_diversity(real[:2].repeat(20, 1), labels, real, labels))
    assert ratio == pytest.approx(0.0, abs=1e-12)
    assert interval.high == pytest.approx(0.0, abs=1e-12)
    halves = class_diversity(real / 2 + 7, labels, real, labels)
    assert [item.ratio for item in halves] == pytest.approx([0.5, 0.5])
    assert all(item.interval.low < 0.5 < item.interval.high for item in halves)


def test_diversity_leaves_out_small_classes_and_takes_the_least() -> None:
    rng = np.random.default_rng(2)
    real, labels = torch.from_numpy(rng.normal(size=(34, 4))), np.repeat([0, 1, 2], [15, 15, 4])
    made = real * torch.from_numpy(np.array([1.0, 0.25, 1.0])[labels])[:, None]
    found = class_diversity(made, labels, real, labels)
    assert [item.label for item in found] == [0, 1]
    assert smallest(found)[0] == pytest.approx(0.25)
    with pytest.raises(DataShapeError, match="no class"):
        smallest([])


def test_diversity_intervals_hold_together() -> None:
    rng = np.random.default_rng(3)
    labels, hits = np.arange(120) % 6, 0
    for _ in range(60):
        made, real = (torch.from_numpy(rng.normal(size=(120, 3)) * scale) for scale in (0.7, 1.0))
        found = class_diversity(made, labels, real, labels)
        hits += all(item.interval.low <= 0.7 <= item.interval.high for item in found)
    assert hits >= 54


def test_copies_by_hand() -> None:
    held_out = np.arange(1, 101) / 100  # the 1 % quantile lies at 0.01 + 0.99 * 0.01
    result = count_copies(np.array([0.0, 0.0198, 0.02, 0.9]), held_out)
    assert result.threshold == pytest.approx(0.0199)
    assert (result.copies, result.share, result.held_out_copies) == (2, 0.5, 1)
    with pytest.raises(DataShapeError, match="distances"):
        count_copies(np.array([]), held_out)


def test_copies_are_found_in_a_memoriser_and_not_among_real_samples() -> None:
    rng = np.random.default_rng(4)
    real = rng.gamma(9.0, size=400)
    assert count_copies(np.full(200, 1e-3), real[:200]).found
    assert sum(count_copies(rng.gamma(9.0, size=200), rng.gamma(9.0, size=200)).found for _ in range(200)) == 0
    some = np.where(np.arange(200) < 40, 1e-3, rng.gamma(9.0, size=200))
    assert count_copies(some, real).found


def test_authenticity_by_hand() -> None:
    training = column(0.0, 1.0, 5.0)  # nearest fellows at 1, 1, 4
    answers = authentic(torch.tensor([0.5, 1.5, 3.0, 4.5]), torch.tensor([0, 1, 2, 2]), training)
    assert answers.tolist() == [False, True, False, True]


def test_mann_whitney_by_hand_and_by_scipy() -> None:
    assert mann_whitney_z(np.array([1.0, 2]), np.array([3.0, 4])) == pytest.approx(-2 / math.sqrt(5 / 3))
    assert mann_whitney_z(np.ones(4), np.ones(3)) == 0.0
    with pytest.raises(DataShapeError):
        mann_whitney_z(np.array([]), np.ones(3))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=3, max_size=20), st.lists(st.integers(0, 6), min_size=3, max_size=20))
def test_mann_whitney_with_ties_agrees_with_scipy(first: list[int], second: list[int]) -> None:
    a, b = np.array(first, float), np.array(second, float)
    if len(set(first + second)) < 2:
        return
    expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic").pvalue
    assert 2 * stats.norm.sf(abs(mann_whitney_z(a, b))) == pytest.approx(expected, abs=1e-9)


def test_copying_per_class_is_not_fooled_by_a_preference_for_the_dense_class() -> None:
    rng = np.random.default_rng(6)
    held_out, cells = np.concatenate([rng.normal(1, 0.1, 100), rng.normal(5, 0.1, 100)]), np.repeat([0, 1], 100)
    made = np.concatenate([rng.normal(1, 0.1, 190), rng.normal(5, 0.1, 10)])
    per_class = copying_statistic(copying_scores(made, np.repeat([0, 1], [190, 10]), held_out, cells))
    assert mann_whitney_z(made, held_out) < -5
    assert per_class is not None
    assert abs(per_class) < 2
    copied = copying_statistic(copying_scores(np.full(200, 0.01), cells, held_out, cells))
    assert copied is not None
    assert copied < -10
    assert copying_statistic(copying_scores(made[:4], cells[:4], held_out, cells)) is None


def test_balance_by_hand() -> None:
    # expected counts 70 and 30 on both sides: chi-square 2 * 400/70 + 2 * 400/30
    result = balance(np.array([50, 50]), np.array([90, 10]))
    assert result.gap == pytest.approx(0.4)
    assert result.p_value == pytest.approx(stats.chi2.sf(800 / 70 + 800 / 30, 1))
    assert result.expected == pytest.approx(30)
    assert 0 < result.interval.low < 0.4 < result.interval.high
    assert balance(np.array([5, 0]), np.array([9, 0])).p_value == 1.0
    with pytest.raises(DataShapeError, match="balance"):
        balance(np.array([0, 0]), np.array([1, 1]))


def test_balance_interval_is_honest_where_nothing_differs() -> None:
    rng = np.random.default_rng(7)
    share = np.array([0.4, 0.3, 0.2, 0.1])
    lows = [balance(rng.multinomial(200, share), rng.multinomial(150, share)).interval.low for _ in range(200)]
    assert np.mean(np.array(lows) > 0) <= 0.08


def test_judge_learns_and_refuses_one_class() -> None:
    rng = np.random.default_rng(8)
    labels = np.arange(200) % 2
    inputs = rng.normal(size=(200, 3)) * 0.1 + labels[:, None]
    judge = fit_judge(inputs, labels, rng, limit=50)
    assert judge.trained_on == 50
    assert (judge(inputs) == labels).all()
    with pytest.raises(LabelError, match="two classes"):
        fit_judge(inputs, np.zeros(200, dtype=np.int64), rng)
