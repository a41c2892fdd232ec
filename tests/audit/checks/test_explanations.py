"""The check ``explanations`` on models whose reasons are known by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.check import Context, NotApplicableError
from robust.audit.checks.explanations import ExplanationsCheck, ExplanationsSettings
from robust.explanation import METHODS
from robust.record import CurvePlot, Finding, Images, Note, Outcome, Table
from tests.audit.checks.contexts import context, dataset, findings, results
from tests.doubles import ModuleClassifier, linear
from tests.explanation.planted import detector, planted

CHECK = ExplanationsCheck()


def planted_context(folder: Path, count: int = 24, **options: Any) -> Context:
    """Half of the samples have the pattern and are of class 1."""
    x, _ = planted(count)
    x[1::2] = 0.3 * torch.rand(x[1::2].shape, generator=torch.Generator().manual_seed(9))
    labels = np.tile([1, 0], count // 2)
    classifier = ModuleClassifier(_with_bias(detector()), (1, 8, 8), 2, **options)
    return context(classifier, dataset(x.numpy(), labels), folder)


def _with_bias(module: nn.Module) -> nn.Module:
    module[3].bias[0] = 2.0
    return module


def only(found: dict[str, Finding], metric: str, **parameters: str) -> Finding:
    hits = [f for f in found.values() if f.metric == metric and f.parameters == parameters]
    assert len(hits) == 1, (metric, parameters)
    return hits[0]


def test_a_planted_pattern_is_found_and_the_controls_pass(tmp_path: Path) -> None:
    ctx = planted_context(tmp_path)
    assert (ctx.predictions == ctx.data.labels).all()
    found = findings(CHECK, ExplanationsSettings(methods=METHODS), ctx)
    for method in METHODS:
        faithful = only(found, "faithfulness", method=method)
        assert faithful.n == 24
        assert faithful.interval is not None
        assert faithful.value is not None
        assert -1 <= faithful.interval.low <= faithful.value <= faithful.interval.high <= 1
        for change in ("noise", "attack"):
            assert only(found, "map_stability", method=method, change=change).value is not None
    assert only(found, "faithfulness", method="occlusion").value > only(found, "random_maps").value
    controls = {(f.metric, f.parameters.get("method")): f.outcome for f in found.values() if f.control}
    assert set(controls) == {("random_maps", None)} | {
        ("shuffled_correlation", m) for m in METHODS if m != "guided_grad_cam"
    }
    assert controls["random_maps", None] is Outcome.PASS
    assert controls["shuffled_correlation", "integrated_gradients"] is Outcome.PASS
    agreement = only(found, "occlusion_agreement", method="integrated_gradients")
    assert agreement.value is not None
    assert agreement.value > 0.3
    assert not any(f.metric == "occlusion_agreement" and f.parameters["method"] == "occlusion" for f in found.values())


def test_pictures_stand_beside_their_maps(tmp_path: Path) -> None:
    found = findings(CHECK, ExplanationsSettings(images=3), planted_context(tmp_path))
    (evidence,) = [f.evidence for f in found.values() if f.evidence]
    gallery = next(e for e in evidence if isinstance(e, Images))
    assert gallery.columns == ("sample", "Grad-CAM", "integrated gradients", "occlusion")
    assert [len(row) for row in gallery.rows] == [4, 4, 4]
    assert [e.title for e in evidence if isinstance(e, CurvePlot)] == ["Insertion", "Deletion"]
    assert not any(isinstance(e, Note) for e in evidence)
    insertion = next(e for e in evidence if isinstance(e, CurvePlot))
    assert [c.role for c in insertion.curves] == ["main"] * 3 + ["control"]
    assert len({c.y[-1] for c in insertion.curves}) == 1  # all places shown: the samples themselves, whatever the order


class ScaledSum(nn.Module):
    """The sum of the input, times a positive number per class: shuffled weights answer otherwise and look the same."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1, keepdim=True) * self.scales


class Fixed(nn.Module):
    """The same with its numbers where no shuffling finds them."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1, keepdim=True) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])


@pytest.mark.parametrize(("module", "outcome"), [(ScaledSum(), Outcome.FAIL), (Fixed(), Outcome.NOT_ASSESSED)])
def test_maps_that_do_not_show_the_weights_fail_the_control(
    module: nn.Module, outcome: Outcome, tmp_path: Path
) -> None:
    samples = np.random.default_rng(0).uniform(0, 1, (20, 1, 5, 5))
    ctx = context(ModuleClassifier(module, (1, 5, 5), 5), dataset(samples, np.arange(20) % 5), tmp_path)
    found = findings(CHECK, ExplanationsSettings(), ctx)
    for method in ("integrated_gradients", "occlusion"):
        control = only(found, "shuffled_correlation", method=method)
        assert control.control
        assert control.outcome is outcome
    assert not any("grad_cam" in f.parameters.values() for f in found.values())


def test_a_model_that_looks_nowhere_has_no_better_maps_than_chance(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(0, 1, (20, 6))
    ctx = context(
        linear(torch.zeros(3, 6), torch.tensor([1.0, 0.0, 0.0])), dataset(samples, np.arange(20) % 3), tmp_path
    )
    found = findings(CHECK, ExplanationsSettings(), ctx)
    assert only(found, "random_maps").outcome is Outcome.INCONCLUSIVE
    assert only(found, "faithfulness", method="occlusion").value == 0.0


def test_a_black_box_has_occlusion_alone(tmp_path: Path) -> None:
    ctx = planted_context(tmp_path, differentiable=False)
    found = findings(CHECK, ExplanationsSettings(methods=("grad_cam", "occlusion")), ctx)
    refused = only(found, "faithfulness", method="grad_cam")
    assert refused.outcome is Outcome.NOT_ASSESSED
    assert "gives none" in refused.reason
    assert {f.metric for f in found.values() if f.parameters.get("method") == "occlusion"} == {
        "faithfulness", "map_stability",
    }  # fmt: skip
    assert only(found, "random_maps").outcome is Outcome.PASS
    quiet = findings(CHECK, ExplanationsSettings(), ctx)
    assert not any(f.outcome is Outcome.NOT_ASSESSED for f in quiet.values())
    notes = [e.text for f in quiet.values() for e in f.evidence if isinstance(e, Note)]
    assert len(notes) == 2


def test_a_table_names_its_features(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(0, 1, (20, 3))
    classifier = linear(torch.tensor([[0.0, 9.0, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([-4.0, 0.0]))
    found = findings(CHECK, ExplanationsSettings(), context(classifier, dataset(samples, np.arange(20) % 2), tmp_path))
    table = next(e for f in found.values() for e in f.evidence if isinstance(e, Table))
    assert table.columns == ("feature", "integrated gradients", "occlusion")
    assert table.rows[0][0] == "x1"
    assert table.rows[-1] == ("x0", 0.0, 0.0)
    for row in table.rows:
        assert row[1] == pytest.approx(row[2], rel=1e-3)  # a linear model: both are its terms


def test_too_few_samples_decide_no_control(tmp_path: Path) -> None:
    found = findings(CHECK, ExplanationsSettings(samples=4), planted_context(tmp_path))
    assert {f.outcome for f in found.values() if f.control} == {Outcome.INCONCLUSIVE}


def test_channels_last_is_refused_and_the_same_seed_says_the_same(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    samples = np.random.default_rng(0).uniform(0, 1, (4, 4, 4, 3))
    ctx = context(ModuleClassifier(module, (4, 4, 3), 2), dataset(samples, np.arange(4) % 2), tmp_path)
    with pytest.raises(NotApplicableError, match="channels first"):
        CHECK.plan(ExplanationsSettings(), ctx)
    ctx = planted_context(tmp_path, 8)
    for (_, one), (_, two) in zip(
        results(CHECK, ExplanationsSettings(), ctx), results(CHECK, ExplanationsSettings(), ctx), strict=True
    ):
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[key], two[key]) for key in one)
