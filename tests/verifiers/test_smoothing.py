"""Randomised smoothing against closed forms of linear classifiers, and its rate of errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from robust.errors import DataRangeError, UsageError
from verifiers import smoothing
from verifiers.smoothing import smoothed_certificates, smoothed_predictions
from verifiers.voting import votes

NORMAL = torch.tensor([3.0, -4.0])  # length 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def halfspace(x: Tensor) -> Tensor:
    """Class 0 where ``3 x - 4 y > 1``, class 1 elsewhere; the distance to the line is ``(3 x - 4 y - 1) / 5``."""
    side = x @ NORMAL - 1
    return torch.stack([side, -side], 1)


def constant(x: Tensor) -> Tensor:
    return torch.tensor([0.0, 1.0, 0.0]).expand(len(x), 3)


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_the_radius_of_a_linear_classifier_is_the_distance_to_its_line(sigma: float) -> None:
    """``P(class 0) = Phi(d / sigma)``, so the exact smoothed radius is ``d`` whatever sigma is."""
    distances = torch.tensor([0.1, 0.3, 0.6, -0.4], dtype=torch.float64) * min(1.0, 2 * sigma)
    points = (NORMAL * ((5 * distances + 1) / 25)[:, None]).float()
    found = smoothed_certificates(halfspace, points, sigma=sigma, generator=seeded(), draws=20_000, alpha=0.01)
    assert found.predicted.tolist() == [0, 0, 0, 1]
    exact = distances.abs()
    assert bool((found.radii <= exact).all())
    # A 99 % lower limit of 20,000 draws is within 5 standard deviations of the probability.
    p = stats.norm.cdf(exact.numpy() / sigma)
    worst = sigma * stats.norm.ppf(p - 5 * np.sqrt(p * (1 - p) / 20_000))
    assert bool((found.radii.numpy() >= worst).all())
    assert found.certified(torch.tensor([0, 0, 0, 1]), 0.0).all()
    assert found.certified(torch.tensor([0, 1, 0, 0]), 0.0).tolist() == [True, False, True, False]
    assert not found.certified(torch.tensor([0, 0, 0, 1]), float(found.radii.max())).any()


def test_a_constant_classifier_reaches_the_largest_radius_there_is() -> None:
    """All of ``n`` votes: the one-sided limit is ``alpha ** (1 / n)``."""
    found = smoothed_certificates(
        constant, torch.rand(3, 5), sigma=0.5, generator=seeded(), selection=10, draws=1000, alpha=0.001
    )
    limit = 0.001 ** (1 / 1000)
    assert found.predicted.tolist() == [1, 1, 1]
    assert found.counts.tolist() == [[0, 1000, 0]] * 3
    assert found.selection_counts.tolist() == [[0, 10, 0]] * 3
    assert found.p_lower.tolist() == pytest.approx([limit] * 3, rel=1e-9)
    assert found.radii.tolist() == pytest.approx([0.5 * float(stats.norm.ppf(limit))] * 3, rel=1e-6)
    assert found.family_failure == pytest.approx(0.003)


def test_it_abstains_at_ties_and_abstaining_is_never_certified() -> None:
    on_the_line = (NORMAL / 25)[None].repeat(20, 1)
    found = smoothed_certificates(halfspace, on_the_line, sigma=1.0, generator=seeded(), draws=1000, alpha=1e-6)
    assert found.abstained.all()
    assert found.predicted.tolist() == [-1] * 20
    assert found.radii.tolist() == [0.0] * 20
    for label in (0, 1):
        assert not found.certified(torch.full((20,), label), 0.0).any()
    assert smoothed_predictions(halfspace, on_the_line, sigma=1.0, generator=seeded(), alpha=1e-6).tolist() == [-1] * 20


def test_predict_answers_where_the_vote_is_clear() -> None:
    points = NORMAL * torch.tensor([[0.6], [-0.6]])
    assert smoothed_predictions(halfspace, points, sigma=1.0, generator=seeded()).tolist() == [0, 1]
    # 10 of 10 votes: a two-sided p-value of 2 / 1024 is above 0.001 and below 0.01.
    few = {
        alpha: smoothed_predictions(constant, points, sigma=1.0, generator=seeded(), draws=10, alpha=alpha)
        for alpha in (0.001, 0.01)
    }
    assert few[0.001].tolist() == [-1, -1]
    assert few[0.01].tolist() == [1, 1]


def test_answers_that_are_not_numbers_count_for_no_class() -> None:
    def broken(x: Tensor) -> Tensor:
        return torch.where(x[:, :1] > 0, torch.tensor([[1.0, 0.0]]), torch.full((1, 2), math.nan))

    found = smoothed_certificates(broken, torch.zeros(1, 2), sigma=1.0, generator=seeded(), draws=4000)
    assert 1800 < int(found.counts.sum()) < 2200
    assert found.abstained.all()


@given(seed=st.integers(0, 1000), samples=st.integers(1, 4), draws=st.integers(1, 50), budget=st.integers(1, 10**6))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_memory_changes_no_vote_and_every_draw_counts_once(seed: int, samples: int, draws: int, budget: int) -> None:
    x = torch.randn(samples, 3000, generator=seeded(seed))

    def model(points: Tensor) -> Tensor:
        return points[:, :4]

    found = [votes(model, x, sigma=0.3, draws=draws, generator=seeded(seed), bytes=b) for b in (budget, 10**9)]
    assert torch.equal(*found)
    assert found[0].sum(1).tolist() == [draws] * samples


def test_a_batch_that_does_not_fit_is_halved() -> None:
    sizes = []

    def tight(points: Tensor) -> Tensor:
        sizes.append(len(points))
        if len(points) > 7:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return halfspace(points)

    x = torch.randn(3, 2, generator=seeded())
    arguments = {"sigma": 1.0, "draws": 40, "bytes": 10**9}
    roomy = votes(halfspace, x, generator=seeded(1), **arguments)  # type: ignore[arg-type]
    assert torch.equal(votes(tight, x, generator=seeded(1), **arguments), roomy)  # type: ignore[arg-type]
    assert max(sizes) == 120


@pytest.mark.parametrize(
    "wrong", [{"sigma": 0.0}, {"sigma": math.inf}, {"alpha": 0.0}, {"alpha": 1.0}, {"draws": 0}, {"selection": 0}]
)
def test_nonsense_is_a_typed_error(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        smoothed_certificates(constant, torch.zeros(1, 2), **({"sigma": 1.0, "generator": seeded()} | wrong))  # type: ignore[arg-type]
    with pytest.raises(DataRangeError):
        smoothed_certificates(constant, torch.full((1, 2), math.nan), sigma=1.0, generator=seeded())


def test_no_samples() -> None:
    found = smoothed_certificates(constant, torch.zeros(0, 2), sigma=1.0, generator=seeded())
    assert found.counts.shape == (0, 3)
    assert found.radii.shape == (0,)


def test_the_selection_draws_do_not_vote_twice() -> None:
    """With the draws that chose the class among those that estimate it, a coin would often seem unfair."""
    found = smoothed_certificates(
        halfspace, (NORMAL / 25)[None], sigma=1.0, generator=seeded(3), selection=500, draws=500
    )
    assert int(found.counts.sum()) == int(found.selection_counts.sum()) == 500
    assert not torch.equal(found.counts, found.selection_counts)


@pytest.mark.slow
@pytest.mark.parametrize("distance", [0.0, 0.5])
def test_a_radius_is_too_large_no_more_often_than_alpha(distance: float) -> None:
    """3,000 certificates at alpha = 0.1 of the same point: the exact radius is ``distance``."""
    trials, alpha = 3000, 0.1
    points = (NORMAL * ((5 * distance + 1) / 25))[None].repeat(trials, 1)
    found = smoothed_certificates(halfspace, points, sigma=1.0, generator=seeded(5), draws=200, alpha=alpha)
    too_large = int((found.radii > distance + 1e-6).sum())
    assert stats.binomtest(too_large, trials, alpha, alternative="greater").pvalue > 1e-4
    assert too_large > 0.3 * alpha * trials  # nor is it so cautious that the test could not fail


def test_the_radius_formula() -> None:
    """Phi^-1(0.9986501) = 3, Phi^-1(0.5) = 0."""
    radii = smoothing.smoothed_radius(np.array([0.9986501019683699, 0.5, 0.2]), 0.5)
    assert radii.tolist() == pytest.approx([1.5, 0.0, 0.0], abs=1e-9)
