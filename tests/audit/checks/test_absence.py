"""The check ``absence`` on networks whose largest confidence is known by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.check import NotApplicableError, NotAssessedError
from robust.audit.checks.absence import AbsenceCheck, AbsenceSettings
from robust.record import Images, Table
from tests.audit.checks.contexts import context, dataset, findings
from tests.doubles import ModuleClassifier, linear


class Contrast(nn.Module):
    """Logit 0 is ``4 (x0 - x1)``, logit 1 nothing: what shows no contrast is called nothing with confidence."""

    def forward(self, x: Tensor) -> Tensor:
        side = 4 * (x.flatten(1)[:, :1] - x.flatten(1)[:, 1:2])
        return torch.cat([side, 0 * side], 1)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("kind", ["grey", "flat", "white", "black"])
def test_the_largest_confidence_is_that_of_the_largest_contrast(kind: str, tmp_path: Path) -> None:
    """Noise of half width r makes a contrast of 2 r inside the box, of r at its ends."""
    samples = np.full((4, 1, 2, 2), 0.5)
    ctx = context(ModuleClassifier(Contrast(), (1, 2, 2), 2), dataset(samples, np.array([0, 1, 0, 1])), tmp_path)
    found = findings(AbsenceCheck(), AbsenceSettings(sets=(kind,), radii=(0.1, 0.3)), ctx)  # type: ignore[arg-type]
    for radius in (0.1, 0.3):
        one = found[f"absence/largest_confidence?radius={radius}&set={kind}"]
        wanted = sigmoid(4 * (2 if kind in ("grey", "flat") else 1) * radius)
        assert one.interval is not None
        assert one.interval.low <= wanted + 1e-6
        assert one.interval.high >= wanted - 1e-6
        assert one.interval.high - one.interval.low < 0.02
        assert one.value == one.interval.high


def test_members_and_the_surest_are_inside_and_shown(tmp_path: Path) -> None:
    samples = np.full((4, 1, 6, 6), 0.5)
    weight = torch.zeros(3, 36)
    weight[0, 0], weight[1, 7] = 5.0, 3.0
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 3, bias=False))
    module[1].weight.data = weight
    classifier = ModuleClassifier(module.eval(), (1, 6, 6), 3, lower=-1.0)
    ctx = context(classifier, dataset(samples, np.array([0, 1, 2, 0])), tmp_path)
    check, settings = AbsenceCheck(), AbsenceSettings(sets=("grey", "flat"), radii=(0.2,))
    results = [(shard, check.run(shard, settings, ctx)) for shard in check.plan(settings, ctx)]
    for shard, payload in results:
        for image in (*payload["shown"], payload["witness"]):
            assert (np.abs(image) <= 1).all()
            if shard.parameters["set"] == "grey":
                assert (np.abs(image) <= 0.4 + 1e-6).all()
            else:  # all pixels within 0.4 of one brightness
                assert image.max() - image.min() <= 0.8 + 1e-6
        logits = classifier.replay(torch.from_numpy(payload["witness"])[None]).double()
        assert payload["reached"] == pytest.approx(float(torch.softmax(logits, 1).max()), abs=1e-9)
    (first, _) = check.conclude(results, settings, ctx, {})
    table, images = first.evidence
    assert isinstance(table, Table)
    assert isinstance(images, Images)
    assert len(images.rows) == len(table.rows) == 2
    assert all(len(row) == 4 for row in images.rows)


def test_what_cannot_be_asked_is_not(tmp_path: Path) -> None:
    samples = np.full((4, 3), 0.5)
    data = dataset(samples, np.array([0, 1, 0, 1]))
    black_box = ModuleClassifier(nn.Linear(3, 2), (3,), 2, differentiable=False)
    black_box.module = lambda: None  # type: ignore[method-assign]
    with pytest.raises(NotAssessedError):
        AbsenceCheck().plan(AbsenceSettings(), context(black_box, data, tmp_path))
    with pytest.raises(NotApplicableError, match="two classes"):
        AbsenceCheck().plan(
            AbsenceSettings(), context(linear(torch.ones(1, 3)), dataset(samples, np.zeros(4, int)), tmp_path)
        )


@pytest.mark.parametrize("radius", [0.0, 0.6])
def test_radii_are_shares_of_the_box(radius: float) -> None:
    with pytest.raises(ValueError, match="shares of the box"):
        AbsenceSettings(radii=(radius,))


def test_a_class_that_rejects_may_be_sure(tmp_path: Path) -> None:
    """Logits 0, 1 and 4: the third is sure everywhere; of the others the surer has e / (1 + e + e^4)."""
    module = nn.Linear(2, 3)
    module.weight.data.zero_()
    module.bias.data = torch.tensor([0.0, 1.0, 4.0])
    data = dataset(np.full((3, 2), 0.5), np.array([0, 1, 2]))
    ctx = context(ModuleClassifier(module.eval(), (2,), 3), data, tmp_path)
    with_it, without = (
        findings(AbsenceCheck(), AbsenceSettings(sets=("grey",), radii=(0.1,), reject=reject), ctx)
        for reject in (None, "2")
    )
    total = 1 + math.exp(1) + math.exp(4)
    (first,), (second,) = with_it.values(), without.values()
    assert first.value == pytest.approx(math.exp(4) / total, abs=1e-4)
    assert second.value == pytest.approx(math.exp(1) / total, abs=1e-4)
    assert second.protocol["reject"] == "2"
    with pytest.raises(NotAssessedError, match="names no class"):
        AbsenceCheck().plan(AbsenceSettings(reject="nothing"), ctx)
