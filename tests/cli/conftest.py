"""The command line inside this process: arguments in; exit status, standard output and standard error out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from robust.cli import main

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits"
MODEL, DATA = str(DIGITS / "classifier.onnx"), str(DIGITS / "test.npz")
SUBJECT = ("--model", MODEL, "--data", DATA)
FAST = ("--only", "accuracy", "--set", "checks.accuracy.resamples=100", "--set", "data.limit=100")
"""One quick check of a few samples."""


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class Robust:
    """Call it as the command; it works in ``folder``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self._monkeypatch, self._capfd = folder, monkeypatch, capfd

    def __call__(self, *arguments: str) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["robust", *arguments])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        assert code is None or isinstance(code, int)
        return Result(code or 0, *self._capfd.readouterr())


@pytest.fixture
def robust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Robust]:
    before = signal.getsignal(signal.SIGTERM)
    for name in [name for name in os.environ if name.startswith("ROBUST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield Robust(tmp_path, monkeypatch, capfd)
    signal.signal(signal.SIGTERM, before)
