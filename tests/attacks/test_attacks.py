"""One table of tests drives every attack; closed forms on linear models are the reference."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks import APGD, FGSM, PGD, Attack, Attempt, NoGradientError, TargetedAPGD, UniformNoise
from attacks.balls import Norm
from attacks.ensemble import Ensemble
from attacks.fab import FAB
from attacks.square import Square
from robust.errors import DataRangeError, DataShapeError, LabelError, UsageError
from robust.properties import L2Ball, linf_ball
from tests.doubles import ModuleClassifier, linear, mlp

ALL: dict[str, Callable[[Norm], Attack]] = {
    "pgd": lambda norm: PGD(norm=norm, steps=15, restarts=2),
    "fgsm": lambda norm: FGSM(norm=norm),
    "noise": lambda norm: UniformNoise(norm=norm, draws=5),
    "apgd": lambda norm: APGD(norm=norm, steps=20),
    "apgd-t": lambda norm: TargetedAPGD(norm=norm, steps=20, patience=2.0),
    "fab-t": lambda norm: FAB(norm=norm, steps=10, restarts=2),
    "square": lambda norm: Square(norm=norm, queries=80),
    "ensemble": lambda norm: Ensemble(norm=norm, tier="fast"),
}
NORMS: tuple[Norm, ...] = ("linf", "l2")
table = pytest.mark.parametrize(("name", "norm"), [(name, norm) for name in ALL for norm in NORMS])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_class_linear(count: int = 60, width: int = 6) -> tuple[ModuleClassifier, Tensor, Tensor, Tensor]:
    """Two classes; logit difference is <w, x - centre>. Samples all right, away from the box; margins returned."""
    weight = torch.linspace(-1.0, 1.5, width)
    bias = torch.tensor([0.0, -float(weight.sum()) * 0.5])
    classifier = linear(torch.stack([torch.zeros(width), weight]), bias, lower=-9.0, upper=9.0)
    x = torch.rand(count, width, generator=seeded(1)) * 2 - 0.5
    score = x.double() @ weight.double() + bias[1].double()
    return classifier, x, (score > 0).long(), score.abs()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["pgd", "fgsm"])
def test_gradient_attacks_meet_the_closed_form_of_a_linear_model(name: str, norm: Norm) -> None:
    classifier, x, labels, margins = two_class_linear()
    weight = torch.linspace(-1.0, 1.5, 6).double()
    dual = weight.abs().sum() if norm == "linf" else torch.linalg.vector_norm(weight)
    epsilon = float((margins / dual).median())
    attempt = (PGD(norm=norm, steps=40) if name == "pgd" else FGSM(norm=norm))(classifier, x, labels, epsilon, seeded())
    needed = margins / dual
    assert bool(attempt.success[needed < epsilon * 0.98].all())
    assert not bool(attempt.success[needed > epsilon * 1.0001].any())
    assert 10 < int(attempt.success.sum()) < 50
    assert bool((attempt.distances[attempt.success] >= needed[attempt.success] * 0.9999).all())
    if norm == "linf":
        assert torch.equal(attempt.success, needed < epsilon)


@table
def test_witnesses_are_what_they_claim(name: str, norm: Norm) -> None:
    classifier = mlp((1, 4, 4), 3, lower=-1.0, upper=1.0)
    x = torch.rand(24, 1, 4, 4, generator=seeded(2)) * 2 - 1
    labels = torch.randint(3, (24,), generator=seeded(3))
    labels[:16] = classifier.replay(x[:16]).argmax(1)
    epsilon = 0.3 if norm == "linf" else 1.2
    attempt = ALL[name](norm)(classifier, x, labels, epsilon, seeded())
    wrong = classifier.replay(x).argmax(1) != labels
    assert bool(attempt.success[wrong].all())
    assert attempt.distances[wrong].tolist() == [0.0] * int(wrong.sum())
    for i in range(24):
        point = attempt.adversarials[i]
        if not attempt.success[i]:
            assert torch.equal(point, x[i])
            assert attempt.distances[i] == math.inf
            continue
        if norm == "linf":
            assert bool(linf_ball(x[i], epsilon, classifier.input_box).contains(point[None]))
            assert float((point.double() - x[i].double()).abs().max()) <= epsilon
        else:
            assert bool(L2Ball(x[i], epsilon, classifier.input_box).contains(point[None]))
        assert int(classifier.replay(point[None]).argmax()) != int(labels[i])
    if name == "pgd":
        assert int(attempt.success.sum()) > int(wrong.sum())


@table
def test_the_generator_alone_decides_and_nothing_of_the_user_is_touched(name: str, norm: Norm) -> None:
    classifier = mlp((5,), 2)
    module = classifier.module()
    assert module is not None
    for parameter in module.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    module.train()
    x = torch.rand(12, 5, generator=seeded(4))
    kept = x.clone()
    labels = classifier.replay(x).argmax(1)
    state = torch.random.get_rng_state()
    first = ALL[name](norm)(classifier, x, labels, 0.4, seeded(5))
    torch.rand(3)
    torch.random.set_rng_state(state)
    second = ALL[name](norm)(classifier, x, labels, 0.4, seeded(5))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.adversarials, second.adversarials)
    assert torch.equal(first.success, second.success)
    assert torch.equal(x, kept)
    assert module.training
    assert all(bool((p.grad == 7.0).all()) and p.requires_grad for p in module.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in module.parameters())


def test_other_seeds_draw_other_noise() -> None:
    classifier = linear(torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, -0.5]))
    x, labels = torch.full((64, 1), 0.45), torch.zeros(64, dtype=torch.int64)
    first, second = (UniformNoise(draws=1)(classifier, x, labels, 0.1, seeded(s)).success for s in (0, 1))
    assert not torch.equal(first, second)
    assert 5 < int(first.sum()) < 30  # a quarter of [0.35, 0.55] lies beyond 0.5


def test_noise_is_no_stronger_than_pgd_on_a_linear_model() -> None:
    classifier, x, labels, _ = two_class_linear()
    for norm in NORMS:
        noise = UniformNoise(norm=norm, draws=40)(classifier, x, labels, 0.2, seeded())
        pgd = PGD(norm=norm)(classifier, x, labels, 0.2, seeded())
        assert int((noise.success & ~pgd.success).sum()) == 0
        assert int(noise.success.sum()) < int(pgd.success.sum())


def test_the_box_of_each_channel_is_kept() -> None:
    lower = torch.tensor([-1.0, 0.0, 0.4]).reshape(3, 1, 1)
    upper = torch.tensor([1.0, 0.1, 0.6]).reshape(3, 1, 1)
    classifier = mlp((3, 4, 4), 4, lower=lower, upper=upper)
    box = classifier.input_box
    x = box.lower + (box.upper - box.lower) * torch.rand(10, 3, 4, 4, generator=seeded(6))
    labels = classifier.replay(x).argmax(1)
    for norm, epsilon in (("linf", 0.5), ("l2", 3.0)):
        attempt = PGD(norm=norm, steps=10)(classifier, x, labels, epsilon, seeded())  # type: ignore[arg-type]
        assert bool(attempt.success.any())
        assert bool(box.contains(attempt.adversarials).all())


def test_survivors_alone_go_on() -> None:
    classifier, x, labels, _ = two_class_linear()
    small = FGSM()(classifier, x, labels, 0.05, seeded())
    classifier.rows = 0
    large = FGSM()(classifier, x, labels, 0.3, seeded(), known=small)
    survivors = int((~small.success).sum())
    assert classifier.rows == 2 * survivors + 1  # gradient and replay, and one row to see whether there are gradients
    assert bool(large.success[small.success].all())
    assert torch.equal(large.adversarials[small.success], small.adversarials[small.success])
    assert large.forward_passes == 2 * survivors
    assert large.backward_passes == survivors


def test_epsilon_zero_gives_clean_accuracy() -> None:
    classifier, x, labels, _ = two_class_linear()
    labels = labels.clone()
    labels[:7] = 1 - labels[:7]
    attempt = PGD()(classifier, x, labels, 0.0, seeded())
    assert attempt.success.tolist() == [True] * 7 + [False] * 53


class Staircase(nn.Module):
    """A good classifier behind rounded logits: every gradient is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([[1.0, -2.0], [-1.5, 0.5]]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x @ self.weight.T * 8)


class Poisoned(nn.Module):
    """Right answers, gradients that are NaN (a square root at 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], x[:, 1]], 1) + torch.sqrt((x * 0).sum(1, keepdim=True))


@pytest.mark.parametrize("module", [Staircase(), Poisoned()])
@pytest.mark.parametrize("norm", NORMS)
def test_dead_gradients_are_named(module: nn.Module, norm: Norm) -> None:
    classifier = ModuleClassifier(module, (2,), 2)
    x = torch.rand(20, 2, generator=seeded(7))
    labels = classifier.replay(x).argmax(1)
    attempt = PGD(norm=norm, steps=5)(classifier, x, labels, 1e-6, seeded())
    assert bool(attempt.dead.all())
    assert not bool(PGD(norm=norm, steps=5)(mlp((2,), 2), x, labels, 1e-6, seeded()).dead.any())


def test_a_saturated_softmax_does_not_mask_gradients() -> None:
    """Logits of thousands: the plain cross-entropy gradient in float32 is exactly zero here."""
    classifier, x, labels, _ = two_class_linear()
    module = classifier.module()
    assert isinstance(module, nn.Linear)
    with torch.no_grad():
        module.weight *= 1e5
        module.bias *= 1e5
    attempt = FGSM()(classifier, x, labels, 3.0, seeded())
    assert bool(attempt.success.all())


def test_nan_answers_are_not_right_answers() -> None:
    class Sick(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 0] * 0 + 1, x[:, 0] * 0], 1) * torch.where(x[:, :1] > 0.6, torch.nan, 1.0)

    classifier = ModuleClassifier(Sick(), (1,), 2)
    x, labels = torch.tensor([[0.55], [0.7]]), torch.tensor([0, 0])
    attempt = UniformNoise(draws=20)(classifier, x, labels, 0.1, seeded())
    assert attempt.success.tolist() == [True, True]


def test_gradient_attacks_refuse_black_boxes_and_noise_does_not() -> None:
    x, labels = torch.rand(4, 3, generator=seeded()), torch.zeros(4, dtype=torch.int64)
    closed = mlp((3,), 2, differentiable=False)
    lying = mlp((3,), 2, differentiable=False)
    lying.differentiable = True
    lying.logits = closed.logits  # type: ignore[method-assign]
    for classifier in (closed, lying):
        with pytest.raises(NoGradientError, match="no gradients"):
            PGD()(classifier, x, labels, 0.1, seeded())
        assert UniformNoise()(classifier, x, labels, 0.1, seeded()).backward_passes == 0


def test_bad_input_is_refused_by_name() -> None:
    classifier, good, labels = mlp((3,), 2), torch.full((2, 3), 0.5), torch.tensor([0, 1])
    with pytest.raises(DataShapeError):
        FGSM()(classifier, torch.zeros(2, 4), labels, 0.1, seeded())
    with pytest.raises(DataRangeError):
        FGSM()(classifier, good + 1, labels, 0.1, seeded())
    with pytest.raises(DataRangeError):
        FGSM()(classifier, torch.full((2, 3), math.nan), labels, 0.1, seeded())
    with pytest.raises(LabelError):
        FGSM()(classifier, good, torch.tensor([0, 2]), 0.1, seeded())
    for make in (lambda: PGD(steps=0), lambda: PGD(relative_step=0.0), lambda: UniformNoise(draws=0)):
        with pytest.raises(UsageError):
            make()


def test_repr_prints_the_hyperparameters() -> None:
    assert repr(PGD(steps=5, restarts=1)) == "PGD(norm='linf', steps=5, restarts=1, relative_step=0.5)"
    assert repr(UniformNoise(norm="l2", draws=3)) == "UniformNoise(norm='l2', draws=3)"


def test_no_samples_no_work() -> None:
    attempt = PGD()(mlp((3,), 2), torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 0.1, seeded())
    assert isinstance(attempt, Attempt)
    assert len(attempt.success) == 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), epsilon=st.floats(0.01, 0.5), norm=st.sampled_from(NORMS))
def test_no_witness_inside_a_ball_proved_by_the_lipschitz_constant(seed: int, epsilon: float, norm: Norm) -> None:
    """Logit differences of a linear model move at most the dual norm: an independent certificate."""
    weight = torch.randn(3, 4, generator=seeded(seed))
    classifier = linear(weight)
    x = torch.rand(8, 4, generator=seeded(seed + 1))
    logits = (x @ weight.T).double()
    labels = logits.argmax(1)
    attempt = PGD(norm=norm, steps=5)(classifier, x, labels, epsilon, seeded(seed))
    for i, label in enumerate(labels.tolist()):
        gaps = weight[label].double() - weight.double()
        dual = gaps.abs().sum(1) if norm == "linf" else torch.linalg.vector_norm(gaps, dim=1)
        bound = logits[i, label] - logits[i] - epsilon * dual
        certified = all(float(bound[k]) > 1e-5 for k in range(3) if k != label)
        assert not (certified and bool(attempt.success[i]))


@pytest.mark.parametrize("norm", NORMS)
def test_the_model_is_never_shown_anything_outside_its_box(norm: Norm) -> None:
    lower, upper = torch.tensor([-1.0, 0.0, 0.4, 0.5]), torch.tensor([1.0, 0.1, 0.6, 0.5])
    classifier = mlp((4,), 3, lower=lower, upper=upper)
    box, plain = classifier.input_box, classifier.logits
    shown: list[bool] = []

    def watched(x: Tensor) -> Tensor:
        shown.append(bool(box.contains(x.detach()).all()))
        return plain(x)

    classifier.logits = watched  # type: ignore[method-assign]
    x = box.lower + (box.upper - box.lower) * torch.rand(8, 4, generator=seeded(8))
    labels = plain(x).argmax(1)
    for make in ALL.values():
        make(norm)(classifier, x, labels, 0.7, seeded())
    assert len(shown) > 20
    assert all(shown)


def test_a_candidate_outside_the_ball_never_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a broken projection lets through, the check before the replay does not."""
    monkeypatch.setattr("attacks.attack.project", lambda x, candidates, *_: candidates)

    class Cheat(UniformNoise):
        def propose(self, problem: object, round_: int) -> tuple[Tensor, None]:
            return torch.tensor([[0.9], [0.55], [1.5]]), None

    classifier = linear(torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, -0.5]))
    x, labels = torch.tensor([[0.4], [0.4], [0.4]]), torch.zeros(3, dtype=torch.int64)
    attempt = Cheat(draws=1)(classifier, x, labels, 0.2, seeded())
    assert attempt.success.tolist() == [False, True, False]
    assert attempt.distances.tolist() == pytest.approx([math.inf, 0.15, math.inf])
