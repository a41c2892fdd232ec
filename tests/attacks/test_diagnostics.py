"""Planted defences: each masks gradients in its own way, and each must be named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from attacks import APGD
from attacks.diagnostics import SIGNS, Symptom, diagnose
from attacks.expectation import Averaged
from attacks.goals import Targeted
from robust.errors import UsageError
from tests.doubles import ModuleClassifier, mlp


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Line(nn.Module):
    """Class 1 where the mean of the input is above 1/2: everything within 0.2 of it in L-inf can be broken."""

    def score(self, x: Tensor) -> Tensor:
        return (x.flatten(1).mean(1, keepdim=True) - 0.5) * 8

    def forward(self, x: Tensor) -> Tensor:
        score = self.score(x)
        return torch.cat([-score, score], 1)


class Quantised(Line):
    """Inputs in 32 steps: the gradient is zero everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.round(x * 32) / 32)


class Shattered(Line):
    """The answer falls with the score, its gradient says that it rises."""

    def score(self, x: Tensor) -> Tensor:
        score = super().score(x)
        return 2 * score.detach() - score


class Noisy(Line):
    """Another answer each time."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.5 * torch.randn(len(x), 2)


class Sure(Line):
    """Logits of tens of thousands."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1e4


class Rooted(Line):
    """Preprocessing whose derivative is not finite."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.sqrt((x * 0).flatten(1).sum(1, keepdim=True))


class Plateaus(Line):
    """A gradient in one input in fifty alone: whoever starts elsewhere stands still, more starts break more."""

    def forward(self, x: Tensor) -> Tensor:
        score = self.score(x)
        there = (torch.sin(900 * x.flatten(1)[:, :1]) > 0.5).float()
        score = score.detach() + there * (score - score.detach())
        return torch.cat([-score, score], 1)


def signs(module: nn.Module, epsilon: float = 0.2) -> dict[str, Symptom]:
    classifier = ModuleClassifier(module, (16,), 2)
    x = 0.5 + (torch.rand(30, 1, generator=seeded()) - 0.5) * 0.3 + torch.zeros(30, 16)
    labels = (x.mean(1) > 0.5).long()
    return {each.sign: each for each in diagnose(classifier, x, labels, epsilon, "linf", seeded()).symptoms}


def test_an_honest_model_has_no_sign() -> None:
    found = signs(Line())
    assert list(found) == list(SIGNS)
    assert all(each.count == 0 for each in found.values())
    assert all(each.n == 30 for each in found.values())


@pytest.mark.parametrize(
    ("module", "sign"),
    [
        (Quantised(), "dead_gradients"),
        (Quantised(), "black_box_beats_white_box"),
        (Rooted(), "dead_gradients"),
        (Shattered(), "loss_does_not_rise"),
        (Shattered(), "black_box_beats_white_box"),
        (Noisy(), "randomised_outputs"),
        (Sure(), "saturated_softmax"),
        (Plateaus(), "more_steps_break_more"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_planted_defence_is_named(module: nn.Module, sign: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = signs(module, 0.12)
    assert found[sign].count > 3, found[sign].detail  # type: ignore[index]
    assert found[sign].masks == (sign != "saturated_softmax")  # type: ignore[index]


def test_a_saturated_softmax_does_not_stop_these_attacks() -> None:
    found = signs(Sure())
    assert found["saturated_softmax"].count > 25
    assert found["black_box_beats_white_box"].count == 0
    classifier = ModuleClassifier(Sure(), (16,), 2)
    x = torch.full((4, 16), 0.45)
    assert bool(APGD()(classifier, x, torch.zeros(4, dtype=torch.int64), 0.1, seeded()).success.all())


def test_a_black_box_is_looked_at_for_randomness_alone() -> None:
    classifier = mlp((4,), 3, differentiable=False)
    x = torch.rand(5, 4, generator=seeded())
    found = diagnose(classifier, x, classifier.replay(x).argmax(1), 0.1, "l2", seeded())
    assert [each.sign for each in found.symptoms] == ["randomised_outputs"]
    assert found.backward_passes == 0
    assert found.forward_passes == 15


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_goals_and_norms(norm: str) -> None:
    classifier = mlp((6,), 4)
    x = torch.rand(8, 6, generator=seeded())
    labels = classifier.replay(x).argmax(1)
    found = diagnose(classifier, x, Targeted(labels, (labels + 1) % 4), 0.3, norm, seeded())  # type: ignore[arg-type]
    assert {each.sign: each.count for each in found.symptoms}["dead_gradients"] == 0


def test_the_expectation_of_a_noisy_model_is_steady() -> None:
    classifier = ModuleClassifier(Noisy(), (16,), 2)
    averaged = Averaged(classifier, draws=400)
    x = torch.rand(6, 16, generator=seeded())
    with torch.random.fork_rng():
        torch.manual_seed(1)
        spread: Callable[[object], float] = lambda model: float(  # noqa: E731
            (model.replay(x).softmax(1) - model.replay(x).softmax(1)).abs().max()  # type: ignore[attr-defined]
        )
        assert spread(averaged) < spread(classifier) / 4
    assert averaged.input_shape == (16,)
    with pytest.raises(UsageError, match="draws"):
        Averaged(classifier, draws=0)
