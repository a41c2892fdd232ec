"""The whole audit from the command line on models that its makers did not make."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.cli.app import main
from tests.trial.models import brightest_rows, row_weights, write_onnx, write_rows

Printed = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples, labels = brightest_rows(80)
    np.savez("data.npz", samples=samples, labels=labels)
    write_rows(Path("rows.onnx"))


def robust(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Exit status of a command."""
    monkeypatch.setattr(sys, "argv", ["robust", *words])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("audit-runs/latest/record.json").read_text())
    return found


def accuracy() -> float:
    (check,) = [check for check in record()["checks"] if check["name"] == "accuracy"]
    return float(next(f["value"] for f in check["findings"] if f["metric"] == "accuracy" and not f["parameters"]))


def refused(monkeypatch: pytest.MonkeyPatch, capsys: Printed, *words: str) -> str:
    """The message of an audit that could not run: exit 2, no traceback, no record."""
    assert robust(monkeypatch, "audit", "--quiet", *words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert not Path("audit-runs/latest/record.json").exists()
    return printed.err


def test_labels_in_another_order_are_caught_with_the_order(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    """Sorted, the names are not in the order of the outputs; every answer is right in the order of the hint."""
    samples, labels = brightest_rows(80)
    names = np.array(["west", "east", "north", "south"])
    np.savez("named.npz", samples=samples, labels=names[(labels + 2) % 4])
    words = ["--model", "rows.onnx", "--data", "named.npz", "--only", "accuracy"]
    message = refused(monkeypatch, capsys, *words)
    order = ["north", "south", "west", "east"]
    assert "no better than guessing" in message
    assert f"data.label_order = {order}" in " ".join(message.split())
    assert robust(monkeypatch, "audit", *words, "--set", f"data.label_order={json.dumps(order)}") == 0
    assert accuracy() == 1


def test_labels_that_are_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, labels = brightest_rows(80)
    np.savez("odd.npz", samples=samples, labels=2 * labels + 1)
    assert robust(monkeypatch, "audit", "-m", "rows.onnx", "-d", "odd.npz", "--only", "accuracy") == 0
    assert accuracy() == 1
    assert any("1, 3, 5, 7" in note for note in record()["data"][0]["notes"])


def test_an_assumed_box_that_is_not_the_models_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    """In [-1, 1] the mean of a dark row is about -0.6 and of a bright one 0.4; in [0, 1] 0.2 and 0.7.

    Logits are 16 times the mean, but the first is 32 times it plus 3.2: for [-1, 1] -16 and 16 against -9.6 and 6.4,
    always right; in [0, 1] a dark first row has about 9.6 against 11.2 for the bright one, with noise of about 2.
    """
    samples, labels = brightest_rows(400)
    np.savez("bytes.npz", samples=(samples * 255).astype(np.uint8), labels=labels)
    weight = row_weights()
    weight[:4, 0] *= 2
    write_onnx(Path("signed.onnx"), weight, np.array([3.2, 0, 0, 0]), ())
    words = ["-m", "signed.onnx", "-d", "bytes.npz", "--only", "accuracy"]
    assert "model.input_box = [-1, 1]" in " ".join(refused(monkeypatch, capsys, *words).split())
    assert robust(monkeypatch, "audit", *words, "--set", "model.input_box=[-1, 1]") == 0
    assert accuracy() == 1
    assert robust(monkeypatch, "init", *words[:4], "--set", "model.input_box=[-1, 1]") == 0
    assert robust(monkeypatch, "audit", "--only", "accuracy") == 0
    assert accuracy() == 1
    assert robust(monkeypatch, "audit", *words, "--set", "model.input_box=[0, 1]") == 0
    assert 0.6 < accuracy() < 0.95


def test_an_operator_without_a_bound_rule_is_named_and_the_rest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    write_onnx(Path("asin.onnx"), row_weights() / 64, np.zeros(4), ("Asin",))
    quick = ["--set", "checks.attacks.samples=20", "--set", "checks.attacks.steps=3"]
    only = ["--only", "accuracy,attacks,certificates,smt"]
    assert robust(monkeypatch, "audit", "-m", "asin.onnx", "-d", "data.npz", *only, *quick) == 3
    status = {check["name"]: (check["status"], check["reason"]) for check in record()["checks"]}
    assert status["accuracy"][0] == status["attacks"][0] == "completed"
    assert status["certificates"][0] == "not assessed"
    for name in ("certificates", "smt"):
        assert "asin" in status[name][1]
        assert len(status[name][1]) < 400


def test_pictures_without_labels_serve_as_abnormal_set(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    np.savez("odd.npz", pictures=rng.integers(0, 256, (60, 4, 4)).astype(np.uint8))
    words = ["-m", "rows.onnx", "-d", "data.npz", "--only", "ood", "--set", "ood.odd.source=odd.npz"]
    assert robust(monkeypatch, "audit", *words) == 0
    assert record()["data"][1]["class_counts"] == {"unlabelled": 60}


def test_a_generator_of_something_else_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    words = ["-m", "rows.onnx", "-d", "data.npz", "--generator", "rows.onnx", "--only", "accuracy"]
    assert "makes samples of another shape" in refused(monkeypatch, capsys, *words)


@pytest.mark.parametrize(
    ("content", "ending", "said"),
    [(b"", "onnx", "not an ONNX model"), (b"hello, I am text\n", "onnx", "cannot read"), (b"", "npz", "cannot read")],
)
def test_files_that_are_not_what_they_say(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed, content: bytes, ending: str, said: str
) -> None:
    Path(f"bad.{ending}").write_bytes(content)
    words = ["-m", "bad.onnx", "-d", "data.npz"] if ending == "onnx" else ["-m", "rows.onnx", "-d", "bad.npz"]
    message = refused(monkeypatch, capsys, *words)
    assert said in message
    assert f"bad.{ending}" in message


def test_truncated_files(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    for name in ("rows.onnx", "data.npz"):
        whole = Path(name).read_bytes()
        Path(f"half-{name}").write_bytes(whole[: len(whole) // 2])
    assert "half-rows.onnx" in refused(monkeypatch, capsys, "-m", "half-rows.onnx", "-d", "data.npz")
    assert "half-data.npz" in refused(monkeypatch, capsys, "-m", "rows.onnx", "-d", "half-data.npz")


def test_weights_that_are_not_numbers_and_guesses(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    broken = row_weights()
    broken[3, 2] = np.nan
    write_onnx(Path("nan.onnx"), broken, np.zeros(4), ())
    assert "not finite" in refused(monkeypatch, capsys, "-m", "nan.onnx", "-d", "data.npz")
    write_onnx(Path("guess.onnx"), np.zeros((16, 4)), np.array([1.0, 0, 0, 0]), ())
    assert "no better than guessing" in refused(monkeypatch, capsys, "-m", "guess.onnx", "-d", "data.npz")


def test_abnormal_rows_of_a_table_may_leave_its_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are taken by name, in the order of the evaluation data; the record notes the rows outside."""
    rng = np.random.default_rng(2)
    table = rng.uniform(0, 1, (60, 16))
    table[np.arange(60).repeat(4), (np.arange(60) % 4 * 4)[:, None].repeat(4, 1).ravel() + np.tile(range(4), 60)] += 1
    names = [f"c{i}" for i in range(16)]
    rows = [",".join([*map(str, row), str(i % 4)]) for i, row in enumerate(table)]
    Path("table.csv").write_text("\n".join([",".join([*names, "y"]), *rows]))
    other = [",".join(map(str, row)) for row in rng.uniform(-3, 5, (40, 16))]
    Path("other.csv").write_text("\n".join([",".join(reversed(names)), *other]))
    Path("flat.py").write_text(FLAT)
    monkeypatch.syspath_prepend(".")
    words = ["-m", "flat:make", "-d", "table.csv", "--labels", "y", "--only", "ood"]
    assert robust(monkeypatch, "audit", *words, "--set", "ood.other.source=other.csv") == 0
    assert "40 of 40 samples have a value outside" in " ".join(record()["data"][1]["notes"])


FLAT = """
import torch
from torch import nn

def make():
    layer = nn.Linear(16, 4, bias=False)
    weight = torch.zeros(4, 16)
    for row in range(4):
        weight[row, 4 * row : 4 * row + 4] = 1
    layer.weight.data = weight
    return layer
"""
