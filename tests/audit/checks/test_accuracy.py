from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from robust.audit.checks.accuracy import AccuracyCheck, AccuracySettings
from robust.errors import NonFiniteError
from robust.record import Finding, Outcome
from tests.doubles import DoubleClassifier, Table, context, dataset, results_of


def audited(logits: np.ndarray, labels: np.ndarray, **settings: object) -> dict[str, Finding]:
    classes = logits.shape[1]
    classifier = DoubleClassifier(Table(classes), nn.Identity(), (classes,), classes, box=(-50.0, 50.0))
    where = context(classifier, dataset(logits, labels))
    check, chosen = AccuracyCheck(), AccuracySettings(resamples=200, batch=7, **settings)
    return {finding.id: finding for finding in check.conclude(results_of(check, chosen, where), chosen, where, {})}


def test_accuracy_classes_and_references_by_hand() -> None:
    labels = np.array([0] * 6 + [1] * 4)
    answers = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0])  # 4 of 6, 3 of 4
    found = audited(np.eye(2)[answers] * 3, labels)
    assert found["accuracy/accuracy"].value == pytest.approx(0.7)
    assert found["accuracy/balanced_accuracy"].value == pytest.approx((4 / 6 + 3 / 4) / 2)
    assert found["accuracy/class_accuracy?class=c0"].value == pytest.approx(4 / 6)
    assert found["accuracy/class_accuracy?class=c1"].n == 4
    assert found["accuracy/majority_class_rate"].value == pytest.approx(0.6)
    # every confidence is 1 / (1 + e^-3); seven of ten are right: one bin, overconfident by the difference
    confidence = 1 / (1 + np.exp(-3))
    assert found["accuracy/expected_calibration_error"].value == pytest.approx(confidence - 0.7, abs=1e-6)
    assert found["accuracy/brier_score"].value == pytest.approx(
        0.7 * 2 * (1 - confidence) ** 2 + 0.3 * 2 * confidence**2, abs=1e-6
    )
    # class 0 is the truth of six and the answer of five, class 1 of four and five
    assert found["accuracy/shuffled_label_accuracy"].protocol["expected"] == pytest.approx(0.5 * 0.6 + 0.5 * 0.4)
    assert found["accuracy/shuffled_label_accuracy"].outcome is Outcome.PASS
    assert all(finding.outcome in (Outcome.PASS, Outcome.FAIL) for finding in found.values() if finding.control)


def test_every_interval_contains_its_value() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(60, 5)) * 4
    for finding in audited(logits, rng.integers(0, 5, 60)).values():
        if finding.interval is not None and finding.value is not None:
            assert finding.interval.low <= finding.value <= finding.interval.high, finding.id


def test_a_class_without_samples_is_not_assessed_and_many_classes_list_confusions() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 99, 400)
    found = audited(np.eye(100)[rng.integers(0, 100, 400)], labels, top_confusions=5)
    assert found["accuracy/class_accuracy?class=c99"].outcome is Outcome.NOT_ASSESSED
    titles = {item.title: item for item in found["accuracy/accuracy"].evidence if item.kind == "table"}
    assert len(titles["Most frequent confusions"].rows) == 5


def test_a_control_that_sees_the_labels_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy:
        def permutation(self, values: np.ndarray) -> np.ndarray:
            return values

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 80)
    classifier = DoubleClassifier(Table(4), nn.Identity(), (4,), 4)
    where = context(classifier, dataset(np.eye(4)[labels], labels))
    check, settings = AccuracyCheck(), AccuracySettings(resamples=100)
    results = results_of(check, settings, where)
    original = type(where).rng

    def broken(self: object, *salt: object) -> object:
        return Lazy() if "shuffled labels" in salt else original(self, *salt)  # type: ignore[arg-type]

    monkeypatch.setattr(type(where), "rng", broken)
    controls = [f for f in check.conclude(results, settings, where, {}) if f.metric == "shuffled_label_accuracy"]
    assert controls[0].outcome is Outcome.FAIL


def test_nan_logits_are_an_error() -> None:
    logits = np.zeros((5, 2))
    logits[2, 0] = np.nan
    with pytest.raises(NonFiniteError, match="1 of 5"):
        audited(logits, np.zeros(5, dtype=int))


def test_the_same_seed_gives_the_same_findings() -> None:
    rng = np.random.default_rng(5)
    logits, labels = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    assert audited(logits, labels) == audited(logits, labels)
