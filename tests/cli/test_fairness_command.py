"""``robust fairness``: answers, exit statuses, and input that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from robust.cli.app import app
from robust.errors import RobustError, UsageError


class Bonus(nn.Module):
    """Class 1 where ``income + bonus * sex`` is above 5."""

    def __init__(self, bonus: float) -> None:
        super().__init__()
        self.bonus = bonus

    def forward(self, x: Tensor) -> Tensor:
        score = x[:, 0] + self.bonus * x[:, 1] - 4.5
        return torch.stack([score * 0, score], 1)


def fair() -> nn.Module:
    return Bonus(0.0)


def unfair() -> nn.Module:
    return Bonus(2.0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    income, sex = rng.integers(0, 10, 60), rng.integers(0, 2, 60)
    income[:2] = 0, 9
    lines = [f"{i},{s},{int(i + 0 * s > 4.5)}" for i, s in zip(income, sex, strict=True)]
    path = tmp_path / "people.csv"
    path.write_text("income,sex,label\n" + "\n".join(lines) + "\n")
    return path


def run(model: str, data: Path, *words: str) -> Result:
    command = ["fairness", "-m", f"tests.cli.test_fairness_command:{model}", "-d", str(data), *words]
    return CliRunner().invoke(app, command)


def test_a_fair_model_exits_with_0(data: Path) -> None:
    found = run("fair", data, "-p", "sex", "--rising", "income")
    assert found.exit_code == 0, found.output
    assert "Another value of sex never changes the decision" in found.output
    assert "at least 100.00%, at most 100.00%" in found.output


def test_an_unfair_model_exits_with_1_and_shows_two_people(data: Path) -> None:
    found = run("unfair", data, "-p", "sex")
    assert found.exit_code == 1, found.output
    assert "> sex" in found.output
    assert "> decision" in found.output
    assert "at least 80.00%, at most 80.00%" in found.output  # incomes 3 and 4 of 10


def test_the_findings_as_json(data: Path, tmp_path: Path) -> None:
    assert run("unfair", data, "-p", "sex", "--json", str(tmp_path / "out.json")).exit_code == 1
    made = json.loads((tmp_path / "out.json").read_text())
    assert {item["metric"] for item in made} >= {"alike_share", "certified_share", "contradictions"}
    assert json.loads(run("unfair", data, "-p", "sex", "--json", "-").output)[0]["value"] == pytest.approx(0.8)


def test_options_reach_the_check(data: Path) -> None:
    found = run("fair", data, "-p", "sex", "--tolerance", "income=1", "--range", "income=0:20", "--parts", "2")
    assert found.exit_code == 1
    assert "at most 1 in income" in found.output
    assert "a domain of 42 people" in found.output


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["-p", "sx"], RobustError),
        (["-p", "sex", "--tolerance", "income"], UsageError),
        (["-p", "sex", "--tolerance", "income=much"], UsageError),
        (["-p", "sex", "--range", "income=3"], UsageError),
    ],
)
def test_bad_input_is_refused(data: Path, words: list[str], error: type[Exception]) -> None:
    found = run("fair", data, *words)
    assert isinstance(found.exception, error), found.output
