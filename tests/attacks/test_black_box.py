"""Attacks by scores or answers alone: closed forms, budgets, and what happens where there is nothing to begin from."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks import NES, SPSA, Attack, HopSkipJump, HopSkipJumpBall, Targeted
from attacks.balls import Norm, distance
from attacks.population import Dice
from robust.errors import DataShapeError, UsageError
from robust.subjects import CallableClassifier
from tests.attacks.test_attacks import seeded, two_class_linear
from tests.doubles import mlp

NORMS: tuple[Norm, ...] = ("l2", "linf")
BALLS: dict[str, Callable[[Norm, int], Attack]] = {
    "nes": lambda norm, queries: NES(norm=norm, queries=queries, population=10),
    "spsa": lambda norm, queries: SPSA(norm=norm, queries=queries, population=10),
    "hopskipjump-ball": lambda norm, queries: HopSkipJumpBall(norm=norm, queries=queries),
}


class Counter:
    """Three classes, the last never the answer; shows its answer alone; counts rows, and those outside [0, 1]."""

    def __init__(self, shift: float = 0.0) -> None:
        self.rows, self.outside, self.shift = 0, 0, shift

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.rows += len(x)
        self.outside += int(((x < 0) | (x > 1)).any(1).sum())
        scores = np.stack([x[:, 0] + self.shift, x[:, 1], x[:, 2] - 1], 1)
        return np.eye(3, dtype=np.float32)[scores.argmax(1)]


def labels_only(shift: float = 0.0) -> tuple[CallableClassifier, Counter]:
    counter = Counter(shift)
    classifier = CallableClassifier(counter, [4], output="logits")
    counter.rows, counter.outside = 0, 0
    return classifier, counter


def three_points() -> tuple[Tensor, Tensor, Tensor]:
    """Class 0 by 0.2, 0.3 and 0.4 before the runner-up: the nearest change in L2 is that over the root of 2."""
    gaps = torch.tensor([0.2, 0.3, 0.4])
    x = torch.full((3, 4), 0.5)
    x[:, 0], x[:, 2] = 0.5 + gaps / 2, 0.1
    x[:, 1] = 0.5 - gaps / 2
    return x, torch.zeros(3, dtype=torch.int64), gaps.double()


@pytest.mark.parametrize("norm", NORMS)
def test_hopskipjump_meets_the_closed_form_of_a_linear_model(norm: Norm) -> None:
    classifier, x, labels, margins = two_class_linear()
    order = 1 if norm == "linf" else 2
    needed = margins / torch.linalg.vector_norm(torch.linspace(-1.0, 1.5, 6).double(), ord=order)
    attempt = HopSkipJump(norm=norm, queries=1000)(classifier, x, labels, seeded())
    assert bool(attempt.success.all())
    assert bool((attempt.distances >= needed * 0.9999).all())
    assert float((attempt.distances / needed).median()) < 1.02
    assert torch.equal(attempt.distances, distance(x, attempt.adversarials, norm))
    assert bool((classifier.replay(attempt.adversarials).argmax(1) != labels).all())
    assert attempt.backward_passes == 0


@pytest.mark.parametrize(("norm", "share"), [("l2", math.sqrt(0.5)), ("linf", 0.5)])
def test_an_answer_without_scores_is_enough(norm: Norm, share: float) -> None:
    classifier, counter = labels_only()
    x, labels, gaps = three_points()
    attempt = HopSkipJump(norm=norm, queries=1500)(classifier, x, labels, seeded())
    ratio = attempt.distances / (gaps * share)
    assert bool(((ratio > 0.9999) & (ratio < 1.05)).all())
    assert counter.rows == attempt.forward_passes
    assert counter.outside == 0


@pytest.mark.parametrize("queries", [3, 4, 17, 40, 130, 700])
@pytest.mark.parametrize("norm", NORMS)
def test_no_more_is_asked_than_allowed_and_all_that_is_asked_is_counted(norm: Norm, queries: int) -> None:
    x, labels, _ = three_points()
    for make in [*BALLS.values(), None]:
        classifier, counter = labels_only()
        if make is None:
            attempt = HopSkipJump(norm=norm, queries=queries)(classifier, x, labels, seeded())
        else:
            attempt = make(norm, queries)(classifier, x, labels, 0.05, seeded())
        assert int(attempt.forward.max()) <= queries
        assert counter.rows == attempt.forward_passes
        assert counter.outside == 0


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", BALLS)
def test_in_a_ball_they_break_what_can_be_broken_and_nothing_else(name: str, norm: Norm) -> None:
    classifier, x, labels, margins = two_class_linear()
    needed = margins / torch.linalg.vector_norm(torch.linspace(-1.0, 1.5, 6).double(), ord=1 if norm == "linf" else 2)
    epsilon = float(needed.median())
    attempt = BALLS[name](norm, 1500)(classifier, x, labels, epsilon, seeded())
    assert bool(attempt.success[needed < epsilon * 0.9].all())
    assert not bool(attempt.success[needed > epsilon * 1.0001].any())
    assert bool((attempt.distances[attempt.success] <= epsilon).all())
    assert bool((classifier.replay(attempt.adversarials).argmax(1) != labels)[attempt.success].all())
    assert not bool(attempt.unstarted.any())


def test_the_seed_decides_and_a_sample_alone_fares_as_in_its_batch() -> None:
    classifier, _ = labels_only()
    x, labels, _ = three_points()
    state = torch.random.get_rng_state()
    first, second, other = (HopSkipJump(queries=300)(classifier, x, labels, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first.adversarials, second.adversarials)
    assert torch.equal(first.forward, second.forward)
    assert not torch.equal(first.adversarials, other.adversarials)
    assert torch.equal(torch.random.get_rng_state(), state)
    alone = HopSkipJump(queries=300)(classifier, x[:1], labels[:1], seeded(5))
    few = Dice(_problem(x[1:], 3, torch.tensor([1, 2]))).draw(torch.tensor([1]), 2, "normal")
    all_ = Dice(_problem(x, 3, torch.arange(3))).draw(torch.tensor([0, 2]), 2, "normal")
    assert torch.equal(few[0], all_[1])
    assert bool(alone.success.all())


def _problem(x: Tensor, total: int, rows: Tensor):  # type: ignore[no-untyped-def]
    from attacks.attack import Problem
    from attacks.attempt import Tally
    from attacks.goals import Untargeted

    goal = Untargeted(torch.zeros(len(x), dtype=torch.int64))
    return Problem(
        mlp((4,), 3), x, goal, 1.0, rows, total, seeded(9), Tally.zeros(total, x.device), x, torch.zeros(len(x))
    )


def test_no_start_is_said_and_is_neither_broken_nor_searched() -> None:
    """One class whatever the input: there is nothing to find, and nothing was looked at but the starts."""
    classifier, counter = labels_only(shift=9.0)
    x, labels, _ = three_points()
    attempt = HopSkipJump(queries=2500)(classifier, x, labels, seeded())
    assert attempt.unstarted.tolist() == [True] * 3
    assert attempt.success.tolist() == [False] * 3
    assert bool(torch.isinf(attempt.distances).all())
    assert torch.equal(attempt.adversarials, x)
    assert attempt.forward.tolist() == [102] * 3  # the sample, 100 starts, the replay
    ball = HopSkipJumpBall(queries=2500)(classifier, x, labels, 0.3, seeded())
    assert ball.unstarted.tolist() == [True] * 3
    assert counter.rows == attempt.forward_passes + ball.forward_passes


def test_given_starts_serve_where_random_ones_do_not() -> None:
    """The target's region is a corner of a hundred-dimensional box: x0 > 0.9 and the mean of the others above 0.9."""

    def corner(x: NDArray[np.float32]) -> NDArray[np.float32]:
        inside = (x[:, 0] > 0.9) & (x[:, 1:].mean(1) > 0.9)
        return np.stack([~inside, inside], 1).astype(np.float32)

    classifier = CallableClassifier(corner, [100], output="logits")
    x, labels = torch.full((2, 100), 0.5), torch.zeros(2, dtype=torch.int64)
    goal = Targeted(labels, labels + 1)
    assert bool(HopSkipJump(queries=200)(classifier, x, goal, seeded()).unstarted.all())
    starts = torch.stack([torch.zeros(100), torch.ones(100)])
    attempt = HopSkipJump(queries=400, starts=starts)(classifier, x, goal, seeded())
    assert attempt.success.tolist() == [True, True]
    assert bool((attempt.distances < distance(x, torch.ones(2, 100), "l2")).all())
    assert float(attempt.distances.min()) >= 0.4 * 10 * 0.9999  # by hand: a mean of 0.9 takes 0.4 on each
    with pytest.raises(DataShapeError, match="starts"):
        HopSkipJump(starts=torch.ones(2, 3))(classifier, x, labels, seeded())


@pytest.mark.parametrize(
    "make",
    [
        lambda: HopSkipJump(queries=2),
        lambda: HopSkipJump(norm="l1"),
        lambda: HopSkipJump(draws=0),
        lambda: NES(queries=1),
        lambda: NES(norm="l1"),
        lambda: NES(population=7),
        lambda: SPSA(reach=0.0),
    ],
)
def test_numbers_that_are_none_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()
