"""The check ``corruptions`` on models whose answers under corruption are known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.check import Context, NotApplicableError, Results
from robust.audit.checks.corruption_findings import findings as conclude
from robust.audit.checks.corruptions import NAMES, CorruptionsCheck, CorruptionsSettings, Name
from robust.properties.corruptions import CORRUPTIONS
from robust.record import CurvePlot, Finding, Images, Outcome, Table
from tests.audit.checks.contexts import Mean, context, dataset, findings, results
from tests.doubles import ModuleClassifier

CHECK = CorruptionsCheck()


class Spread(nn.Module):
    """Class 1 where the deviation of the picture is above 0.15."""

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1).std(1, keepdim=True) - 0.15
        return torch.cat([score * 0, score], 1)


def level(module: nn.Module, directory: Path, *, value: float = 0.3, shape: tuple[int, ...] = (1, 12, 12)) -> Context:
    """Eight grey pictures, labelled as the model answers them."""
    samples = np.full((8, *shape), value)
    classifier = ModuleClassifier(module, shape, 2)
    labels = classifier.replay(torch.from_numpy(samples).float()).argmax(1).numpy()
    return context(classifier, dataset(samples, labels), directory)


def settings(**keys: object) -> CorruptionsSettings:
    return CorruptionsSettings.model_validate(keys)


def accuracies(found: dict[str, Finding]) -> dict[tuple[object, object], float | None]:
    return {
        (item.parameters["corruption"], item.parameters["severity"]): item.value
        for item in found.values()
        if item.metric == "accuracy_under_corruption"
    }


def test_the_names_are_those_of_the_catalogue() -> None:
    assert tuple(CORRUPTIONS) == NAMES == get_args(Name)


def test_brightness_crosses_a_limit_where_the_sum_says(tmp_path: Path) -> None:
    """0.3 + 0.1, 0.3 + 0.3, 0.3 + 0.5 against 0.65: wrong at severity 5 alone, so a third of the answers."""
    found = findings(CHECK, settings(corruptions=("brightness", "contrast")), level(Mean(0.65), tmp_path))
    assert accuracies(found) == {
        ("brightness", 1): 1.0,
        ("brightness", 3): 1.0,
        ("brightness", 5): 0.0,
        ("contrast", 1): 1.0,
        ("contrast", 3): 1.0,
        ("contrast", 5): 1.0,
    }
    mean = found["corruptions/mean_corruption_error"]
    assert mean.value == pytest.approx(1 / 6)
    assert mean.interval is not None
    assert mean.interval.low <= 1 / 6 <= mean.interval.high < 1
    assert mean.headline
    assert found["corruptions/identity_control"].outcome is Outcome.PASS


def test_the_worst_picture_is_of_the_least_severity_that_breaks(tmp_path: Path) -> None:
    """Flat pictures spread like the noise on them: 0.08 and 0.12 are below the limit of 0.15, 0.18 is above."""
    found = findings(
        CHECK,
        settings(corruptions=("gaussian_noise", "fog", "defocus_blur"), severities=(2, 1, 3)),
        level(Spread(), tmp_path, value=0.5, shape=(3, 20, 20)),
    )
    kept = accuracies(found)
    assert [kept["gaussian_noise", severity] for severity in (1, 2, 3)] == [1.0, 1.0, 0.0]
    assert [kept["defocus_blur", severity] for severity in (1, 2, 3)] == [1.0, 1.0, 1.0]
    evidence = found["corruptions/mean_corruption_error"].evidence
    images = next(item for item in evidence if isinstance(item, Images))
    assert any("gaussian noise, severity 3" in row[1].caption for row in images.rows)
    assert not any("defocus" in row[1].caption for row in images.rows)
    plots = [item for item in evidence if isinstance(item, CurvePlot)]
    assert [len(plot.curves) for plot in plots] == [1, 1, 1]
    assert plots[0].curves[0].x == (0.0, 1.0, 2.0, 3.0)
    assert plots[0].curves[0].y == (1.0, 1.0, 1.0, 0.0)
    table = next(item for item in evidence if isinstance(item, Table))
    assert table.rows[0][:4] == ("gaussian noise", 1.0, 1.0, 0.0)
    assert table.rows[0][5] == pytest.approx(0.18, rel=0.1)


def test_all_run_repeat_and_ask_what_they_say(tmp_path: Path) -> None:
    where = level(Mean(-1.0), tmp_path)
    found = findings(CHECK, settings(), where)
    assert accuracies(found) == {(name, severity): 1.0 for name in NAMES for severity in (1, 3, 5)}
    mean = found["corruptions/mean_corruption_error"]
    assert mean.value == 0
    assert mean.interval is not None
    assert mean.interval.high > 0.2, "eight samples cannot say that it never errs"
    assert CHECK.passes(settings(), 8, 2).forward == 8 * 46
    assert findings(CHECK, settings(), where) == found


def test_a_wrong_way_back_is_caught(tmp_path: Path) -> None:
    """Pictures that severity 0 moves, or answers it turns, fail the control."""
    where = level(Mean(0.65), tmp_path)
    made = results(CHECK, settings(corruptions=("fog",)), where)
    shard, payload = made[0]
    for key, value in (("moved", np.full((1, 8), 1e-3)), ("right", np.zeros((1, 8), dtype=bool))):
        planted: Results = [(shard, {**payload, key: value}), *made[1:]]
        control = next(f for f in conclude(planted, 2, 100, where) if f.metric == "identity_control")
        assert control.outcome is Outcome.FAIL


class Undecided(nn.Module):
    """NaN for every picture that is not the grey one."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        score = torch.where((flat == 0.5).all(1, keepdim=True), 1.0, torch.nan)
        return torch.cat([score, score * 0], 1)


def test_a_nan_is_no_right_answer(tmp_path: Path) -> None:
    found = findings(CHECK, settings(corruptions=("brightness",)), level(Undecided(), tmp_path, value=0.5))
    assert set(accuracies(found).values()) == {0.0}


def test_layouts_and_boxes(tmp_path: Path) -> None:
    """Channels last in a box of 0 to 255, with 51 of it added at severity 2."""
    shape = (12, 12, 3)
    classifier = ModuleClassifier(Mean(125.0), shape, 2, upper=255.0)
    where = context(classifier, dataset(np.full((4, *shape), 80.0), np.array([0, 0, 0, 0])), tmp_path)
    found = findings(CHECK, settings(corruptions=("brightness",), severities=(1, 2)), where)
    assert accuracies(found) == {("brightness", 1): 1.0, ("brightness", 2): 0.0}
    assert found["corruptions/identity_control"].outcome is Outcome.PASS


def test_tables_are_not_applicable(tmp_path: Path) -> None:
    for shape in ((4,), (1, 40), (2, 5, 6)):
        flat = ModuleClassifier(Mean(-1.0), shape, 2)
        with pytest.raises(NotApplicableError, match="pictures"):
            CHECK.plan(settings(), context(flat, dataset(np.zeros((2, *shape)), np.array([1, 1])), tmp_path))
