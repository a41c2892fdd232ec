"""``robust facts``: ranges, rectifiers, and two networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from robust.cli.app import app
from robust.errors import RobustError
from tests.verifiers.smt_networks import linear

HERE = "tests.cli.test_facts_command"


def plain() -> nn.Module:
    """Logits ``relu(x - 3) + relu(x + 3)`` and 0 over [-1, 1]: 2 to 4; one rectifier is dead, one linear."""
    return nn.Sequential(linear([[1], [1]], [-3, 3]), nn.ReLU(), linear([[1, 1], [0, 0]], [0, 0]))


def moved() -> nn.Module:
    """The same, 0.25 higher."""
    module = plain()
    with torch.no_grad():
        module[2].bias[0] += 0.25  # type: ignore[index, operator, union-attr]
    return module


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["facts", *words, "--input-box", "-1", "1", "--input-shape", "1"])


def test_ranges_and_rectifiers() -> None:
    found = run(f"{HERE}:plain")
    assert found.exit_code == 0, found.output
    assert "reaches 2 and 4" in found.output
    assert "1 dead, 1 linear" in found.output
    assert "never fire: 0" in found.output
    assert "always fire: 1" in found.output


def test_two_networks_agree_within_a_tolerance_or_differ() -> None:
    agree = run(f"{HERE}:plain", f"{HERE}:moved", "--tolerance", "0.3")
    assert (agree.exit_code, agree.output.split(":")[0]) == (0, "agree")
    differ = run(f"{HERE}:plain", f"{HERE}:moved", "--tolerance", "0.2")
    assert differ.exit_code == 1
    assert differ.output.startswith("differ: a logit differs by 0.25")


@pytest.mark.parametrize(
    "words",
    [
        (f"{HERE}:plain", "--tolerance", "0.1"),
        (f"{HERE}:plain", f"{HERE}:plain"),
        (f"{HERE}:plain", f"{HERE}:plain", "--tolerance", "-1"),
        (f"{HERE}:plain", "--timeout", "0"),
    ],
)
def test_bad_input_is_refused(words: tuple[str, ...]) -> None:
    assert isinstance(run(*words).exception, RobustError)
