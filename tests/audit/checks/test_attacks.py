from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from attacks.diagnostics import SIGNS
from robust.audit.check import NotAssessedError, Shard
from robust.audit.checks.attacks import AttacksCheck, AttackSettings, robust_masks
from robust.audit.radii import epsilon_grid
from robust.record import CurvePlot, Finding, Images, Outcome, Table, Witness
from robust.statistics import wilson
from tests.audit.checks.contexts import context, dataset, findings, results
from tests.doubles import ModuleClassifier, linear, mlp

FAST: dict[str, Any] = {"steps": 10, "restarts": 2, "noise_draws": 5, "samples": 120}


def line(count: int = 120, **options: Any) -> tuple[ModuleClassifier, Any]:
    """Class 1 where ``x0 > 1/2``; samples at known distances from 1/2, a tenth of them labelled wrongly."""
    classifier = linear(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0.0, -0.5]), **options)
    rng = np.random.default_rng(0)
    samples = rng.uniform(0.05, 0.95, (count, 2))
    labels = (samples[:, 0] > 0.5).astype(np.int64)
    labels[::10] = 1 - labels[::10]
    return classifier, dataset(samples, labels)


def value(found: dict[str, Finding], norm: str, attack: str, epsilon: float) -> Finding:
    return found[f"attacks/accuracy_under_attack?attack={attack}&epsilon={epsilon}&norm={norm}"]


def test_accuracies_equal_the_closed_form(tmp_path: Path) -> None:
    classifier, data = line()
    settings = AttackSettings(linf_epsilons=(0.3, 0.1), l2_epsilons=(0.2,), **FAST)
    found = findings(AttacksCheck(), settings, context(classifier, data, tmp_path))
    right = (data.samples[:, 0] > 0.5) == data.labels
    for norm, epsilon in (("linf", 0.1), ("linf", 0.3), ("l2", 0.2)):
        for attack in ("pgd", "fgsm", "ensemble", "all"):
            truth = int((right & (np.abs(data.samples[:, 0] - 0.5) > epsilon)).sum())
            finding = value(found, norm, attack, epsilon)
            assert finding.value == pytest.approx(truth / 120, abs=1e-9)
            assert finding.interval == wilson(truth, 120)
            assert finding.n == 120
            assert finding.better == "higher"
            assert "upper bound" in finding.reason.lower()
    assert value(found, "linf", "noise", 0.1).value > value(found, "linf", "pgd", 0.1).value  # type: ignore[operator]
    assert [f.id for f in found.values() if f.headline] == [
        value(found, "linf", "all", 0.3).id,
        value(found, "l2", "all", 0.2).id,
    ]
    protocol = value(found, "linf", "pgd", 0.1).protocol
    assert protocol["pgd steps"] == 10
    assert protocol["pgd restarts"] == 2
    assert str(protocol["pgd engine"]).startswith("foolbox")
    controls = [f for f in found.values() if f.control]
    signs = {f"sign_{sign}" for sign in SIGNS if sign != "saturated_softmax"}
    assert {f.metric for f in controls} == {
        "noise_control",
        "clean_control",
        "gradient_sanity",
        "dead_gradients",
        *signs,
    }
    assert all(f.outcome is Outcome.PASS for f in controls)


def test_evidence_joins_curve_table_and_witnesses(tmp_path: Path) -> None:
    classifier, data = line()
    settings = AttackSettings(norms=("linf",), linf_epsilons=(0.1, 0.3), **FAST)
    found = findings(AttacksCheck(), settings, context(classifier, data, tmp_path))
    evidence = value(found, "linf", "all", 0.3).evidence
    plot = next(e for e in evidence if isinstance(e, CurvePlot))
    assert {curve.role for curve in plot.curves} == {"attack", "control"}
    assert all(curve.x == (0.0, 0.1, 0.3) for curve in plot.curves)
    assert {curve.y[0] for curve in plot.curves} == {0.9}
    tables = [e for e in evidence if isinstance(e, Table)]
    assert tables[0].rows[0][:2] == (0.0, 0.9)
    assert any("x0:" in str(row[-1]) for row in tables[2].rows)
    witness = next(e for e in evidence if isinstance(e, Witness))
    with np.load(tmp_path / witness.path, allow_pickle=False) as kept:
        assert len(kept["adversarials"]) == witness.count
        moved = np.abs(kept["adversarials"].astype(np.float64) - kept["originals"]).max(1)
        assert (moved <= kept["epsilons"]).all()
        answers = classifier.replay(torch.from_numpy(kept["adversarials"])).argmax(1).numpy()
        assert (answers == kept["answers"]).all()
        assert (answers != kept["labels"]).all()
    broken = int(((data.samples[:, 0] > 0.5) == data.labels).sum()) - round(
        120 * float(value(found, "linf", "all", 0.3).value or 0)
    )
    assert witness.count == broken


def test_pictures_are_shown_with_their_factor(tmp_path: Path) -> None:
    lower = torch.tensor([-1.0, 0.0, 0.0]).reshape(3, 1, 1)
    classifier = mlp((3, 5, 5), 3, lower=lower)
    rng = np.random.default_rng(1)
    samples = rng.uniform(0.0, 1.0, (20, 3, 5, 5)).astype(np.float32)
    labels = classifier.replay(torch.from_numpy(samples)).argmax(1).numpy()
    labels[0] = (labels[0] + 1) % 3
    settings = AttackSettings(linf_epsilons=(0.5,), l2_epsilons=(3.0,), images=3, **FAST)
    found = findings(AttacksCheck(), settings, context(classifier, dataset(samples, labels), tmp_path))
    images = [e for f in found.values() for e in f.evidence if isinstance(e, Images)]
    assert len(images) == 2
    assert all(1 <= len(each.rows) <= 3 and all(len(row) == 3 for row in each.rows) for each in images)
    assert "→ answered" in images[0].rows[0][2].caption
    assert images[0].rows[0][1].caption.startswith("× ")


def test_resumed_shards_equal_an_unbroken_run(tmp_path: Path) -> None:
    classifier = mlp((6,), 3)
    samples = np.random.default_rng(2).uniform(0, 1, (30, 6)).astype(np.float32)
    ctx = context(
        classifier, dataset(samples, classifier.replay(torch.from_numpy(samples)).argmax(1).numpy()), tmp_path
    )
    settings = AttackSettings(norms=("linf",), linf_epsilons=(0.05, 0.1, 0.2), **FAST)
    whole = results(AttacksCheck(), settings, ctx)
    for shard, payload in reversed(whole):
        alone = AttacksCheck().run(shard, settings, ctx)
        assert payload.keys() == alone.keys()
        for key, expected in payload.items():
            assert np.array_equal(np.asarray(expected), np.asarray(alone[key])), (shard.name, key)


def test_robust_masks_only_fall(tmp_path: Path) -> None:
    classifier = mlp((6,), 3)
    samples = np.random.default_rng(3).uniform(0, 1, (40, 6)).astype(np.float32)
    labels = classifier.replay(torch.from_numpy(samples)).argmax(1).numpy()
    ctx = context(classifier, dataset(samples, labels), tmp_path)
    settings = AttackSettings(linf_epsilons=(0.05, 0.1, 0.2), **{**FAST, "samples": 25})
    masks = robust_masks(results(AttacksCheck(), settings, ctx), 40)
    assert masks["linf", "all", 0.1].covered.sum() == 25
    for attack in ("pgd", "fgsm", "noise", "all"):
        chain = [masks["linf", attack, epsilon] for epsilon in (0.05, 0.1, 0.2)]
        for small, large in pairwise(chain):
            assert not (large.robust & ~small.robust).any()
        assert not (chain[0].robust & ~chain[0].covered).any()
    union = np.logical_and.reduce([masks["linf", a, 0.2].robust for a in ("pgd", "fgsm", "noise")])
    assert np.array_equal(masks["linf", "all", 0.2].robust, union)


class Rounded(nn.Module):
    """A margin rounded to eighths: the answers of the line, gradients that are zero."""

    def forward(self, x: Tensor) -> Tensor:
        score = torch.round((x[:, :1] - 0.5) * 8)
        return torch.cat([-score - 0.1, score], 1)


def test_masked_gradients_are_named(tmp_path: Path) -> None:
    _, data = line()
    classifier = ModuleClassifier(Rounded(), (2,), 2)
    settings = AttackSettings(norms=("linf",), linf_epsilons=(0.01,), **FAST)
    found = findings(AttacksCheck(), settings, context(classifier, data, tmp_path))
    dead = found["attacks/dead_gradients"]
    assert dead.outcome is Outcome.FAIL
    assert dead.value == 1.0
    assert "masked" in dead.reason
    assert dead.evidence


class Shattered(nn.Module):
    """Gradients that point the wrong way: alive, and of no use to an attack."""

    def forward(self, x: Tensor) -> Tensor:
        score = x[:, :1] - 0.5
        misled = (-score + 2 * score.detach()).expand(-1, 1)
        return torch.cat([-misled, misled], 1)


def test_an_attack_that_fails_in_half_the_box_is_named(tmp_path: Path) -> None:
    _, data = line()
    classifier = ModuleClassifier(Shattered(), (2,), 2)
    settings = AttackSettings(norms=("linf",), linf_epsilons=(0.05,), **FAST)
    found = findings(AttacksCheck(), settings, context(classifier, data, tmp_path))
    sanity = next(f for f in found.values() if f.metric == "gradient_sanity")
    assert sanity.outcome is not Outcome.PASS or found["attacks/noise_control?norm=linf"].outcome is not Outcome.PASS


def test_a_black_box_gets_noise_and_a_gap_by_name(tmp_path: Path) -> None:
    classifier, data = line(differentiable=False)
    ctx = context(classifier, data, tmp_path)
    settings = AttackSettings(norms=("l2",), **FAST)
    found = findings(AttacksCheck(), settings, ctx)
    gap = found["attacks/accuracy_under_attack?attack=gradient attacks&norm=l2"]
    assert gap.outcome is Outcome.NOT_ASSESSED
    assert gap.value is None
    assert not gap.headline
    assert value(found, "l2", "noise", 0.1).outcome is Outcome.MEASURED
    assert not any("attack=pgd" in key for key in found)
    blind = value(found, "l2", "ensemble", 0.25)
    right = ((data.samples[:, 0] > 0.5) == data.labels) & (np.abs(data.samples[:, 0] - 0.5) > 0.25)
    noise = value(found, "l2", "noise", 0.25)
    assert right.sum() <= round(120 * float(blind.value or 0)) < 120 * float(noise.value or 0)
    assert blind.cost.backward_passes == 0
    only = AttackSettings(norms=("l2",), attacks=("pgd", "noise"), **FAST)
    assert findings(AttacksCheck(), only, ctx)[gap.id].headline
    with pytest.raises(NotAssessedError, match="gradients"):
        AttacksCheck().plan(AttackSettings(attacks=("pgd",)), ctx)


def test_the_default_grid_follows_the_box() -> None:
    assert epsilon_grid("linf", None, mlp((4,), 2)) == (0.01, 0.02, 0.05, 0.1)
    assert epsilon_grid("linf", None, mlp((4,), 2, lower=-1.0, upper=1.0)) == (0.02, 0.04, 0.1, 0.2)
    assert epsilon_grid("l2", None, mlp((4,), 2, upper=255.0))[-1] == 255.0
    assert epsilon_grid("l2", (0.5, 0.1, 0.5), mlp((4,), 2)) == (0.1, 0.5)


@pytest.mark.parametrize("bad", [(), (0.0,), (-1.0,), (float("nan"),), (float("inf"),)])
def test_radii_that_are_none_are_refused(bad: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        AttackSettings(linf_epsilons=bad)


def test_nothing_right_nothing_attacked(tmp_path: Path) -> None:
    classifier, data = line()
    wrong = dataset(data.samples, 1 - (data.samples[:, 0] > 0.5).astype(np.int64))
    settings = AttackSettings(norms=("linf",), linf_epsilons=(0.1,), **FAST)
    found = findings(AttacksCheck(), settings, context(classifier, wrong, tmp_path))
    assert value(found, "linf", "all", 0.1).value == 0.0
    assert found["attacks/dead_gradients"].n == 0


def test_findings_survive_the_record(tmp_path: Path) -> None:
    classifier, data = line()
    settings = AttackSettings(norms=("linf",), linf_epsilons=(0.1,), **FAST)
    found = findings(AttacksCheck(), settings, context(classifier, data, tmp_path))
    for finding in found.values():
        assert Finding.model_validate_json(finding.model_dump_json()) == finding


def test_masks_carry_what_a_smaller_radius_broke() -> None:
    def shard(attack: str, epsilon: float, robust: list[bool]) -> Any:
        parameters = {"norm": "linf", "attack": attack, "epsilon": epsilon, "control": False}
        return Shard("attacks", f"{attack} {epsilon}", parameters, (0, 2)), {"robust": np.array(robust)}

    masks = robust_masks(
        [
            shard("pgd", 0.1, [False, True]),
            shard("pgd", 0.2, [True, True]),
            shard("fgsm", 0.2, [True, False]),
            shard("sanity", 0.5, [False, False]),
        ],
        3,
    )
    assert masks["linf", "all", 0.1].robust.tolist() == [False, False, True]
    assert masks["linf", "all", 0.2].robust.tolist() == [False, False, False]
    assert masks["linf", "all", 0.2].covered.tolist() == [True, False, True]
    assert ("linf", "sanity", 0.5) not in masks
