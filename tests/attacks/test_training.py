"""Adversarial training: what it trains on lies where it should and is worse; the model gets harder to break."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attacks import APGD
from attacks.changes import Light
from attacks.training import InBall, UnderChange, adversarial_training
from robust.errors import LabelError, NonFiniteError, PropertyError, UsageError
from tests.doubles import ModuleClassifier


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.Linear(16, 2))


def two_features(count: int) -> tuple[Tensor, Tensor]:
    """``x0`` tells the class nine times in ten by a step of .5, ``x1`` always, by a step of .04."""
    y = torch.arange(count) % 2
    lied = torch.rand(count, generator=seeded()) < 0.1
    noise = 0.01 * torch.randn(count, 2, generator=seeded(1))
    first = torch.where(lied, 1 - y, y) * 0.5 + 0.25
    return torch.stack([first, 0.48 + 0.04 * y], 1) + noise * torch.tensor([1.0, 0.1]), y


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_training_inputs_lie_in_ball_and_box_and_are_worse(norm: Literal["linf", "l2"]) -> None:
    module, x, y = network().eval(), torch.rand(50, 2, generator=seeded()), torch.arange(50) % 2
    moved = InBall(0.2, norm)(module, x, y, 1.0, seeded())
    size = (moved - x).abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(moved - x, dim=1)
    assert bool((size <= 0.2 + 1e-6).all())
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1
    before, after = (float(F.cross_entropy(module(each), y).detach()) for each in (x, moved))
    assert after > before
    assert all(part.grad is None for part in module.parameters())
    half = InBall(0.2, norm)(module, x, y, 0.5, seeded())
    assert float((half - x).abs().max()) <= 0.1 + 1e-6


def test_the_worst_draw_of_a_change_is_taken() -> None:
    """Loss grows with brightness for class 0: of five draws the brightest is taken."""

    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mean = x.flatten(1).mean(1, keepdim=True)
            return torch.cat([1 - mean, mean], 1)

    x, y = torch.full((40, 1, 2, 2), 0.5), torch.zeros(40, dtype=torch.int64)
    change = UnderChange(Light(brightness=(-0.2, 0.2)), draws=5)
    made = change(Mean(), x, y, 1.0, seeded(3)).flatten(1).mean(1)
    share = torch.rand(5, 40, 2, generator=seeded(3))[:, :, 0]
    torch.testing.assert_close(made, 0.3 + 0.4 * share.amax(0), atol=1e-5, rtol=0)


def test_training_makes_the_model_harder_to_break() -> None:
    """Within .1 the second feature is worthless; who trains for it relies on the first."""
    x, y = two_features(300)
    plain = adversarial_training(network(), x, y, InBall(0.0), epochs=30, learning_rate=1e-2)
    hard = adversarial_training(network(), x, y, InBall(0.1), epochs=30, learning_rate=1e-2, plain=0.0)
    stands = []
    for module in (plain, hard):
        subject = ModuleClassifier(module, (2,), 2)
        stands.append(1 - float(APGD(steps=30)(subject, x, y, 0.1, seeded()).success.float().mean()))
    assert stands[0] < 0.75
    assert stands[1] > 0.85


def test_the_module_stays_and_the_seed_repeats() -> None:
    x, y = two_features(64)
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    seen: list[int] = []
    torch.manual_seed(5)
    one = adversarial_training(module, x, y, InBall(0.05), epochs=2, watch=lambda epoch, loss: seen.append(epoch))
    torch.manual_seed(5)
    two = adversarial_training(module, x, y, InBall(0.05), epochs=2)
    assert seen == [1, 2]
    assert not one.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert not torch.equal(next(one.parameters()), next(module.parameters()))


def test_impossible_training_is_refused() -> None:
    x, y = two_features(8)
    with pytest.raises(LabelError):
        adversarial_training(network(), x, y[:4], InBall(0.1))
    with pytest.raises(LabelError):
        adversarial_training(network(), x, y.float(), InBall(0.1))
    for options in ({"epochs": 0}, {"plain": 2.0}, {"learning_rate": -1.0}, {"batch": 0}):
        with pytest.raises(UsageError):
            adversarial_training(network(), x, y, InBall(0.1), **options)  # type: ignore[arg-type]
    with pytest.raises(PropertyError):
        InBall(-1.0)
    with pytest.raises(UsageError):
        InBall(0.1, "l1")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        UnderChange(Light(), draws=0)
    with pytest.raises(NonFiniteError):
        adversarial_training(network(), x * float("nan"), y, InBall(0.1), epochs=1)
