"""``robust verify MODEL --data``: known verdicts of small networks, exit statuses, files, interruptions."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust.cli import verify_report
from robust.cli.verify_data import OutOfTimeError, radius, verify_data
from robust.errors import UsageError
from tests.cli.conftest import DATA, MODEL

LINE = "tests.cli.test_verify_data:line"
POINTS = [[0.7, 0.3], [0.9, 0.1], [0.3, 0.7], [0.45, 0.55]]
"""L-inf distances to the line ``x = y``: 0.2, 0.4, 0.2, 0.05; L2 ones are larger by the root of 2."""
LABELS = [0, 0, 1, 1]


class Line(nn.Module):
    """Class 0 where ``x > y``. With ``detour``, bounds of any one relaxation are loose, and the function the same."""

    def __init__(self, detour: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0], [-1.0]]))
        self.detour = detour

    def forward(self, x: Tensor) -> Tensor:
        side = x @ self.weight
        if self.detour:
            w = 5 * (x.sum(1, keepdim=True) - 1)
            side = side + torch.relu(w) - torch.relu(w * 1.0)
        return torch.cat([side, -side], 1)


class Odd(Line):
    """With an operator that no engine knows."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 + torch.special.bessel_j0(x.sum(1, keepdim=True)))


def line() -> nn.Module:
    return Line()


def detour() -> nn.Module:
    return Line(detour=True)


def odd() -> nn.Module:
    return Odd()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def saved(points: list[list[float]] = POINTS, labels: list[int] = LABELS) -> str:
    np.savez("data.npz", samples=np.array(points, dtype=np.float32), labels=np.array(labels))
    return "data.npz"


def asked(*words: str, model: str = LINE, data: str | None = None) -> tuple[int, dict[str, object]]:
    """Status and JSON."""
    status = verify_data([model, "--data", data or saved(), "--json", "out.json", *words])
    return status, json.loads(Path("out.json").read_text(encoding="utf-8"))


def verdicts(document: dict[str, object], place: int = 0) -> list[str]:
    return [sample["verdicts"][place] for sample in document["samples"]]  # type: ignore[index, attr-defined]


def test_known_verdicts_at_several_radii() -> None:
    status, found = asked("--eps", "0.04,1/10", "--eps", "0.3")
    assert status == found["exit_status"] == 1
    assert found["epsilons"] == [0.04, 0.1, 0.3]
    assert verdicts(found, 0) == ["certified"] * 4
    assert verdicts(found, 1) == ["certified", "certified", "certified", "falsified"]
    assert verdicts(found, 2) == ["falsified", "certified", "falsified", "falsified"]
    assert found["complete"] is True
    (first, second, _, last) = found["samples"]  # type: ignore[misc]
    assert 0.2 <= first["witness_distance"] <= 0.3
    assert (first["witness_answer"], second["witness_answer"]) == (1, None)
    assert 0.05 <= last["witness_distance"] <= 0.1
    counts = found["summary"][1]  # type: ignore[index]
    assert (counts["certified"]["count"], counts["falsified"]["count"], counts["unknown"]["count"]) == (3, 1, 0)
    assert counts["certified"]["low"] == pytest.approx(0.3006, abs=1e-3)  # Wilson, 3 of 4


def test_l2_balls_are_smaller() -> None:
    assert verdicts(asked("--eps", "0.07", "--norm", "l2")[1]) == ["certified"] * 4
    assert verdicts(asked("--eps", "0.072", "--norm", "l2")[1])[3] == "falsified"


@pytest.mark.parametrize(("method", "status"), [("interval", 3), ("crown", 3)])
def test_what_bounds_cannot_prove_and_no_attack_breaks_is_unknown(method: str, status: int) -> None:
    found = asked(
        "--eps",
        "0.1",
        "--method",
        method,
        model="tests.cli.test_verify_data:detour",
        data=saved(POINTS[:3], LABELS[:3]),
    )
    assert found[0] == status
    assert verdicts(found[1]) == ["unknown"] * 3


def test_zonotopes_prove_some_of_what_intervals_and_crown_leave_open() -> None:
    words = ("--eps", "0.1", "--method", "zonotope")  # the second sample is 0.4 from the line
    found = asked(*words, model="tests.cli.test_verify_data:detour", data=saved(POINTS[:3], LABELS[:3]))
    assert (found[0], verdicts(found[1])) == (3, ["unknown", "certified", "unknown"])


def test_all_certified_is_status_0_and_wrong_answers_are_status_1() -> None:
    assert asked("--eps", "0.01")[0] == 0
    status, found = asked("--eps", "0.01", data=saved(POINTS, [0, 0, 1, 0]))
    assert status == 1
    assert verdicts(found) == ["certified"] * 3 + ["misclassified"]


def test_witnesses_are_kept_and_break_the_model() -> None:
    status, _ = asked("--eps", "0.06", "--eps", "0.3", "--witnesses", "kept")
    assert status == 1
    with np.load("kept/witnesses.npz") as kept:
        assert kept["indices"].tolist() == [0, 2, 3]
        assert kept["epsilons"].tolist() == [0.3, 0.3, 0.06]
        moved: NDArray[np.float64] = np.abs(kept["adversarials"].astype(np.float64) - kept["originals"]).max(1)
        assert (moved <= kept["epsilons"]).all()
        assert moved == pytest.approx(kept["distances"])
        answers = line()(torch.from_numpy(kept["adversarials"])).argmax(1).numpy()
        assert (answers == kept["answers"]).all()
        assert (answers != kept["labels"]).all()


def test_plain_columns_a_limit_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_data([LINE, "--data", saved(), "--eps", "0.1", "--rows", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].split() == ["sample", "label", "answer", "0.1", "by", "seconds", "witness", "at", "answered"]
    assert lines[5].split()[:5] == ["0", "0", "0", "certified", "interval"]
    assert lines[7].startswith("and 2 more samples")
    assert any(line.split()[:2] == ["certified", "3"] for line in lines)
    assert any(line.startswith("time: ") and "certificates" in line for line in lines)
    assert verify_data([MODEL, "--data", DATA, "--eps", "1/255", "--limit", "10", "--json", "-"]) in (0, 1, 3)
    assert len(json.loads(capsys.readouterr().out)["samples"]) == 10


def test_a_table_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    verify_report._print_rich(
        ["sample", "label", "answer", "0.1", "w", "a"], [["7", "1", "1", "falsified", "0.05", "2"]]
    )
    assert capsys.readouterr().out.split() == [
        "sample",
        "label",
        "answer",
        "0.1",
        "w",
        "a",
        *["7", "1", "1", "falsified", "0.05", "2"],
    ]


def test_preprocessing_and_box_are_the_models() -> None:
    """Samples ten times as large, divided inside: radii are ten times as large as well."""
    data = saved([[10 * a for a in point] for point in POINTS])
    words = ("--input-box", "0", "10", "--mean", "0", "--std", "10")
    assert verdicts(asked("--eps", "0.49", *words, data=data)[1]) == ["certified"] * 4
    assert verdicts(asked("--eps", "0.6", *words, data=data)[1])[3] == "falsified"


def test_without_bounds_nothing_is_certified(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = asked("--eps", "0.1", model="tests.cli.test_verify_data:odd", data=saved(POINTS[:3], LABELS[:3]))
    assert status == 3
    assert verdicts(found) == ["unknown"] * 3
    assert "note: no certificates" in capsys.readouterr().out


def test_out_of_time_leaves_unknown_and_the_alarm_is_put_back() -> None:
    before = signal.getsignal(signal.SIGALRM)
    status, found = asked("--eps", "0.1", "--timeout", "1e-6")
    assert status == 3
    assert verdicts(found) == ["unknown"] * 4
    assert found["complete"] is False
    assert any("time ran out" in note for note in found["notes"])  # type: ignore[attr-defined]
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (OutOfTimeError, 1)])
def test_what_was_decided_before_an_interruption_is_printed(
    error: type[BaseException], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> Tensor:
        raise error

    monkeypatch.setattr("robust.audit.verification_stages.certified_by", interrupted)
    found = asked("--eps", "0.1", "--witnesses", "kept")
    assert found[0] == status
    assert verdicts(found[1]) == ["unknown"] * 3 + ["falsified"]
    assert found[1]["complete"] is False
    out, err = capsys.readouterr()
    assert "falsified" in out
    assert ("interrupted" in err) == (status == 130)
    assert Path("kept/witnesses.npz").exists()


def test_a_proof_of_what_is_broken_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def credulous(graph: object, samples: Tensor, labels: Tensor, epsilons: list[float], **_: object) -> Tensor:
        return torch.zeros(len(epsilons), len(samples), dtype=torch.int64)

    monkeypatch.setattr("robust.audit.verification_stages.certified_by", credulous)
    status, found = asked("--eps", "0.1")
    assert status == 1
    assert verdicts(found) == ["certified"] * 3 + ["falsified"]
    assert any("1 balls were proved safe" in note for note in found["notes"])  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_answers() -> None:
    found = [asked("--eps", "0.3", "--seed", "4")[1] for _ in range(2)]
    for document in found:
        document.pop("seconds")
        for sample in document["samples"]:  # type: ignore[attr-defined]
            assert all(seconds >= 0 for seconds in sample.pop("seconds"))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("text", "value"), [("8/255", 8 / 255), ("0.03", 0.03), (" 1e-2 ", 0.01), ("0", 0.0), ("2", 2.0)]
)
def test_radii_may_be_fractions(text: str, value: float) -> None:
    assert radius(text) == value


@pytest.mark.parametrize("text", ["", "8/0", "-1/255", "nan", "inf", "eight", "1/2/3"])
def test_what_is_no_radius_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="radius"):
        radius(text)


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no model file": (("no.onnx", "--data", DATA, "--eps", "0.1"), "no.onnx"),
    "no data file": ((MODEL, "--data", "no.npz", "--eps", "0.1"), "no.npz"),
    "no data": ((MODEL, "--eps", "0.1"), "data"),
    "no radius": ((MODEL, "--data", DATA), "--eps"),
    "not a radius": ((MODEL, "--data", DATA, "--eps", "x"), "'x'"),
    "no such norm": ((MODEL, "--data", DATA, "--eps", "1", "--norm", "l7"), "l7"),
    "no such method": ((MODEL, "--data", DATA, "--eps", "1", "--method", "prayer"), "prayer"),
    "no such device": ((MODEL, "--data", DATA, "--eps", "1", "--device", "warp:1"), "warp"),
    "no samples": ((MODEL, "--data", DATA, "--eps", "1", "--limit", "0"), "--limit"),
    "no time": ((MODEL, "--data", DATA, "--eps", "1", "--timeout", "0"), "--timeout"),
    "unknown option": ((MODEL, "--data", DATA, "--eps", "1", "--epsilon", "1"), "--epsilon"),
    "unknown key": ((MODEL, "--data", DATA, "--eps", "1", "--set", "sede=1"), "seed"),
    "samples outside the box": ((MODEL, "--data", DATA, "--eps", "1", "--input-box", "0", "0.5"), "box"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_status_2_with_a_message(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = BAD[what]
    assert verify_data(arguments) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


def test_help_is_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_data(["--help"]) == 0
    assert "8/255" in capsys.readouterr().out


def test_branch_and_bound_decides_what_bounds_leave_open() -> None:
    """Distances to the line are known: 0.2, 0.4, 0.2, 0.05. The detour loosens bounds, and changes nothing."""
    model = "tests.cli.test_verify_data:detour"
    _, before = asked("--eps", "0.19", model=model)
    assert "unknown" in verdicts(before)
    status, after = asked("--eps", "0.1,0.19", "--complete", "20", model=model)
    assert verdicts(after, 0) == ["certified", "certified", "certified", "falsified"]
    assert verdicts(after, 1) == ["certified", "certified", "certified", "falsified"]
    assert status == 1
    assert "branch and bound decided" in str(after)
    engines = [sample["engines"] for sample in after["samples"]]  # type: ignore[attr-defined]
    assert {name for row in engines for name in row} <= {"interval", "crown-ibp", "crown", "branch and bound", "attack"}
    assert engines[3] == ["attack", "attack"]
    assert "branch and bound" in {engines[0][1], engines[2][1]}


def test_time_for_branch_and_bound_is_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_data([LINE, "--data", saved(), "--eps", "0.1", "--complete", "-1"]) == 2
    assert "--complete" in capsys.readouterr().err
