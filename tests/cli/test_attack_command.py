"""``robust attack``: known answers of a line, exit statuses, files, signs, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from robust.audit.attacking import AttackRun
from robust.cli import attack as command
from robust.cli.app import app
from robust.errors import DataFileError, UsageError
from tests.cli.test_verify_data import LABELS, POINTS

LINE = "tests.cli.test_verify_data:line"
QUICK = ("--tier", "fast", "--no-diagnosis")
SHIFTED = "tests.cli.test_attack_command:shifted"
STAIRS = "tests.cli.test_attack_command:stairs"


class Stairs(nn.Module):
    """The line of the other tests behind inputs in sixteen steps: gradients are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0], [-1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        side = torch.round(x * 16) / 16 @ self.weight
        return torch.cat([side, -side], 1)


def stairs() -> nn.Module:
    return Stairs()


class Shifted(nn.Module):
    """Class 0 where ``x + 0.05 > y``: the last point is within 0.025 of the line."""

    def forward(self, x: Tensor) -> Tensor:
        side = x[:, :1] - x[:, 1:] + 0.05
        return torch.cat([side, -side], 1)


def shifted() -> nn.Module:
    return Shifted()


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "points.npz"
    np.savez(path, samples=np.array(POINTS, dtype=np.float32), labels=np.array(LABELS))
    return str(path)


def call(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["attack", *words, "--quiet"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize(("eps", "broken", "status"), [("0.04", 0, 0), ("0.06", 1, 1), ("0.25", 3, 1), ("0.45", 4, 1)])
@pytest.mark.parametrize("tier", ["fast", pytest.param("standard", marks=pytest.mark.slow)])
def test_what_a_line_lets_through(data: str, eps: str, broken: int, status: int, tier: str, tmp_path: Path) -> None:
    """L-inf distances to the line are 0.2, 0.4, 0.2, 0.05."""
    file = tmp_path / "found.json"
    code, text = call(LINE, "--data", data, "--eps", eps, "--tier", tier, "--json", str(file))
    assert code == status
    found = json.loads(file.read_text())
    assert found["radii"][0]["broken"] == broken
    assert found["radii"][0]["not_broken"] == 4 - broken
    assert found["exit_status"] == status
    assert found["complete"]
    assert "not thereby safe" in text
    assert sum(sample["broken_at"] is not None for sample in found["samples"]) == broken
    assert all(sample["forward_passes"] > 0 for sample in found["samples"])


def test_witnesses_are_inside_and_replay(data: str, tmp_path: Path) -> None:
    file = tmp_path / "witnesses.npz"
    code, text = call(LINE, "--data", data, "--eps", "0.06,0.25", "--norm", "l2", "--witnesses", str(file), *QUICK)
    assert code == 1
    with np.load(file, allow_pickle=False) as kept:
        assert kept["indices"].tolist() == [3]  # 0.1 / sqrt(2) = 0.07; the next is 0.28
        moved = np.linalg.norm(kept["adversarials"].astype(np.float64) - kept["originals"], axis=1)
        assert (moved <= kept["epsilons"]).all()
        assert kept["epsilons"].tolist() == [0.25]
        sides = kept["adversarials"][:, 0] > kept["adversarials"][:, 1]
        assert (np.where(sides, 0, 1) == kept["answers"]).all()
        assert (kept["answers"] != kept["labels"]).all()
    assert "broken by:" in text


def test_masked_gradients_leave_it_undecided(data: str, tmp_path: Path) -> None:
    code, text = call(STAIRS, "--data", data, "--eps", "0.01", "--tier", "fast")
    assert code == 3
    assert "WARNING gradients are zero" in text
    assert call(STAIRS, "--data", data, "--eps", "0.01", "--tier", "fast", "--no-diagnosis")[0] == 0


def test_a_minimum_is_judged_on_the_interval(data: str) -> None:
    assert call(LINE, "--data", data, "--eps", "0.45", "--minimum", "0.9", *QUICK)[0] == 1  # none of four stands
    assert call(LINE, "--data", data, "--eps", "0.04", "--minimum", "0.9", *QUICK)[0] == 3  # four of four: from 51 %
    assert call(LINE, "--data", data, "--eps", "0.04", "--minimum", "0.5", *QUICK)[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--eps", "0"),
        ("--eps", "nonsense"),
        ("--eps", "0.1", "--limit", "0"),
        ("--eps", "0.1", "--minimum", "2"),
    ],
)
def test_bad_options_are_refused(data: str, words: tuple[str, ...]) -> None:
    from robust.errors import RobustError

    with pytest.raises(RobustError):
        call(LINE, "--data", data, *words)


def test_interrupted_it_says_what_it_has(data: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(run: AttackRun, watch: object, start: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("robust.audit.attacking.run_attack", stop)
    code, text = call(LINE, "--data", data, "--eps", "0.25")
    assert code == 130
    assert "not reached" in text
    assert "interrupted" in text
    assert command.EXIT_STANDS == 0


def test_the_same_seed_gives_the_same_file(data: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.npz", "b.npz")]
    for file in files:
        call(LINE, "--data", data, "--eps", "0.25", "--witnesses", str(file), "--seed", "7", *QUICK)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_two_models_are_compared_on_the_same_samples(data: str, tmp_path: Path) -> None:
    first, broken = tmp_path / "first.json", tmp_path / "broken.json"
    call(LINE, "--data", data, "--eps", "0.04", "--json", str(first), *QUICK)
    code, text = call(SHIFTED, "--data", data, "--eps", "0.04,0.3", "--compare", str(first), *QUICK)
    assert code == 1
    assert "radius 0.04: -25.0%" in text
    assert "only this one stands on 0, only the other on 1 of 4, p = 1" in text
    broken.write_text("{}")
    with pytest.raises(DataFileError, match="comparison"):
        call(LINE, "--data", data, "--eps", "0.06", "--compare", str(broken), *QUICK)
    with pytest.raises(UsageError, match="nothing to compare"):
        call(LINE, "--data", data, "--eps", "0.07", "--compare", str(first), *QUICK)
    with pytest.raises(UsageError, match="same samples"):
        call(LINE, "--data", data, "--eps", "0.04", "--limit", "2", "--compare", str(first), *QUICK)


@pytest.mark.parametrize("name", ["nes", "spsa", "hopskipjump-ball", "square"])
def test_a_black_box_attack_stands_alone(name: str, data: str, tmp_path: Path) -> None:
    """The same answers as the ensemble's, by scores or answers, within the queries that are allowed."""
    report = tmp_path / "found.json"
    norm = "linf"
    status, output = call(
        LINE, "--data", data, "--eps", "0.27", "--norm", norm, "--attack", name, "--queries", "600", "--no-diagnosis",
        "--json", str(report),
    )  # fmt: skip
    found = json.loads(report.read_text())
    assert (status, found["attack"], found["queries"], found["tier"]) == (1, name, 600, None)
    assert f"{name}, 600 queries per sample and radius" in output
    assert found["radii"][0]["broken"] == 3
    assert {each["by"] for each in found["samples"] if each["broken_at"]} == {name}
    assert max(each["forward_passes"] for each in found["samples"]) <= 600 + (name == "square") * 2
    assert sum(each["backward_passes"] for each in found["samples"]) == 0


def test_samples_without_a_start_are_unknown_not_robust(data: str) -> None:
    """No query is left for a start: nothing is known, and the status says so."""
    status, output = call(
        LINE, "--data", data, "--eps", "0.01", "--attack", "hopskipjump-ball", "--queries", "3", "--no-diagnosis"
    )
    assert status == 3
    assert "to begin from; nothing is known" in output


def test_a_budget_without_a_black_box_attack_is_refused(data: str) -> None:
    for words in (("--queries", "50"), ("--attack", "nes", "--queries", "2"), ("--attack", "nes", "--norm", "l1")):
        with pytest.raises(UsageError):
            call(LINE, "--data", data, "--eps", "0.1", *words)


class Bright(nn.Module):
    """Class 1 where the mean of a picture is above a half."""

    def __init__(self, at: float = 0.5) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(at))

    def forward(self, x: Tensor) -> Tensor:
        side = x.flatten(1).mean(1, keepdim=True) - self.at
        return torch.cat([-side, side], 1)


def bright() -> nn.Module:
    return Bright()


def brighter() -> nn.Module:
    return Bright(0.6)


BRIGHT = "tests.cli.test_attack_command:bright"


@pytest.fixture
def flat(tmp_path: Path) -> str:
    """Flat pictures of .2, .45, .7, .58: brightness must change by .3, .05, .2, .08 for another answer."""
    path = tmp_path / "flat.npz"
    samples = np.stack([np.full((1, 4, 4), value, dtype=np.float32) for value in (0.2, 0.45, 0.7, 0.58)])
    np.savez(path, samples=samples, labels=np.array([0, 0, 1, 1]))
    return str(path)


def test_changes_by_hand(flat: str, tmp_path: Path) -> None:
    kept, told = tmp_path / "w.npz", tmp_path / "found.json"
    words = ("--change", "brightness=0.1", "--change", "brightness=0.25", "--change", "blur=1")
    status, out = call(BRIGHT, "--data", flat, *words, "--witnesses", str(kept), "--json", str(told))
    assert status == 1
    found = json.loads(told.read_text())
    assert [each["broken"] for each in found["changes"]] == [2, 3, 0]  # a flat picture stays what it is when blurred
    assert [each["not_broken"] for each in found["changes"]] == [2, 1, 4]
    assert found["exit_status"] == 1
    assert found["complete"]
    assert "brightness=0.25" in out
    for each in found["changes"]:
        reach = 0.1 if each["change"] == "brightness=0.1" else 0.25
        assert all(abs(item["parameters"][0]) <= reach + 1e-6 for item in each["witnesses"])
    with np.load(kept, allow_pickle=False) as file:
        assert file["changes"].tolist() == ["brightness=0.1"] * 2 + ["brightness=0.25"] * 3
        means = file["adversarials"].reshape(5, -1).mean(1)
        assert ((means > 0.5) == (file["labels"] == 0)).all()
    assert call(BRIGHT, "--data", flat, "--change", "brightness=0.04")[0] == 0
    assert call(BRIGHT, "--data", flat, "--change", "brightness=0.04", "--minimum", "0.9")[0] == 3  # four of four
    assert call(BRIGHT, "--data", flat, "--change", "brightness=0.25", "--minimum", "0.9")[0] == 1


def test_pictures_of_what_broke_it(flat: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    call(BRIGHT, "--data", flat, "--change", "brightness=0.1", "--pictures", str(page))
    text = page.read_text()
    assert "2 witnesses" in text
    assert text.count("data:image/png") == 6
    call(BRIGHT, "--data", flat, "--eps", "0.06", *QUICK, "--pictures", str(page))
    assert "1 witnesses" in page.read_text()
    call(BRIGHT, "--data", flat, "--eps", "0.01", *QUICK, "--pictures", str(page))
    assert "Nothing was broken" in page.read_text()


def test_a_patch_by_hand(flat: str, tmp_path: Path) -> None:
    """Of 16 pixels 4 may change as they like: the mean moves by at most a quarter of the room, up .25 (1 - v)."""
    told = tmp_path / "found.json"
    assert call(BRIGHT, "--data", flat, "--change", "patch=2x2", "--json", str(told))[0] == 1
    (found,) = json.loads(told.read_text())["changes"]
    assert [item["sample"] for item in found["witnesses"]] == ["1", "3"]  # .45 + .1375, .58 - .145
    assert found["ranges"] == {"row": [0.0, 2.0], "column": [0.0, 2.0]}


@pytest.mark.parametrize(
    "words",
    [
        ("--change", "rotation=3", "--norm", "l2"),
        ("--change", "rotation=3", "--tier", "fast"),
        ("--change", "rotation=3", "--attack", "square"),
        ("--change", "rotation=3", "--queries", "100"),
        ("--change", "rotation=3", "--resume", "state.npz"),
        ("--change", "patch=2"),
        ("--change", "patch=5x5"),
        ("--change", "turning=3"),
        ("--change", "rotation=3", "--eps", "0.1"),
        (),
        ("--change", "hue=20"),
        ("--change", "rotation=3", "--compare", "other.json"),
    ],
)
def test_bad_changes_are_refused(flat: str, words: tuple[str, ...]) -> None:
    from robust.errors import RobustError

    with pytest.raises(RobustError):
        call(BRIGHT, "--data", flat, *words)


class Coarse(Bright):
    """Sees brightness in steps of a half: every gradient is zero."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 2).round() / 2)


def coarse() -> nn.Module:
    return Coarse()


def test_patches_without_a_gradient_to_follow_leave_it_undecided(tmp_path: Path) -> None:
    samples = np.stack([np.full((1, 4, 4), value, dtype=np.float32) for value in (0.1, 0.9)])
    path, told = tmp_path / "far.npz", tmp_path / "found.json"
    np.savez(path, samples=samples, labels=np.array([0, 1]))
    words = ("tests.cli.test_attack_command:coarse", "--data", str(path), "--change", "patch=1x1", "--json", str(told))
    status, out = call(*words)
    assert status == 3
    assert "had no gradient to follow" in out
    assert json.loads(told.read_text())["changes"][0]["blind"] == 2


def test_pictures_of_points_are_refused(data: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        call(LINE, "--data", data, "--eps", "0.25", "--pictures", str(tmp_path / "page.html"), *QUICK)


def again(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["replay", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_it_goes_on_where_it_was_stopped(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sample per block, stopped in the third: the second run attacks two only, and says what a whole one says."""
    from robust.audit import attacking

    monkeypatch.setattr(attacking, "BLOCK", 1)
    words = (LINE, "--data", data, "--eps", "0.06,0.25", *QUICK, "--json")
    whole, rest, state = (tmp_path / name for name in ("whole.json", "rest.json", "state.npz"))
    assert call(*words, str(whole))[0] == 1
    attack, calls = attacking._attack, []

    def stopped(run: AttackRun, *call_: Any) -> None:
        calls.append(call_[-1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        attack(run, *call_)

    monkeypatch.setattr(attacking, "_attack", stopped)
    assert call(*words, str(rest), "--resume", str(state))[0] == 130
    assert not json.loads(rest.read_text())["complete"]
    assert call(*words, str(rest), "--resume", str(state))[0] == 1
    assert calls == [(0,), (1,), (2,), (2,), (3,)]
    found, wanted = (json.loads(path.read_text()) for path in (rest, whole))
    assert {**found, "seconds": 0} == {**wanted, "seconds": 0}
    assert call(*words, str(rest), "--resume", str(state))[0] == 1  # all is there: nothing is attacked
    assert len(calls) == 5
    for bad in (("--norm", "l2"), ("--seed", "7")):
        with pytest.raises(UsageError, match="another attack"):
            call(*words, str(rest), "--resume", str(state), *bad)
    state.write_bytes(b"nothing")
    with pytest.raises(DataFileError):
        call(*words, str(rest), "--resume", str(state))


def test_it_says_how_many_samples_a_narrow_interval_takes(data: str) -> None:
    """At 50 % and +-1 % Wilson's interval needs about 1.96^2 / (4 * .01^2) = 9,604 samples."""
    out = call(LINE, "--data", data, "--eps", "0.25", *QUICK)[1]  # one of four stands
    assert "for intervals of at most +-1% about 7,2" in out  # 1.96^2 * .25 * .75 / .01^2 = 7,203, less 3 for Wilson's


def test_witnesses_are_a_regression_set(flat: str, tmp_path: Path) -> None:
    kept = str(tmp_path / "w.npz")
    assert call(BRIGHT, "--data", flat, "--change", "brightness=0.1", "--witnesses", kept)[0] == 1
    status, out = again(BRIGHT, kept)
    assert status == 1
    assert "2 of 2 witnesses are still answered wrongly" in out
    status, out = again("tests.cli.test_attack_command:brighter", kept)  # what was made brighter is dark to this one
    assert status == 1
    assert "1 of 2 witnesses" in out
    assert call(BRIGHT, "--data", flat, "--eps", "0.01", *QUICK, "--witnesses", kept)[0] == 0
    assert again(BRIGHT, kept) == (0, f"{kept}: 0 of 0 witnesses are still answered wrongly\n")


def test_a_table_is_replayed_in_its_own_units(tmp_path: Path) -> None:
    """Columns of different ranges are attacked in shares of these; a factory in the columns' units is asked again."""
    rows = np.array([[100.0, 0.2], [300.0, 0.9], [150.0, 0.4], [250.0, 0.8]], dtype=np.float32)
    np.savez(tmp_path / "t.npz", samples=rows, labels=np.array([0, 1, 0, 1]))
    kept, model = str(tmp_path / "w.npz"), "tests.cli.test_attack_command:scores"
    assert call(model, "--data", str(tmp_path / "t.npz"), "--eps", "0.3", *QUICK, "--witnesses", kept)[0] == 1
    with np.load(kept, allow_pickle=False) as file:
        assert bool(file["scaled"])
        count = len(file["labels"])
    assert f"{count} of {count} witnesses" in again(model, kept)[1]


class Scores(nn.Module):
    """Class 1 where the first column, in hundreds, and the second add up to more than 2.6."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.01, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        side = (x @ self.weight - 2.6)[:, None]
        return torch.cat([-side, side], 1)


def scores() -> nn.Module:
    return Scores()


def test_what_is_no_regression_set_is_refused(data: str, flat: str, tmp_path: Path) -> None:
    from robust.errors import RobustError

    (tmp_path / "text.npz").write_text("nothing")
    kept = str(tmp_path / "w.npz")
    call(BRIGHT, "--data", flat, "--change", "brightness=0.1", "--witnesses", kept)
    for model, path in ((BRIGHT, data), (BRIGHT, str(tmp_path / "text.npz")), (BRIGHT, "gone.npz"), (LINE, kept)):
        with pytest.raises(RobustError):
            again(model, path)
