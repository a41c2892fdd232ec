"""Minimal-norm attacks against the closed form of a linear model, foolbox's own, and each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import foolbox
import pytest
import torch

from attacks import NoGradientError, Targeted
from attacks.balls import AnyNorm, distance
from attacks.ddn import DDN
from attacks.deepfool import DeepFool
from attacks.fmn import FMN, cut
from attacks.minimal import MinimalAttack, cosine
from attacks.sigma_zero import SigmaZero
from robust.errors import UsageError
from tests.attacks.test_attacks import seeded, two_class_linear
from tests.doubles import mlp

ALL: dict[str, tuple[Callable[[], MinimalAttack], float]] = {
    "ddn": (DDN, 1.05),
    "fmn l2": (FMN, 1.02),
    "fmn linf": (lambda: FMN(norm="linf"), 1.05),
    "fmn l1": (lambda: FMN(norm="l1"), 1.05),
    "deepfool l2": (DeepFool, 1.03),
    "deepfool linf": (lambda: DeepFool(norm="linf"), 1.03),
}
"""Attack, and how far above the smallest distance its median may be."""


@pytest.mark.parametrize("name", ALL)
def test_they_meet_the_closed_form_of_a_linear_model(name: str) -> None:
    make, slack = ALL[name]
    attack = make()
    classifier, x, labels, margins = two_class_linear()
    order = {"linf": 1, "l2": 2, "l1": math.inf}[attack.norm]
    needed = margins / torch.linalg.vector_norm(torch.linspace(-1.0, 1.5, 6).double(), ord=order)
    attempt = attack(classifier, x, labels, seeded())
    assert bool(attempt.success.all())
    assert bool((attempt.distances >= needed * 0.9999).all())
    assert float((attempt.distances / needed).median()) < slack
    assert torch.equal(attempt.distances, distance(x, attempt.adversarials, attack.norm))
    assert bool((classifier.replay(attempt.adversarials).argmax(1) != labels).all())


@pytest.mark.parametrize("make", [SigmaZero, lambda: FMN(norm="l0")], ids=["sigma-zero", "fmn"])
def test_one_pixel_is_enough_where_one_is(make: Callable[[], MinimalAttack]) -> None:
    """Box [-9, 9]: the heaviest weight alone, 1.5, moves the score by more than any margin."""
    classifier, x, labels, margins = two_class_linear()
    assert float(margins.max()) < 1.5 * 8
    attempt = make()(classifier, x, labels, seeded())
    assert bool(attempt.success.all())
    assert float(attempt.distances.median()) == 1.0
    assert torch.equal(attempt.distances, (attempt.adversarials != x).flatten(1).sum(1).double())


@pytest.mark.parametrize(("norm", "peer"), [("l2", foolbox.attacks.DDNAttack), ("l0", foolbox.attacks.L0FMNAttack)])
def test_they_are_no_worse_than_foolbox_own(norm: AnyNorm, peer: type[foolbox.Attack]) -> None:
    classifier = mlp((1, 6, 6), 5)
    x = torch.rand(30, 1, 6, 6, generator=seeded())
    labels = classifier.replay(x).argmax(1)
    _, points, _ = peer(steps=100)(
        foolbox.PyTorchModel(classifier.module(), (0, 1), device="cpu"), x, labels, epsilons=None
    )
    theirs = distance(x, points, norm).median()
    ours = (DDN() if norm == "l2" else SigmaZero())(classifier, x, labels, seeded()).distances.median()
    assert float(ours) <= float(theirs) * 1.01


def test_what_finds_nothing_says_so_and_targets_are_kept() -> None:
    classifier = mlp((4,), 3)
    x = torch.rand(12, 4, generator=seeded())
    labels = classifier.replay(x).argmax(1)
    goal = Targeted(labels, (labels + 1) % 3)
    attempt = FMN()(classifier, x, goal, seeded())
    answers = classifier.replay(attempt.adversarials).argmax(1)
    assert torch.equal(answers == goal.targets, attempt.success)
    assert bool(torch.isinf(attempt.distances[~attempt.success]).all())
    assert torch.equal(attempt.adversarials[~attempt.success], x[~attempt.success])
    assert bool(classifier.input_box.contains(attempt.adversarials).all())
    assert attempt.forward.unique().tolist() == [103]  # the sample, 100 steps and their end, the replay


def test_wrong_samples_need_no_change() -> None:
    classifier, x, labels, _ = two_class_linear()
    attempt = DDN(steps=3)(classifier, x, 1 - labels, seeded())
    assert attempt.distances.tolist() == [0.0] * 60
    assert attempt.backward_passes == 0


def test_balls_are_cut_to_the_nearest_point() -> None:
    move, radius = torch.tensor([[3.0, -1.0, 0.5]]), torch.tensor([2.0])
    assert cut(move, radius, "linf").tolist() == [[2.0, -1.0, 0.5]]
    assert cut(move, radius, "l1").tolist() == [[2.0, 0.0, 0.0]]
    assert cut(move, radius, "l0").tolist() == [[3.0, -1.0, 0.0]]
    assert float(torch.linalg.vector_norm(cut(move, radius, "l2"))) == pytest.approx(2.0)
    wide = torch.tensor([math.inf])
    for norm in ("linf", "l2", "l1", "l0"):
        assert torch.equal(cut(move, wide, norm), move)  # type: ignore[arg-type]
    assert [cosine(1.0, 0.0, step, 2) for step in range(3)] == pytest.approx([1.0, 0.5, 0.0])


def test_bad_input_is_refused_by_name() -> None:
    classifier = mlp((4,), 3, differentiable=False)
    with pytest.raises(NoGradientError, match="ddn"):
        DDN()(classifier, torch.rand(2, 4), torch.tensor([0, 1]), seeded())
    for make in (lambda: DDN(steps=0), lambda: DeepFool(norm="l1"), lambda: SigmaZero(smoothness=0.0)):
        with pytest.raises(UsageError):
            make()
    assert repr(DDN(steps=5)) == "DDN(steps=5, first_norm=1.0, rate=0.05)"
