from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from reports import render_console
from tests.reports.sample_record import sample_record


def render(*, terminal: bool, width: int = 100, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=stream, force_terminal=terminal, width=width, color_system="standard" if terminal else None)
    render_console(sample_record(), console=console, written={"html": Path("out") / "report.html"})
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_plain_lines_without_a_terminal_one_fact_each() -> None:
    lines = render(terminal=False, width=20).splitlines()
    assert lines[0] == "✗ FAILED  Digits classifier, release candidate 3"
    assert "✓ PASSED  Accuracy and calibration  Accuracy on clean samples: 97.2 % [95.1, 98.5] n=400  1.2 s" in lines
    assert "– NOT ASSESSED  FPR at 95 % TPR, near set: –. No near set was given." in lines
    assert lines[-1] == f"html: {Path('out') / 'report.html'}"
    assert not any("\x1b" in line or line != line.rstrip() for line in lines)


def test_problems_come_worst_first() -> None:
    text = render(terminal=False)
    marks = [text.index(words) for words in ("AUROC of a random score", "? UNDECIDED  Accuracy under", "! WARNING")]
    assert marks == sorted(marks)


@pytest.mark.parametrize("width", [30, 71, 72, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    render_console(sample_record(), console=console)
    assert isinstance(console.file, io.StringIO)
    assert max(map(len, console.file.getvalue().splitlines())) <= width


def test_ascii_terminals_get_ascii_symbols() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="replace")
    render_console(sample_record(), console=Console(file=stream, force_terminal=False, width=100))
    stream.flush()
    assert raw.getvalue().decode("ascii").startswith("x FAILED  Digits")


def test_standard_output_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    render_console(sample_record())
    captured = capsys.readouterr()
    assert "FAILED  Digits classifier" in captured.out
    assert captured.err == ""
