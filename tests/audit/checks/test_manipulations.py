"""The check ``manipulations`` on models whose answers are known by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.check import Context, NotApplicableError, NotAssessedError
from robust.audit.checks.manipulations import FAMILIES, ManipulationsCheck, ManipulationsSettings
from robust.errors import PlanError, RobustError
from robust.properties import Box
from robust.record import Finding, Images, Outcome, Table
from tests.audit.checks.contexts import Mean, context, dataset, findings
from tests.doubles import ModuleClassifier

CHECK = ManipulationsCheck()


class Backdoor(nn.Module):
    """Class 0, but where the pixel in row 2, column 7 is above 0.95."""

    def forward(self, x: Tensor) -> Tensor:
        score = x[:, 0, 1, 6:7] - 0.95
        return torch.cat([score * 0, score], 1)


def pictures(module: nn.Module, tmp_path: Path) -> Context:
    samples = np.full((4, 1, 8, 8), 0.5)
    classifier = ModuleClassifier(module, (1, 8, 8), 2)
    labels = classifier.replay(torch.from_numpy(samples).float()).argmax(1).numpy()
    return context(classifier, dataset(samples, np.maximum(labels, 0)), tmp_path)


def settings(**keys: object) -> ManipulationsSettings:
    return ManipulationsSettings.model_validate(keys)


def shares(found: dict[str, Finding], metric: str) -> dict[object, float | None]:
    return {item.parameters["family"]: item.value for item in found.values() if item.metric == metric}


def test_grid_and_proof_agree_with_the_formula(tmp_path: Path) -> None:
    """Mean 0.5, limit 0.25: brightness down to 0.3 keeps the answer, and to 0.2 does not; contrast never matters."""
    where = pictures(Mean(0.25), tmp_path)
    kept = findings(CHECK, settings(families=("brightness", "contrast"), brightness=0.2), where)
    assert shares(kept, "kept_share") == {"brightness": 1.0, "contrast": 1.0}
    assert shares(kept, "proved_share") == {"brightness": 1.0, "contrast": 1.0}
    broken = findings(CHECK, settings(families=("brightness",), brightness=0.3, seconds=0.3), where)
    assert shares(broken, "kept_share") == {"brightness": 0.0}
    assert shares(broken, "proved_share") == {"brightness": 0.0}
    for found in (kept, broken):
        assert found["manipulations/contradictions"].outcome is Outcome.PASS


def test_angles_are_proved_between_the_steps(tmp_path: Path) -> None:
    found = findings(CHECK, settings(families=("camera angle",), rotation=3.0, cells=20), pictures(Mean(0.2), tmp_path))
    assert shares(found, "kept_share") == {"camera angle": 1.0}
    assert shares(found, "proved_share") == {"camera angle": 1.0}


def test_a_planted_pixel_is_found_and_shown(tmp_path: Path) -> None:
    found = findings(CHECK, settings(samples=2, families=("pixels", "scratch")), pictures(Backdoor(), tmp_path))
    assert shares(found, "kept_share") == {"pixels": 0.0, "scratch": 0.0}
    first = found["manipulations/kept_share?family=pixels"]
    assert "complete over 128 manipulated pictures" in first.title
    table = next(item for item in first.evidence if isinstance(item, Table))
    assert table.rows[0][6] == "the pixel in row 2, column 7 becomes its highest value"
    images = next(item for item in first.evidence if isinstance(item, Images))
    assert len(images.rows) == 4
    assert [len(row) for row in images.rows] == [3] * 4


def test_all_families_run_and_a_steady_model_keeps_everything(tmp_path: Path) -> None:
    found = findings(CHECK, settings(samples=1, seconds=0.0), pictures(Mean(-1.0), tmp_path))
    assert shares(found, "kept_share") == dict.fromkeys(FAMILIES, 1.0)
    assert shares(found, "proved_share") == {}


def test_a_set_that_is_not_asked_whole_is_undecided(tmp_path: Path) -> None:
    found = findings(CHECK, settings(families=("pixels",), most=10), pictures(Mean(-1.0), tmp_path))
    share = found["manipulations/kept_share?family=pixels"]
    assert share.value == 0.0
    assert share.outcome is Outcome.INCONCLUSIVE
    assert "10 of 128 manipulated pictures" in share.title


class Mirror:
    """The picture and its mirror image."""

    name = "mirror"

    def count(self, shape: Sequence[int]) -> int:
        return 2

    def pictures(self, x: Tensor, numbers: Tensor, box: Box) -> Tensor:
        return torch.stack([x, x.flip(-1)])[numbers]

    def words(self, number: int, shape: Sequence[int]) -> str:
        return ("no change", "mirrored")[number]


def test_ones_own_manipulation(tmp_path: Path) -> None:
    own = "tests.audit.checks.test_manipulations:Mirror"
    found = findings(CHECK, settings(families=(), own=(own,)), pictures(Mean(0.25), tmp_path))
    assert shares(found, "kept_share") == {own: 1.0}
    assert "mirror: complete over 2" in found[f"manipulations/kept_share?family={own}"].title
    assert found["manipulations/contradictions"].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ({"own": ("nothing",)}, RobustError, "factory"),
        ({"own": ("tests.doubles:nothing",)}, RobustError, "cannot be found"),
        ({"own": ("collections:OrderedDict",)}, PlanError, "builds no manipulation"),
        ({"occlusion": 9}, PlanError, "does not fit"),
    ],
)
def test_sets_that_are_none(tmp_path: Path, keys: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        CHECK.plan(settings(**keys), pictures(Mean(0.25), tmp_path))


def test_tables_are_not_applicable_and_wrong_answers_are_not_assessed(tmp_path: Path) -> None:
    flat = ModuleClassifier(nn.Linear(4, 2), (4,), 2)
    with pytest.raises(NotApplicableError, match="pictures"):
        CHECK.plan(settings(), context(flat, dataset(np.zeros((2, 4)), np.array([0, 1])), tmp_path))
    where = pictures(Mean(0.25), tmp_path)
    wrong = context(where.classifier, dataset(where.data.samples, np.zeros(4, np.int64)), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(NotAssessedError, match="answered rightly"):
        CHECK.plan(settings(), wrong)
