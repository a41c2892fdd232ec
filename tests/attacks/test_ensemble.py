"""Auto-PGD, FAB, Square and the cascade: closed forms, counts, goals, few classes, and what may not count."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from attacks import APGD, Reach, Targeted, TargetedAPGD
from attacks.active import Active
from attacks.apgd import checkpoints
from attacks.attack import Attack, Problem
from attacks.attempt import Tally
from attacks.balls import AnyNorm, distance
from attacks.ensemble import TIERS, Ensemble
from attacks.fab import FAB
from attacks.goals import Untargeted
from attacks.square import Square, share
from robust.errors import DataShapeError, DataTypeError, UsageError
from robust.properties import Halfspaces, UnsafeSet
from tests.attacks.test_attacks import seeded, two_class_linear
from tests.doubles import ModuleClassifier, linear, mlp

NORMS: tuple[AnyNorm, ...] = ("linf", "l2", "l1")
DUAL = {"linf": 1, "l2": 2, "l1": math.inf}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("make", [APGD, TargetedAPGD, FAB, Ensemble], ids=lambda make: make.__name__)
def test_they_meet_the_closed_form_of_a_linear_model(make: type[Attack], norm: AnyNorm) -> None:
    """The nearest wrong answer lies at the margin over the dual norm of the weights: no attack gets below it."""
    classifier, x, labels, margins = two_class_linear()
    needed = margins / torch.linalg.vector_norm(torch.linspace(-1.0, 1.5, 6).double(), ord=DUAL[norm])
    epsilon = float(needed.median())
    attempt = make(norm=norm)(classifier, x, labels, epsilon, seeded())
    assert bool(attempt.success[needed < epsilon * 0.99].all())
    assert not bool(attempt.success[needed > epsilon * 1.0001].any())
    assert bool((attempt.distances[attempt.success] >= needed[attempt.success] * 0.9999).all())
    assert bool((attempt.distances[attempt.success] <= epsilon).all())
    assert attempt.norm == norm


@pytest.mark.parametrize("norm", NORMS)
def test_square_alone_gets_near_the_closed_form(norm: AnyNorm) -> None:
    classifier, x, labels, margins = two_class_linear()
    needed = margins / torch.linalg.vector_norm(torch.linspace(-1.0, 1.5, 6).double(), ord=DUAL[norm])
    epsilon = float(needed.median())
    attempt = Square(norm=norm, queries=400)(classifier, x, labels, epsilon, seeded())
    assert not bool(attempt.success[needed > epsilon * 1.0001].any())
    assert int(attempt.success.sum()) > 0.6 * int((needed < epsilon).sum())
    assert attempt.backward_passes == 0
    assert not bool(attempt.dead.any())


def test_the_best_effort_is_inside_and_measured() -> None:
    classifier, x, labels, margins = two_class_linear()
    attempt = APGD()(classifier, x, labels, 0.05, seeded())
    stands = ~attempt.success
    assert bool(stands.any())
    assert bool((distance(x, attempt.best, "linf") <= 0.05).all())
    again = Untargeted(labels).margin(classifier.replay(attempt.best))
    assert torch.equal(again, attempt.margins)
    weight = torch.linspace(-1.0, 1.5, 6).double().abs().sum()
    assert attempt.margins[stands].double().tolist() == pytest.approx(
        (margins[stands] - 0.05 * weight).tolist(), abs=1e-5
    )


def test_broken_rows_leave_inside_the_loop_and_every_row_is_counted() -> None:
    classifier, x, labels, margins = two_class_linear()
    needed = margins / torch.linspace(-1.0, 1.5, 6).double().abs().sum()
    epsilon = float(needed.median())
    classifier.rows = 0
    attempt = APGD(steps=50)(classifier, x, labels, epsilon, seeded())
    assert attempt.forward_passes == classifier.rows - 1  # one row to see whether there are gradients
    broken = attempt.success & (attempt.distances > 0)
    assert int(attempt.forward[broken].max()) < 10
    assert attempt.forward[~attempt.success].unique().tolist() == [1 + 51 + 1]  # the sample, the climb, the replay
    assert attempt.backward[~attempt.success].unique().tolist() == [50]


def test_a_row_that_fails_its_sample_takes_the_others_with_it() -> None:
    classifier = mlp((3,), 4)
    x = torch.rand(2, 3, generator=seeded())
    labels = classifier.replay(x).argmax(1)
    none = torch.full((2,), math.inf)
    problem = Problem(
        classifier, x, Untargeted(labels), 1.0, torch.arange(2), 2, seeded(), Tally.zeros(2, x.device), x, none
    )
    active = Active(problem, torch.tensor([0, 1, 0, 1]))
    active.certain = torch.tensor([False, True, False, False])
    keep = active.leave(1)
    assert keep is not None
    assert keep.tolist() == [0, 2]
    assert active.rows.tolist() == [0, 0]


def test_hopeless_is_who_would_not_arrive_twice_as_fast() -> None:
    classifier = mlp((3,), 4)
    x = torch.rand(3, 3, generator=seeded())
    none = torch.full((3,), math.inf)
    goal = Untargeted(torch.zeros(3, dtype=torch.int64))
    problem = Problem(classifier, x, goal, 1.0, torch.arange(3), 3, seeded(), Tally.zeros(3, x.device), x, none)
    active = Active(problem)
    assert active.hopeless(10, 30, 2.0, torch.tensor([4.0, 4.0, math.inf])) is None
    found = active.hopeless(20, 30, 2.0, torch.tensor([2.9, 2.6, math.inf]))
    assert found is not None
    assert found.tolist() == [True, False, True]  # 1.1 more gets twice 1.1 = 2.2 < 2.9; 1.4 gets 2.8 > 2.6
    assert active.hopeless(20, 30, None) is None


def test_the_schedules_of_the_papers() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert [share(q, 10_000, 0.8) for q in (1, 11, 51, 201, 9_000)] == [0.8, 0.4, 0.2, 0.1, 0.8 / 512]
    assert share(900, 1_000, 0.8) == share(9_000, 10_000, 0.8)


@pytest.mark.parametrize("classes", [2, 3, 100])
def test_few_and_many_classes(classes: int) -> None:
    classifier = mlp((5,), classes, seed=2)
    x = torch.rand(10, 5, generator=seeded())
    labels = classifier.replay(x).argmax(1)
    for norm in NORMS:
        attempt = Ensemble(norm=norm)(classifier, x, labels, 3.0, seeded())
        assert bool(attempt.success.any())
        answers = classifier.replay(attempt.adversarials).argmax(1)
        assert bool((answers != labels)[attempt.success].all())


@pytest.mark.parametrize("make", [APGD, TargetedAPGD, FAB, Square], ids=lambda make: make.__name__)
def test_a_target_is_the_only_success(make: type[Attack]) -> None:
    classifier = mlp((5,), 4, seed=1)
    x = torch.rand(20, 5, generator=seeded())
    labels = classifier.replay(x).argmax(1)
    targets = (labels + 1) % 4
    attempt = make(norm="linf")(classifier, x, Targeted(labels, targets), 1.0, seeded())
    assert int(attempt.success.sum()) > 0
    answers = classifier.replay(attempt.adversarials).argmax(1)
    assert torch.equal(answers[attempt.success], targets[attempt.success])


@pytest.mark.parametrize("make", [APGD, FAB, Square], ids=lambda make: make.__name__)
def test_any_unsafe_set_can_be_the_goal(make: type[Attack]) -> None:
    """Output 1 = x0 + x1 above 1.2: from (0.5, 0.5) within 0.2 the largest is 1.4."""
    classifier = linear(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    x = torch.tensor([[0.5, 0.5], [0.3, 0.3]])
    unsafe = UnsafeSet((Halfspaces(torch.tensor([[0.0, -1.0]]), torch.tensor([-1.2])),))
    attack = Square(queries=200) if make is Square else make(norm="linf")
    attempt = attack(classifier, x, Reach(unsafe, 2), 0.2, seeded())
    assert attempt.success.tolist() == [True, False]
    assert float(attempt.adversarials[0].sum()) >= 1.2


def test_the_draw_of_a_sample_does_not_depend_on_the_others_that_stand() -> None:
    classifier, x, labels, _ = two_class_linear()
    whole = Ensemble(tier="fast")(classifier, x, labels, 0.05, seeded())
    known = APGD(steps=3)(classifier, x, labels, 0.0001, seeded(9))
    half = torch.arange(60) < 30
    pretend = type(known)(**{**vars(known), "success": known.success | half})
    part = Ensemble(tier="fast")(classifier, x, labels, 0.05, seeded(), pretend)
    rest = ~half & ~known.success
    assert torch.equal(part.success[rest], whole.success[rest])
    assert torch.allclose(part.adversarials[rest], whole.adversarials[rest], atol=1e-6)


def test_a_black_box_is_searched_and_the_search_is_named() -> None:
    classifier, x, labels, _ = two_class_linear()
    classifier.differentiable = False
    ensemble = Ensemble(tier="fast")
    attempt = ensemble(classifier, x, labels, 0.2, seeded())
    assert attempt.backward_passes == 0
    names = set(ensemble.stage_names(attempt.broken_in))
    assert names == {"", "Square"}
    assert set(TIERS) == {"fast", "standard", "thorough"}


class Half(nn.Module):
    """Answers in half precision."""

    def forward(self, x: Tensor) -> Tensor:
        score = (x[:, :1] - 0.5) * 4
        return torch.cat([-score, score], 1).half()


def test_half_precision_a_batch_of_one_and_a_radius_beyond_the_box() -> None:
    classifier = ModuleClassifier(Half(), (3,), 2)
    x, labels = torch.tensor([[0.4, 0.2, 0.3]]), torch.tensor([0])
    for norm in NORMS:
        for tier in ("fast", "standard"):
            attempt = Ensemble(norm=norm, tier=tier)(classifier, x, labels, 50.0, seeded())  # type: ignore[arg-type]
            assert attempt.success.tolist() == [True]
            assert bool(classifier.input_box.contains(attempt.adversarials).all())


def test_bad_input_is_refused_by_name() -> None:
    classifier, x, labels, _ = two_class_linear()
    with pytest.raises(DataTypeError, match="fractions"):
        APGD()(classifier, x.long(), labels, 0.1, seeded())
    known = APGD(steps=2)(classifier, x[:3], labels[:3], 0.1, seeded())
    with pytest.raises(DataShapeError, match="known"):
        APGD()(classifier, x, labels, 0.1, seeded(), known)
    for make in (
        lambda: APGD(steps=0),
        lambda: TargetedAPGD(targets=0),
        lambda: FAB(patience=0.0),
        lambda: Square(first_share=0.0),
        lambda: Square(norm="l0"),
        lambda: Ensemble(tier="quick"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError):
            make()


def test_a_broken_sample_names_its_stage() -> None:
    classifier, x, labels, margins = two_class_linear()
    ensemble = Ensemble(tier="fast")
    attempt = ensemble(classifier, x, labels, float(margins.max()), seeded())
    assert bool(attempt.success.all())
    assert set(ensemble.stage_names(attempt.broken_in)) == {"APGD-CE"}
