"""Models that would look safe by a trick: none gets a passed verdict, and each trick is named.

The honest one is a linear model on two features; every hostile one gives the same answers on the samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.api import audit
from robust.data import Dataset
from robust.errors import DisagreementError
from robust.record import AuditRecord
from robust.subjects import TorchClassifier

OFF = ("accuracy", "fooling", "ood", "fairness", "generation", "smt")


class Honest(nn.Module):
    """``logits = (0, 8 (x0 - x1))``: class 1 where ``x0 > x1``; samples are 0.1 to 0.4 from the boundary."""

    def forward(self, x: Tensor) -> Tensor:
        score = 8 * (x[:, :1] - x[:, 1:2])
        return torch.cat([torch.zeros_like(score), score], 1)


class Rounded(Honest):
    """Quantised inputs: gradients are zero everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.round(x * 64) / 64)


class Saturated(Honest):
    """A sigmoid of a huge score: gradients underflow to zero."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(1e4 * super().forward(x)) * 2 - 1


class Detached(Honest):
    """Gradients cut by hand, with an idle path so that autograd finds nothing missing."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach()) + 0 * x.sum()


class Misleading(torch.autograd.Function):
    """The identity with the gradient turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


class Reversed(Honest):
    def forward(self, x: Tensor) -> Tensor:
        turned: Tensor = Misleading.apply(x)  # type: ignore[no-untyped-call]
        return super().forward(turned)


class Tired(Honest):
    """Gives up after some calls: a state between calls."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        Tired.calls += 1
        return super().forward(x) if Tired.calls < 60 else -super().forward(x)


def data() -> Dataset:
    rng = np.random.default_rng(0)
    middle, half = rng.uniform(0.25, 0.75, 200), rng.uniform(0.03, 0.2, 200) * rng.choice([-1, 1], 200)
    samples = np.stack([middle + half, middle - half], 1).astype(np.float32)
    return Dataset("pairs", "test", samples, (half > 0).astype(np.int64), ("0", "1"))


def audited(module: nn.Module, folder: Path, **settings: Any) -> AuditRecord:
    options: dict[str, Any] = {f"checks.{name}.enabled": False for name in OFF}
    options |= {"checks.attacks.norms": ["linf"], "checks.attacks.linf_epsilons": [0.3]}
    options |= {"checks.certificates.linf_epsilons": [0.3], "checks.certificates.l2_epsilons": []}
    options["checks.attacks.thresholds"] = [{"metric": "accuracy_under_attack", "minimum": 0.5}]
    subject = TorchClassifier(module, (2,), output="logits", name=type(module).__name__)
    return audit(model=subject, data=data(), settings=options | settings, output=folder)


def test_the_honest_model_fails_its_threshold(tmp_path: Path) -> None:
    """Within 0.3 every sample can cross the boundary, which is at most 0.2 away."""
    record = audited(Honest(), tmp_path)
    (finding,) = [
        f for f in record.findings if f.id == "attacks/accuracy_under_attack?attack=all&epsilon=0.3&norm=linf"
    ]
    assert finding.value == 0
    assert record.gate.verdict == "failed"
    assert not [f.id for f in record.findings if f.control and f.outcome == "fail"]


@pytest.mark.parametrize("module", [Rounded(), Saturated(), Detached(), Reversed()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("attacks", [["pgd"], ["pgd", "fgsm", "noise"]], ids=str)
def test_masked_gradients_do_not_pass(module: nn.Module, attacks: list[str], tmp_path: Path) -> None:
    record = audited(module, tmp_path, **{"checks.attacks.attacks": attacks})
    assert record.gate.exit_status == 1
    named = [f.metric for f in record.findings if f.control and f.outcome == "fail"]
    robust = [f.value for f in record.findings if f.metric == "accuracy_under_attack"]
    assert named or min(value for value in robust if value is not None) < 0.5


def test_a_model_that_changes_while_it_is_audited_has_no_record(tmp_path: Path) -> None:
    Tired.calls = 0
    with pytest.raises(DisagreementError, match="end of the audit"):
        audited(Tired(), tmp_path)
    assert not (tmp_path / "record.json").exists()


@pytest.mark.parametrize("module", [Rounded(), Detached(), Tired()], ids=lambda m: type(m).__name__)
def test_nothing_is_certified_that_the_model_does_not_keep(module: nn.Module, tmp_path: Path) -> None:
    Tired.calls = -10_000
    only = {"checks.attacks.enabled": False, "checks.attacks.thresholds": []}
    floor = {"checks.certificates.thresholds": [{"metric": "certified_accuracy", "minimum": 0.01}]}
    record = audited(module, tmp_path, **only, **floor)
    assert record.gate.exit_status != 0
    assert not [f for f in record.findings if f.metric == "certified_accuracy" and f.value]
