from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from robust.errors import DataShapeError
from robust.generation.frechet import frechet_distance, frechet_interval, frechet_of_gaussians


def test_one_dimension_by_hand() -> None:
    # (0 - 3)^2 + (1 - 2)^2 for N(0, 1) and N(3, 4)
    mean, variance = torch.tensor([0.0]), torch.tensor([[1.0]])
    other = torch.tensor([3.0]), torch.tensor([[4.0]])
    assert frechet_of_gaussians(mean, variance, *other) == pytest.approx(10.0)


def test_commuting_covariances_by_hand() -> None:
    # the same rotation of diag(1, 4, 9) and diag(4, 4, 1): (1-2)^2 + 0 + (3-1)^2 = 5, and a shift of 2
    turn = torch.linalg.qr(torch.tensor([[1.0, 2, 0], [0, 1, 3], [1, 0, 1]], dtype=torch.float64)).Q
    first = turn @ torch.diag(torch.tensor([1.0, 4, 9], dtype=torch.float64)) @ turn.T
    second = turn @ torch.diag(torch.tensor([4.0, 4, 1], dtype=torch.float64)) @ turn.T
    assert frechet_of_gaussians(torch.zeros(3), first, torch.tensor([0.0, 2, 0]), second) == pytest.approx(9.0)


def test_samples_by_hand() -> None:
    # {-1, 1}: mean 0, variance 2; {-1, 3}: mean 1, variance 8; 1 + (sqrt 2 - sqrt 8)^2 = 3
    assert frechet_distance(torch.tensor([[-1.0], [1]]), torch.tensor([[-1.0], [3]])) == pytest.approx(3.0)


@pytest.mark.parametrize(("rows", "width"), [(40, 5), (6, 12), (2, 3)])
def test_agrees_with_the_matrix_square_root(rows: int, width: int) -> None:
    rng = np.random.default_rng(rows)
    a, b = rng.normal(size=(rows, width)), rng.normal(size=(rows + 1, width)) @ rng.normal(size=(width, width))
    s, t = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t + 0j)))
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(1, 8), st.floats(-5, 5))
def test_zero_to_itself_square_of_a_shift_and_symmetric(seed: int, rows: int, width: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    a = torch.from_numpy(rng.normal(size=(rows, width)))
    b = torch.from_numpy(rng.normal(size=(rows + 3, width)))
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, a + shift) == pytest.approx(width * shift**2, abs=1e-7)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_interval_covers_the_mean_over_fresh_samples() -> None:
    rng = np.random.default_rng(5)

    def draw(shift: float) -> torch.Tensor:
        return torch.from_numpy(rng.normal(shift, 1.0, size=(80, 3)))

    pairs = [(draw(0.7), draw(0.0)) for _ in range(60)]
    expected = np.mean([frechet_distance(a, b) for a, b in pairs])
    intervals = [frechet_interval(a, b, rng) for a, b in pairs]
    covered = np.mean([item.low <= expected <= item.high for item in intervals])
    assert covered >= 0.85
    assert np.mean([item.high - item.low for item in intervals]) < 4 * expected


def test_refuses_what_has_no_covariance() -> None:
    with pytest.raises(DataShapeError, match="features"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))
    with pytest.raises(DataShapeError, match="other features"):
        frechet_distance(torch.zeros(5, 3), torch.zeros(5, 4))
    with pytest.raises(DataShapeError, match="too few"):
        frechet_interval(torch.zeros(19, 3), torch.zeros(50, 3), np.random.default_rng(0))
