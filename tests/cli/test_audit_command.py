"""``robust audit``: exit statuses, what is said where, and what is written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from robust.audit.catalogue import CHECKS
from robust.record import AuditRecord
from tests.cli.conftest import DATA, DIGITS, FAST, MODEL, SUBJECT, Robust

MET = 'checks.accuracy.thresholds=[{ metric = "accuracy", minimum = 0.5 }]'
MISSED = 'checks.accuracy.thresholds=[{ metric = "accuracy", maximum = 0.5 }]'
OPEN = 'checks.accuracy.thresholds=[{ metric = "acuracy", minimum = 0.5 }]'
WRITTEN = {"record.json", "report.html", "junit.xml", "summary.md"}


def record_of(folder: Path) -> AuditRecord:
    return AuditRecord.read(folder / "audit-runs" / "latest" / "record.json")


@pytest.mark.parametrize(
    ("thresholds", "status", "verdict"),
    [((), 0, "not judged"), ((MET,), 0, "passed"), ((MISSED,), 1, "failed"), ((OPEN,), 3, "undecided")],
)
def test_the_exit_status_is_the_verdict(robust: Robust, thresholds: tuple[str, ...], status: int, verdict: str) -> None:
    settings = [word for text in thresholds for word in ("--set", text)]
    result = robust("audit", *SUBJECT, *FAST, *settings)
    assert result.status == status, result.err
    assert verdict.upper() in result.out.upper()
    record = record_of(robust.folder)
    assert (record.gate.exit_status, record.gate.verdict) == (status, verdict)
    assert {path.name for path in (robust.folder / "audit-runs" / "latest").iterdir()} >= WRITTEN
    assert "accuracy: completed" in result.err
    assert robust("audit", *SUBJECT, *FAST, *settings, "--exit-zero").status == 0


def test_quiet_says_nothing_on_the_way(robust: Robust) -> None:
    result = robust("audit", *SUBJECT, *FAST, "--quiet")
    assert (result.status, result.err) == (0, "")
    assert "report.html" in result.out


def test_the_second_time_everything_is_kept(robust: Robust) -> None:
    robust("audit", *SUBJECT, *FAST)
    before = record_of(robust.folder)
    result = robust("audit", *SUBJECT, *FAST)
    shards = before.checks[0].shards
    assert f"accuracy: completed ({shards} of {shards} shards kept from before)" in result.err
    assert record_of(robust.folder).comparable_json() == before.comparable_json()


def no_file(folder: Path) -> list[str]:
    return ["nowhere.toml"]


def not_toml(folder: Path) -> list[str]:
    (folder / "robust.toml").write_text("seed = ", encoding="utf-8")
    return []


def unknown_key(folder: Path) -> list[str]:
    (folder / "robust.toml").write_text("sede = 3", encoding="utf-8")
    return []


def truncated(folder: Path) -> list[str]:
    (folder / "m.onnx").write_bytes(Path(MODEL).read_bytes()[:500])
    return ["--model", "m.onnx", "--data", DATA]


def wrong_labels(folder: Path) -> list[str]:
    with np.load(DATA) as archive:
        samples, labels = archive["samples"], archive["labels"]
    np.savez(folder / "d.npz", samples=samples, labels=(labels + 1) % 10)
    return ["--model", MODEL, "--data", "d.npz"]


def taken_output(folder: Path) -> list[str]:
    (folder / "taken").write_text("", encoding="utf-8")
    return [*SUBJECT, *FAST, "--output", "taken/run"]


BAD = {
    "no plan": (lambda _: [], "names no model"),
    "no plan file": (no_file, "nowhere.toml"),
    "not TOML": (not_toml, "robust.toml"),
    "unknown key": (unknown_key, "did you mean 'seed'"),
    "unknown option": (lambda _: ["--sead", "3"], "--seed"),
    "two plans": (lambda _: ["a.toml", "b.toml"], "b.toml"),
    "no number": (lambda _: [*SUBJECT, "--seed", "many"], "--seed"),
    "no assignment": (lambda _: [*SUBJECT, "--set", "seed"], "KEY=VALUE"),
    "unknown setting": (lambda _: [*SUBJECT, "--set", "checks.attacks.stepps=3"], "did you mean 'steps'"),
    "unknown check": (lambda _: [*SUBJECT, "--only", "acuracy"], "accuracy"),
    "no check": (lambda _: [*SUBJECT, "--skip", ","], "nothing"),
    "no model file": (lambda _: ["--model", "no.onnx", "--data", DATA], "no.onnx"),
    "truncated model": (truncated, "m.onnx"),
    "no factory": (lambda _: ["--model", "nopackage.x:y", "--data", DATA], "nopackage"),
    "no data file": (lambda _: ["--model", MODEL, "--data", "no.npz"], "no.npz"),
    "no such built-in": (lambda _: ["--model", MODEL, "--data", "builtin:digit"], "built-in"),
    "wrong labels": (wrong_labels, "guessing"),
    "no device": (lambda _: [*SUBJECT, "--device", "warp:1"], "warp"),
    "no room": (taken_output, "taken"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_run_is_status_2_with_a_message_and_nothing_else(robust: Robust, what: str) -> None:
    arguments, said = BAD[what]
    result = robust("audit", *arguments(robust.folder))
    assert result.status == 2
    assert said in result.err
    assert "Traceback" not in result.err
    assert "fault of robust-audit" not in result.err
    assert result.out == ""
    assert not (robust.folder / "audit-runs").exists()
    assert robust("audit", *arguments(robust.folder), "--exit-zero").status == 2


def test_a_dry_run_prints_plan_and_cost_and_writes_nothing(robust: Robust) -> None:
    result = robust("audit", *SUBJECT, "--dry-run", "--skip", "fooling")
    assert result.status == 0
    assert "500 of 500 samples" in result.out
    assert re.search(r"accuracy +\d+ shards?; 500 forward passes; [\d.]+ (us|ms|s) in the network", result.out)
    assert re.search(r"fooling +off", result.out)
    assert re.search(r"fairness +not applicable: the data has no group column", result.out)
    assert re.search(r"certificates .*time unknown", result.out)
    assert "Measured here" in result.out
    assert list(robust.folder.iterdir()) == []


def test_only_and_skip(robust: Robust) -> None:
    robust("audit", *SUBJECT, *FAST)
    record = record_of(robust.folder)
    assert [check.name for check in record.checks] == ["accuracy"]
    assert sum("switched off in the plan" in sentence for sentence in record.not_asked) == len(CHECKS) - 1
    others = ",".join(name for name in record.plan["checks"] if name != "accuracy")  # type: ignore[union-attr]
    skipped = robust("audit", *SUBJECT, "--skip", others, *FAST[2:])
    assert skipped.status == 0
    assert record_of(robust.folder).findings == record.findings


def test_a_check_asked_for_by_name_that_cannot_answer_is_undecided(robust: Robust) -> None:
    result = robust("audit", *SUBJECT, "--only", "fairness", *FAST[2:])
    assert result.status == 3
    assert record_of(robust.folder).gate.undecided == ("fairness",)


def test_a_folder_with_a_plan_from_another_folder(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    project = robust.folder / "project"
    project.mkdir()
    shutil.copy(MODEL, project / "model.onnx")
    shutil.copy(DATA, project / "test.npz")
    text = 'seed = 4\n[model]\nsource = "model.onnx"\n[data]\nsource = "test.npz"\n'
    (project / "robust.toml").write_text(text, encoding="utf-8")
    assert robust("audit", "project", *FAST).status == 0
    assert robust("audit", "project/robust.toml", *FAST).status == 0
    outside = record_of(robust.folder)
    assert outside.seed == 4
    monkeypatch.chdir(project)
    assert robust("audit", *FAST).status == 0
    inside = record_of(project)
    assert inside.findings == outside.findings
    assert [subject.sha256 for subject in inside.subjects] == [subject.sha256 for subject in outside.subjects]


def test_two_places_one_record(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    documents, witnesses = [], []
    small = ("--set", "checks.attacks.samples=12", "--set", "checks.attacks.steps=3", "--set", "data.limit=100")
    for name in ("one", "two"):
        folder = robust.folder / name
        folder.mkdir()
        shutil.copy(MODEL, folder / "model.onnx")
        shutil.copy(DATA, folder / "test.npz")
        monkeypatch.chdir(folder)
        arguments = ("--model", "model.onnx", "--data", "test.npz", "--only", "accuracy,attacks", *small)
        assert robust("audit", *arguments, "--set", "checks.accuracy.resamples=100").status == 0
        run = folder / "audit-runs" / "latest"
        documents.append(json.loads((run / "record.json").read_text(encoding="utf-8")))
        witnesses.append({path.name: path.read_bytes() for path in (run / "witnesses").iterdir()})
        assert AuditRecord.read(run / "record.json").findings
    assert len(witnesses[0]) > 0
    assert witnesses[0] == witnesses[1]
    assert differences(*documents) <= {"seconds", "started", "finished"}


def differences(a: object, b: object, key: str = "") -> set[str]:
    """Keys under which two documents differ."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return {found for name in a for found in differences(a[name], b[name], name)}
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return {found for x, y in zip(a, b, strict=True) for found in differences(x, y, key)}
    return set() if a == b else {key}


def test_the_environment_speaks_after_the_file_and_before_the_options(
    robust: Robust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBUST_SEED", "5")
    monkeypatch.setenv("ROBUST_DATA__LIMIT", "50")
    (robust.folder / "robust.toml").write_text(
        f'seed = 1\n[model]\nsource = "{MODEL}"\n[data]\nsource = "{DATA}"\nlimit = 70\n', encoding="utf-8"
    )
    robust("audit", *FAST[:4])
    record = record_of(robust.folder)
    assert (record.seed, record.data[0].used) == (5, 50)
    robust("audit", *FAST[:4], "--seed", "6")
    assert record_of(robust.folder).seed == 6


def test_the_shipped_plan_is_a_good_plan(robust: Robust) -> None:
    result = robust("audit", str(DIGITS / "robust.toml"), "--dry-run")
    assert result.status == 0
    assert "digits decoder" in result.out


def test_what_changed_since_a_baseline(robust: Robust) -> None:
    assert robust("audit", *SUBJECT, *FAST, "-o", "before").status == 0
    result = robust("audit", *SUBJECT, *FAST, "-o", "now", "--baseline", "before")
    assert result.status == 0
    [line] = [line for line in result.out.splitlines() if line.startswith("Since the baseline")]
    count = sum(not finding.control for finding in AuditRecord.read(robust.folder / "now" / "record.json").findings)
    assert line.endswith(f": {count} no change shown")
    other = robust("audit", *SUBJECT, *FAST[:4], "--set", "data.limit=90", "-o", "now", "--baseline", "before")
    assert "other evaluation data" in other.out
    missing = robust("audit", *SUBJECT, *FAST, "-o", "third", "--baseline", "nowhere")
    assert (missing.status, missing.out) == (2, "")
    assert not (robust.folder / "third").exists()
