from __future__ import annotations

import foolbox
import pytest
import torch

from attacks import FGSM, PGD
from attacks.balls import Norm
from attacks.foolbox_engine import Best, descend
from attacks.goals import Untargeted
from tests.doubles import ModuleClassifier, mlp


def problem() -> tuple[ModuleClassifier, torch.Tensor, torch.Tensor]:
    classifier = mlp((1, 5, 5), 4)
    x = torch.rand(16, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    return classifier, x, classifier.replay(x).argmax(1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_descent_cut_in_two_is_the_same_descent(norm: Norm) -> None:
    classifier, x, labels = problem()
    options = {"epsilon": 0.2, "norm": norm, "loss": "log-odds", "step_size": 0.03}
    whole, cut = Best(x, Untargeted(labels)), Best(x, Untargeted(labels))
    end = descend(classifier, x, x, whole, steps=12, **options)  # type: ignore[arg-type]
    middle = descend(classifier, x, x, cut, steps=5, **options)  # type: ignore[arg-type]
    assert torch.equal(descend(classifier, x, middle, cut, steps=7, **options), end)  # type: ignore[arg-type]
    assert torch.equal(whole.margin, cut.margin)
    assert torch.equal(whole.x, cut.x)


@pytest.mark.parametrize(
    ("norm", "stock"),
    [("linf", foolbox.attacks.LinfFastGradientAttack()), ("l2", foolbox.attacks.L2FastGradientAttack())],
)
def test_one_step_is_foolbox_own_step(norm: Norm, stock: foolbox.Attack) -> None:
    classifier, x, labels = problem()
    module = classifier.module()
    assert module is not None
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    epsilon = 0.2 if norm == "linf" else 0.8
    _, points, broken = stock(model, x, labels, epsilons=epsilon)
    attempt = FGSM(norm=norm)(classifier, x, labels, epsilon, torch.Generator())
    assert torch.equal(attempt.success, broken)
    assert 0 < int(broken.sum()) < 16
    assert torch.allclose(attempt.adversarials[broken], points[broken], atol=2e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_is_no_weaker_than_foolbox_own(norm: Norm) -> None:
    classifier, x, labels = problem()
    module = classifier.module()
    assert module is not None
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    epsilon = 0.08 if norm == "linf" else 0.3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stock = foolbox.attacks.LinfPGD(steps=20) if norm == "linf" else foolbox.attacks.L2PGD(steps=20)
        broken = stock(model, x, labels, epsilons=epsilon)[2]
    ours = PGD(norm=norm, steps=20)(classifier, x, labels, epsilon, torch.Generator().manual_seed(0)).success
    assert int(ours.sum()) >= int(broken.sum()) > 0
