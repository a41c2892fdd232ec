"""``robust fool``: files, statuses, going on, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from robust.cli.app import app
from robust.cli.fool import read_budget
from robust.errors import RobustError, UsageError
from robust.subjects import load_classifier

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits" / "classifier.onnx"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["fool", str(DIGITS), "--quiet", *words])
    if isinstance(result.exception, RobustError):
        return 2, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def test_what_is_written_replays_and_a_run_goes_on(tmp_path: Path) -> None:
    folder = str(tmp_path / "out")
    status, shown = run("--budget", "1500", "--output", folder, "--classes", "0,3,7", "--transfer", str(DIGITS))
    assert status == 1
    assert "cppn:" in shown
    with np.load(tmp_path / "out" / "fooling.npz") as file:
        stored = {name: file[name] for name in file.files}
    assert stored["class_names"].tolist() == ["0", "3", "7"]
    classifier = load_classifier(str(DIGITS), input_box=(0.0, 1.0))
    for name in ("gradient", "direct", "cppn"):
        scores = torch.softmax(classifier.replay(torch.from_numpy(stored[f"{name}/inputs"])).double(), 1)
        assert scores[range(3), [0, 3, 7]].numpy() == pytest.approx(stored[f"{name}/confidences"], abs=1e-6)
    page = (tmp_path / "out" / "gallery.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 9 + 2 * 3 * 4  # the gallery; two evolutions at three moments and the end
    assert "How the images of CPPN came about" in page
    assert "<script" not in page

    status, shown = run("--budget", "3000", "--output", folder, "--classes", "0,3,7", "--resume", "--method", "direct")
    with np.load(tmp_path / "out" / "fooling.npz") as file:
        assert (file["direct/scores"] >= stored["direct/scores"]).all()
        assert np.array_equal(file["cppn/inputs"], stored["cppn/inputs"])  # what other methods made is kept


def test_time_ends_a_search(tmp_path: Path) -> None:
    status, shown = run("--budget", "1s", "--confidence", "1", "--output", str(tmp_path), "--method", "cppn")
    assert status in (0, 1)
    assert "inputs shown" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "magic"], "no method"),
        (["--classes", "0,eleven"], "no such class"),
        (["--budget", "soon"], "--budget"),
        (["--confidence", "0"], "probability"),
        (["--resume"], "cannot go on"),
    ],
)
def test_bad_input_is_refused(words: list[str], said: str, tmp_path: Path) -> None:
    status, shown = run(*words, "--output", str(tmp_path / "new"))
    assert status == 2
    assert said in shown
    assert not (tmp_path / "new" / "fooling.npz").exists()


def test_budgets() -> None:
    assert read_budget("60s") == (10**12, 60.0)
    assert read_budget("2 min") == (10**12, 120.0)
    assert read_budget("500") == (500, None)
    for text in ("0", "-3", "1.5", "s", "0s", "nan"):
        with pytest.raises(UsageError):
            read_budget(text)
