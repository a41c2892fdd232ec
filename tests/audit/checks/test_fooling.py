from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.check import NotAssessedError, Results
from robust.audit.checks.fooling import FoolingCheck, FoolingSettings, spread
from robust.audit.fooling_realism import realism_payload
from robust.record import CurvePlot, Finding, Images, Note, Outcome, Table, Witness
from tests.audit.checks.contexts import context, dataset, findings, results
from tests.doubles import ModuleClassifier, linear, mlp

FAST: dict[str, Any] = {"evaluations": 2000, "steps": 40, "restarts": 1, "noise": 100}


def metric(found: dict[str, Finding], name: str, method: str) -> Finding:
    return next(f for f in found.values() if f.metric == name and f.parameters.get("method") == method)


def test_a_linear_softmax_is_fooled_everywhere(tmp_path: Path) -> None:
    classifier = linear(30.0 * torch.eye(4))
    samples = np.eye(4, dtype=np.float32)
    ctx = context(classifier, dataset(samples, np.arange(4)), tmp_path)
    found = findings(FoolingCheck(), FoolingSettings(**FAST), ctx)
    for method in ("gradient_ascent", "map_elites"):
        confidence = metric(found, "fooling_confidence", method)
        assert confidence.value is not None
        assert confidence.value >= 0.9999
        assert confidence.n == 4
        assert confidence.better == "lower"
        assert confidence.headline
        assert confidence.interval is not None
        assert confidence.interval.level == pytest.approx(1 - 2 / 16)  # four values: their range covers 87.5 %
        assert metric(found, "fooled_share", method).value == 1.0
        assert metric(found, "fooling_evaluations", method).value is not None
    apart = next(f for f in found.values() if f.metric == "data_distance")
    assert apart.value == pytest.approx(2**0.5)  # unit vectors, leave one out
    controls = [f for f in found.values() if f.control]
    assert {f.metric for f in controls} == {"noise_confidence", "replay_control"}
    assert all(f.outcome is Outcome.PASS for f in controls)


def test_distances_are_those_of_the_kept_inputs(tmp_path: Path) -> None:
    classifier = mlp((5,), 3)
    rng = np.random.default_rng(0)
    data, reference = (dataset(rng.uniform(0, 1, (n, 5)), np.arange(n) % 3) for n in (9, 12))
    ctx = context(classifier, data, tmp_path, reference=reference)
    found = findings(FoolingCheck(), FoolingSettings(methods=("map_elites",), **FAST), ctx)
    confidence = metric(found, "fooling_confidence", "map_elites")
    witness = next(e for e in confidence.evidence if isinstance(e, Witness))
    with np.load(tmp_path / witness.path, allow_pickle=False) as kept:
        inputs = kept["inputs"].astype(np.float64)
        known = np.concatenate([data.samples, reference.samples]).astype(np.float64)
        nearest = np.sqrt(((inputs[:, None] - known[None]) ** 2).sum(2)).min(1)
        assert metric(found, "fooling_distance", "map_elites").value == pytest.approx(float(np.median(nearest)))
        replayed = torch.softmax(classifier.replay(torch.from_numpy(kept["inputs"])).double(), 1).numpy()
        assert kept["confidences"] == pytest.approx(replayed[np.arange(3), kept["targets"]])
        assert confidence.value == pytest.approx(float(np.median(kept["confidences"])))
    yard = np.sqrt(((data.samples[:, None].astype(np.float64) - reference.samples[None]) ** 2).sum(2)).min(1)
    assert next(f for f in found.values() if f.metric == "data_distance").value == pytest.approx(float(np.median(yard)))


def test_pictures_get_a_gallery_of_class_by_method(tmp_path: Path) -> None:
    classifier = mlp((1, 6, 6), 7, lower=-1.0)
    samples = np.random.default_rng(1).uniform(-1, 1, (14, 1, 6, 6))
    ctx = context(classifier, dataset(samples, np.arange(14) % 7), tmp_path)
    found = findings(FoolingCheck(), FoolingSettings(classes=6, gallery=4, **FAST), ctx)
    evidence = next(f for f in found.values() if f.evidence).evidence
    images = [e for e in evidence if isinstance(e, Images)]
    assert [image.title for image in images] == [
        "Fooling images",
        "How the images of MAP-Elites came about",
        "Where the model looks in the images of gradient ascent",
        "Where the model looks in the images of MAP-Elites",
    ]
    assert images[0].columns == ("gradient ascent", "MAP-Elites")
    assert images[1].columns == ("100", "300", "1,000", "last")
    assert images[2].columns == ("image", "integrated gradients")  # there is no convolution to look at
    assert len(images[0].rows) == 4
    notes = " ".join(e.text for e in evidence if isinstance(e, Note))
    assert "6 of the 7 classes" in notes
    assert "4 of 6 classes" in notes
    assert any(isinstance(e, CurvePlot) for e in evidence)
    table = next(e for e in evidence if isinstance(e, Table))
    assert len(table.rows) == 6


def test_vectors_get_a_table_instead(tmp_path: Path) -> None:
    ctx = context(mlp((5,), 2), dataset(np.full((4, 5), 0.5), np.array([0, 1, 0, 1])), tmp_path)
    found = findings(FoolingCheck(), FoolingSettings(**FAST), ctx)
    evidence = next(f for f in found.values() if f.evidence).evidence
    assert not any(isinstance(e, Images) for e in evidence)
    table = next(e for e in evidence if isinstance(e, Table) and e.title == "Fooling inputs")
    assert table.columns == ("method", "class", "confidence", "x0", "x1", "x2", "x3", "x4")
    assert len(table.rows) == 4


def test_a_black_box_is_fooled_by_evolution_alone(tmp_path: Path) -> None:
    ctx = context(mlp((3,), 2, differentiable=False), dataset(np.full((4, 3), 0.5), np.array([0, 1, 0, 1])), tmp_path)
    found = findings(FoolingCheck(), FoolingSettings(**FAST), ctx)
    assert metric(found, "fooling_confidence", "gradient_ascent").outcome is Outcome.NOT_ASSESSED
    assert metric(found, "fooling_confidence", "map_elites").value is not None
    with pytest.raises(NotAssessedError, match="gradients"):
        FoolingCheck().plan(FoolingSettings(methods=("gradient_ascent",)), ctx)


def test_a_search_worse_than_chance_fails_its_control(tmp_path: Path) -> None:
    ctx = context(linear(3.0 * torch.eye(3)), dataset(np.eye(3), np.arange(3)), tmp_path)
    settings = FoolingSettings(methods=("map_elites",), **FAST)
    made = results(FoolingCheck(), settings, ctx)
    spoiled: Results = [
        (s, {**p, "confidences": np.full(3, 0.2)} if s.parameters["method"] == "map_elites" else p) for s, p in made
    ]
    by_metric = {f.metric: f for f in FoolingCheck().conclude(spoiled, settings, ctx, {})}
    assert by_metric["noise_confidence"].outcome is Outcome.FAIL


class Fickle(nn.Module):
    """Sure for the search, unsure in the replay: what another runtime might do."""

    def forward(self, x: Tensor) -> Tensor:
        return 40 * torch.cat([x, 1 - x], 1)


def test_claims_that_do_not_replay_fail_their_control(tmp_path: Path) -> None:
    classifier = ModuleClassifier(Fickle(), (1,), 2)
    ctx = context(classifier, dataset(np.array([[0.1], [0.9]]), np.array([1, 0])), tmp_path)
    classifier.replay = lambda x: 0.1 * classifier.logits(x).detach()  # type: ignore[method-assign]
    found = findings(FoolingCheck(), FoolingSettings(**FAST), ctx)
    assert found["fooling/replay_control"].outcome is Outcome.FAIL
    assert found["fooling/replay_control"].value == 4.0


def test_shards_repeat_alone(tmp_path: Path) -> None:
    ctx = context(mlp((4,), 3), dataset(np.full((6, 4), 0.5), np.arange(6) % 3), tmp_path)
    settings = FoolingSettings(**FAST)
    for shard, payload in reversed(results(FoolingCheck(), settings, ctx)):
        again = FoolingCheck().run(shard, settings, ctx)
        for key, expected in payload.items():
            assert np.array_equal(np.asarray(expected), np.asarray(again[key])), (shard.name, key)


def test_classes_are_spread_evenly() -> None:
    assert spread(3, 5) == [0, 1, 2]
    assert spread(1000, 4) == [0, 250, 500, 750]
    assert len(set(spread(101, 100))) == 100


def blobs(count: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Two classes of pictures: a bright left or right half, a little noisy; all else is nonsense."""
    rng = np.random.default_rng(5)
    labels = np.arange(count) % 2
    samples = 0.1 + 0.05 * rng.random((count, 1, 4, 4))
    for sample, label in zip(samples, labels, strict=True):
        sample[0, :, 2 * label : 2 * label + 2] += 0.7
    return samples.astype(np.float32), labels


def halves() -> ModuleClassifier:
    weight = torch.tensor([[1.0, 1.0, -1.0, -1.0] * 4, [-1.0, -1.0, 1.0, 1.0] * 4])
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    module[1].weight.data = weight
    return ModuleClassifier(module.eval(), (1, 4, 4), 2)


def test_detectors_realism_and_distributions(tmp_path: Path) -> None:
    data, reference = (dataset(*blobs(count)) for count in (30, 60))
    ctx = context(halves(), data, tmp_path, reference=reference)
    found = findings(FoolingCheck(), FoolingSettings(**FAST), ctx)
    seen = [f for f in found.values() if f.metric == "fooling_detected"]
    assert {f.parameters["detector"] for f in seen} == {"maximum_softmax", "energy"}  # no features
    assert all(f.value is not None and 0 <= f.value <= 1 and f.interval is not None for f in seen)
    assert all(f.protocol["fitted on"] == "the reference" for f in seen)
    realism = next(f for f in found.values() if f.metric == "judge_agreement")
    table = next(e for e in realism.evidence if isinstance(e, Table))
    assert [row[0] for row in table.rows] == [0.0, 0.01, 0.03, 0.1, 0.3, 1.0]
    assert "right on 100.0% of evaluation samples" in table.caption
    shares = next(e for f in found.values() for e in f.evidence if isinstance(e, CurvePlot) and "How sure" in e.title)
    for curve in shares.curves:
        assert curve.y[0] == 1.0
        assert list(curve.y) == sorted(curve.y, reverse=True)
    real = next(curve for curve in shares.curves if curve.label == "real samples")
    sure = torch.softmax(halves().logits(torch.from_numpy(data.samples)).double(), 1).amax(1).detach().numpy()
    assert real.y[45] == pytest.approx(float((sure >= real.x[45]).mean()))


def test_a_prior_brings_images_back_to_the_data(tmp_path: Path) -> None:
    """A model that sees nothing in the data: without a prior its images go anywhere."""
    data, reference = (dataset(*blobs(count)) for count in (30, 60))
    ctx = context(mlp((1, 4, 4), 2), data, tmp_path, reference=reference)
    payload = realism_payload(ctx, [0, 1], torch.Generator().manual_seed(0))
    near = np.median(payload["nearest"], axis=1)
    assert near[-1] < 0.7 * near[0]
    assert payload["judge_accuracy"] == 1.0


def test_without_a_reference_there_is_no_realism_and_half_the_samples_fit_the_detectors(tmp_path: Path) -> None:
    ctx = context(halves(), dataset(*blobs(30)), tmp_path)
    found = findings(FoolingCheck(), FoolingSettings(**FAST), ctx)
    assert not [f for f in found.values() if f.metric == "judge_agreement"]
    seen = [f for f in found.values() if f.metric == "fooling_detected"]
    assert {f.protocol["fitted on"] for f in seen} == {"half of the evaluation samples"}
    assert {f.n for f in seen} == {2 + 15}


def test_nobody_is_fooled_into_a_class_that_rejects(tmp_path: Path) -> None:
    ctx = context(mlp((4,), 3), dataset(np.full((6, 4), 0.5), np.arange(6) % 3), tmp_path)
    shards = FoolingCheck().plan(FoolingSettings(reject="1", **FAST), ctx)
    assert all(shard.parameters["targets"] == [0, 2] for shard in shards)
    with pytest.raises(NotAssessedError, match="names no class"):
        FoolingCheck().plan(FoolingSettings(reject="nothing", **FAST), ctx)
