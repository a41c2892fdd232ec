from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from robust.audit.check import NotAssessedError
from robust.audit.checks.ood import OodCheck, OodSettings
from robust.errors import DataShapeError, PlanError
from robust.properties import Box
from robust.record import Finding, Outcome
from tests.doubles import DoubleClassifier, Table, context, dataset, results_of

SMALL = {"resamples": 200, "batch": 16}


def prototypes(shape: tuple[int, ...], classes: int = 3, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Samples near one prototype per class, in [0, 1]."""
    rng = np.random.default_rng(0)
    centres = rng.random((classes, *shape)) * 0.8 + 0.1
    labels = rng.integers(0, classes, n)
    return np.clip(centres[labels] + rng.normal(0, 0.02, (n, *shape)), 0, 1), labels


def classifier(shape: tuple[int, ...], samples: np.ndarray, labels: np.ndarray, classes: int = 3) -> DoubleClassifier:
    """Nearest prototype as a linear layer on the flattened input: features are the input."""
    flat = samples.reshape(len(samples), -1)
    means = np.stack([flat[labels == k].mean(0) for k in range(classes)])
    head = nn.Linear(means.shape[1], classes)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(20 * means))
        head.bias.copy_(torch.from_numpy(-10 * (means**2).sum(1)))
    return DoubleClassifier(nn.Flatten(), head.requires_grad_(False), shape, classes)


def audited(check: OodCheck, settings: OodSettings, where: object) -> dict[str, Finding]:
    findings = check.conclude(results_of(check, settings, where), settings, where, {})  # type: ignore[arg-type]
    assert len({finding.id for finding in findings}) == len(findings)
    for finding in findings:
        if finding.interval is not None and finding.value is not None:
            assert finding.interval.low - 1e-9 <= finding.value <= finding.interval.high + 1e-9, finding.id
    return {finding.id: finding for finding in findings}


def test_pictures_get_every_set_a_control_and_a_gallery() -> None:
    samples, labels = prototypes((1, 6, 6))
    other = dataset(1 - samples[:30], labels[:30])
    where = context(classifier((1, 6, 6), samples, labels), dataset(samples, labels), ood={"inverted": other})
    found = audited(OodCheck(), OodSettings(**SMALL, near=("inverted",)), where)
    names = {finding.parameters["set"] for finding in found.values() if "set" in finding.parameters}
    assert names == {
        "uniform noise", "gaussian noise", "permuted pixels", "inverted", "mixtures of two classes", "quarter turns",
    }  # fmt: skip
    assert found["ood/auroc?detector=mahalanobis&family=far&set=uniform noise"].value == pytest.approx(1.0)
    assert found["ood/auroc?detector=energy&family=near&set=inverted"].protocol["abnormal"] == 30
    for detector in ("maximum_softmax", "energy", "mahalanobis", "relative_mahalanobis", "knn"):
        assert found[f"ood/self_auroc?detector={detector}"].outcome is Outcome.PASS
        worst = found[f"ood/worst_auroc?detector={detector}&family=all"]
        areas = [f.value for f in found.values() if f.metric == "auroc" and f.parameters["detector"] == detector]
        assert worst.value == min(areas)  # type: ignore[type-var]
        assert worst.headline == (detector in {"maximum_softmax", "energy", "mahalanobis"})
    gallery = [e for e in found["ood/worst_auroc?detector=maximum_softmax&family=all"].evidence if e.kind == "images"]
    assert len(gallery[0].rows) == 6
    assert "evaluation samples, not tested on" in str(worst.protocol["fit_on"])


def test_tables_permute_columns_and_need_no_pictures() -> None:
    samples, labels = prototypes((5,), classes=2)
    reference, truth = prototypes((5,), classes=2, n=60)
    where = context(
        classifier((5,), samples, labels, 2),
        dataset(samples, labels),
        reference=dataset(reference, truth, name="train"),
    )
    found = audited(OodCheck(), OodSettings(**SMALL), where)
    names = {finding.parameters["set"] for finding in found.values() if "set" in finding.parameters}
    assert names == {"uniform noise", "gaussian noise", "permuted columns", "mixtures of two classes"}
    first = found["ood/worst_auroc?detector=maximum_softmax&family=all"]
    assert not any(item.kind == "images" for item in first.evidence)
    assert first.protocol["fit_on"] == "60 samples of train"
    assert first.protocol["normal"] == 120


def test_a_black_box_has_no_distances_and_says_so() -> None:
    samples, labels = prototypes((3,), classes=2)
    where = context(DoubleClassifier(None, Table(2), (3,), 2), dataset(samples, labels))
    found = audited(OodCheck(), OodSettings(**SMALL), where)
    for detector in ("mahalanobis", "relative_mahalanobis", "knn"):
        finding = found[f"ood/auroc?detector={detector}"]
        assert finding.outcome is Outcome.NOT_ASSESSED
        assert "last affine layer" in finding.reason
    assert "ood/worst_auroc?detector=energy&family=far" in found


def test_a_detector_that_tells_the_data_from_themselves_fails_its_control() -> None:
    samples, labels = prototypes((3,), classes=2)
    where = context(DoubleClassifier(None, Table(2), (3,), 2), dataset(samples, labels))
    check, settings = OodCheck(), OodSettings(**SMALL, detectors=("energy",))
    results = results_of(check, settings, where)
    order = where.rng("ood", "halves").permutation(60)
    ready = check._prepare(settings, where)
    broken = np.empty(60)
    broken[order] = np.arange(60.0)  # the second half scores above the first
    object.__setattr__(ready, "scores", {"energy": broken})
    shard = results[0][0]
    results = [(shard, check.run(shard, settings, where)), *results[1:]]
    control = [f for f in check.conclude(results, settings, where, {}) if f.control]
    assert control[0].outcome is Outcome.FAIL


def test_a_new_check_object_gives_the_same_findings() -> None:
    samples, labels = prototypes((4,), classes=2, n=60)
    where = context(classifier((4,), samples, labels, 2), dataset(samples, labels))
    settings = OodSettings(**SMALL)
    whole = OodCheck().conclude(results_of(OodCheck(), settings, where), settings, where, {})
    shards = OodCheck().plan(settings, where)
    pieces = [(shard, OodCheck().run(shard, settings, where)) for shard in shards]
    assert whole == OodCheck().conclude(pieces, settings, where, {})


def test_a_fitted_panel_does_not_outlive_its_audit() -> None:
    samples, labels = prototypes((3,), classes=2)
    where = context(classifier((3,), samples, labels, 2), dataset(samples, labels))
    check, settings = OodCheck(), OodSettings(**SMALL)
    ready = check._prepare(settings, where)
    assert check._prepare(settings, where) is ready
    assert check._prepare(OodSettings(**SMALL, samples=30), where) is not ready
    del where
    gc.collect()
    assert check._memo is None


def test_bad_plans_and_data_get_typed_errors() -> None:
    samples, labels = prototypes((4,), classes=2)
    model = classifier((4,), samples, labels, 2)
    unknown = context(model, dataset(samples, labels))
    wide = context(model, dataset(samples, labels), ood={"x": dataset(np.zeros((9, 5)), np.zeros(9))})
    few = context(model, dataset(samples[:30], labels[:30]))
    with pytest.raises(PlanError, match="letters"):
        OodCheck().plan(OodSettings(near=("letters",)), unknown)
    with pytest.raises(DataShapeError, match=r"\(5,\)"):
        OodCheck().plan(OodSettings(), wide)
    with pytest.raises(NotAssessedError, match="at least 20"):
        OodCheck().plan(OodSettings(), few)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_scores_on_the_accelerator_are_those_of_the_processor() -> None:
    samples, labels = prototypes((1, 6, 6))
    model = classifier((1, 6, 6), samples, labels)
    here = context(model, dataset(samples, labels))
    settings = OodSettings(**SMALL)
    expected = results_of(OodCheck(), settings, here)
    device = torch.device("cuda")
    model._head.to(device)
    model.device = device
    there = replace(here, device=device)
    for (_, cpu), (_, gpu) in zip(expected, results_of(OodCheck(), settings, there), strict=True):
        for detector, scores in cpu["scores"].items():
            np.testing.assert_allclose(gpu["scores"][detector], scores, rtol=1e-3, atol=1e-3)


def test_colour_pictures_in_another_box_with_many_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 100
    centres = rng.uniform(-0.9, 0.9, (100, 3, 5, 4))
    samples = np.clip(centres[labels] + rng.normal(0, 0.02, (300, 3, 5, 4)), -1, 1)
    model = classifier((3, 5, 4), samples, labels, 100)
    model.input_box = Box(torch.full((3, 5, 4), -1.0), torch.full((3, 5, 4), 1.0))
    where = context(model, dataset(samples, labels))
    check, settings = OodCheck(), OodSettings(**SMALL, detectors=("energy", "mahalanobis"), examples=2)
    results = results_of(check, settings, where)
    by_name = {shard.parameters["set"]: payload for shard, payload in results}
    noise = by_name["uniform noise"]["examples"]
    assert noise.shape == (2, 3, 5, 4)
    assert noise.min() < -0.5  # the whole box, not [0, 1]
    gallery = [
        item
        for finding in check.conclude(results, settings, where, {})
        for item in finding.evidence
        if item.kind == "images"
    ]
    assert {(item.width, item.height) for row in gallery[0].rows for item in row} == {(4, 5)}
