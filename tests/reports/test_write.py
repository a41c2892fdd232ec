from __future__ import annotations

from pathlib import Path

import pytest

import reports
from reports import FORMATS, render_html, write_reports
from robust.errors import UsageError
from tests.reports.sample_record import sample_record


def test_all_formats_are_written_and_nothing_else(tmp_path: Path) -> None:
    written = write_reports(sample_record(), tmp_path / "new" / "run")
    assert list(written) == ["html", "json", "junit", "markdown"]
    assert sorted(p.name for p in (tmp_path / "new" / "run").iterdir()) == [
        "junit.xml", "record.json", "report.html", "summary.md",
    ]  # fmt: skip
    assert written["html"].read_text(encoding="utf-8") == render_html(sample_record())


def test_an_unknown_format_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean junit") as caught:
        write_reports(sample_record(), tmp_path, ("html", "junt"))
    assert caught.value.wanted == "html, json, junit, markdown"
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot write the report"):
        write_reports(sample_record(), tmp_path / "file", ("json",))


def test_a_crash_while_rendering_leaves_the_old_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reports(sample_record(), tmp_path, ("json",))
    before = (tmp_path / "record.json").read_bytes()

    def crash(_: object) -> str:
        raise RuntimeError("boom")

    monkeypatch.setitem(FORMATS, "html", ("report.html", crash))
    with pytest.raises(RuntimeError, match="boom"):
        write_reports(sample_record().model_copy(update={"seed": 99}), tmp_path, ("json", "html"))
    assert (tmp_path / "record.json").read_bytes() == before


def test_a_failed_rename_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reports(sample_record(), tmp_path, ("json",))
    before = (tmp_path / "record.json").read_bytes()

    def refuse(*_: object) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UsageError, match="no space left"):
        write_reports(sample_record().model_copy(update={"seed": 99}), tmp_path, ("json",))
    assert (tmp_path / "record.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_everything_public_is_listed() -> None:
    assert all(hasattr(reports, name) for name in reports.__all__)
    assert sorted(reports.__all__) == reports.__all__
