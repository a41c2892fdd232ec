"""``robust report``: the same bytes again, anywhere; no record of another version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import FAST, SUBJECT, Robust

NAMES = ("record.json", "report.html", "junit.xml", "summary.md")


@pytest.fixture
def run(robust: Robust) -> Path:
    assert robust("audit", *SUBJECT, *FAST, "--output", "run").status == 0
    return robust.folder / "run"


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES}


def test_the_same_bytes_as_the_first_time(robust: Robust, run: Path) -> None:
    first = content(run)
    assert robust("report", "run").status == 0
    assert content(run) == first
    result = robust("report", "run/record.json", "--output", "elsewhere")
    assert result.status == 0
    assert content(robust.folder / "elsewhere") == first
    assert "elsewhere" in result.out


def test_one_format(robust: Robust, run: Path) -> None:
    assert robust("report", "run", "-o", "one", "-f", "junit").status == 0
    assert [path.name for path in (robust.folder / "one").iterdir()] == ["junit.xml"]


def test_records_of_others_are_refused(robust: Robust, run: Path) -> None:
    document = json.loads((run / "record.json").read_text(encoding="utf-8"))
    (run / "record.json").write_text(json.dumps({**document, "schema_version": "2.0"}), encoding="utf-8")
    result = robust("report", "run", "-o", "new")
    assert (result.status, result.out) == (2, "")
    assert "2.0" in result.err
    assert not (robust.folder / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere"),
        (("nowhere/record.json",), "record.json"),
        ((".",), "record.json"),
        ((".", "--format", "pdf"), "pdf"),
        ((), "RECORD"),
    ],
)
def test_what_cannot_be_rendered(robust: Robust, arguments: tuple[str, ...], said: str) -> None:
    result = robust("report", *arguments)
    assert (result.status, result.out) == (2, "")
    assert said in result.err
    assert "Traceback" not in result.err


def test_a_folder_that_cannot_be_written(robust: Robust, run: Path) -> None:
    (robust.folder / "taken").write_text("", encoding="utf-8")
    result = robust("report", "run", "-o", "taken/below")
    assert result.status == 2
    assert "taken" in result.err
    assert "Traceback" not in result.err
