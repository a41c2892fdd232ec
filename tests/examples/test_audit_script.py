"""The example of an audit from Python does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.digits import audit as script
from robust.audit import audit
from robust.audit.catalogue import CHECKS
from robust.data import load_data
from robust.record import AuditRecord
from robust.subjects import load_classifier

ONLY_ACCURACY = {"checks": {name: {"enabled": name == "accuracy"} for name in (check.name for check in CHECKS)}}
FAST = {**ONLY_ACCURACY, "checks.accuracy.resamples": 100}


@pytest.fixture
def record(tmp_path: Path) -> AuditRecord:
    return script.run(tmp_path, FAST)


def test_the_script_judges_by_the_plan_and_writes_the_reports(record: AuditRecord, tmp_path: Path) -> None:
    assert {"record.json", "report.html", "junit.xml", "summary.md"} <= {path.name for path in tmp_path.iterdir()}
    assert AuditRecord.read(tmp_path / "record.json") == record
    said = script.lines(record)
    assert said[0].startswith("passed: ")
    assert sum(line.startswith("  pass: ") for line in said) == 1
    assert sum(line.startswith("  not asked: ") for line in said) == len(CHECKS) - 1


def test_paths_and_objects_give_the_same_findings(record: AuditRecord, tmp_path: Path) -> None:
    folder = script.HERE
    by_path = audit(model=folder / "classifier.onnx", data=folder / "test.npz", settings=FAST, output=tmp_path / "a")
    classifier = load_classifier(folder / "classifier.onnx", name="classifier")
    by_object = audit(
        model=classifier, data=load_data(str(folder / "test.npz")), settings=FAST, output=str(tmp_path / "b")
    )
    assert by_path.findings == by_object.findings
    values = [(f.metric, f.value, f.interval) for f in by_path.findings]
    assert values == [(f.metric, f.value, f.interval) for f in record.findings]


def test_further_sets_by_path_and_by_object(tmp_path: Path) -> None:
    folder = script.HERE
    digits = load_data("builtin:digits")
    record = audit(
        model=folder / "classifier.onnx",
        data=folder / "test.npz",
        ood={"by path": folder / "train.npz", "by object": digits},
        settings={**FAST, "ood.by path.limit": 30},
        output=tmp_path,
    )
    used = {data.name: data.used for data in record.data if data.role == "out-of-distribution"}
    assert sorted(used.values()) == [30, len(digits)]
