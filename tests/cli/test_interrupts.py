"""Signals to a running audit: it says so, its exit status is theirs, and the same command goes on."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robust.cli.interrupts import KEPT
from robust.record import AuditRecord
from tests.cli.conftest import ROOT, SUBJECT, Robust

COMMAND = (
    *("audit", *SUBJECT, "--output", "run", "--only", "attacks", "--set", "data.limit=100", "--set", "threads=1"),
    *("--set", "checks.attacks.samples=40", "--set", "checks.attacks.steps=10", "--set", "checks.attacks.restarts=2"),
)
PATIENCE = 120.0


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ROBUST_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    code = "import sys; sys.argv[0] = 'robust'; from robust.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )


def stored(folder: Path) -> int:
    path = folder / "run" / "shards.sqlite"
    if not path.exists():
        return 0
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT count(*) FROM shards").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return 0


def interrupted(folder: Path, number: signal.Signals, shards: int) -> tuple[int, str, str]:
    """Start the audit, send the signal once so many shards are stored; status and what it said."""
    process = start(folder)
    deadline = time.monotonic() + PATIENCE
    while stored(folder) < shards and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def test_interrupt_and_kill_keep_finished_work_and_the_same_command_goes_on(robust: Robust) -> None:
    folder = robust.folder
    status, out, err = interrupted(folder, signal.SIGINT, 2)
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == f"interrupted: {KEPT}"
    assert "Traceback" not in err
    after_interrupt = stored(folder)
    assert after_interrupt >= 2
    assert not (folder / "run" / "record.json").exists()

    status, _, _ = interrupted(folder, signal.SIGKILL, after_interrupt + 2)
    assert status == -signal.SIGKILL
    after_kill = stored(folder)
    assert after_kill >= after_interrupt + 2

    process = start(folder)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    kept = re.search(r"attacks: completed \((\d+) of (\d+) shards kept from before\)", err)
    assert kept is not None, err
    assert int(kept[1]) == after_kill < int(kept[2])
    resumed = AuditRecord.read(folder / "run" / "record.json")

    for path in (folder / "run").glob("shards.sqlite*"):
        path.unlink()
    assert robust(*COMMAND).status == 0
    unbroken = AuditRecord.read(folder / "run" / "record.json")
    assert resumed.comparable_json() == unbroken.comparable_json()


def test_an_interrupt_while_loading(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.setattr("robust.audit.runner.assemble", interrupt)
    result = robust(*COMMAND)
    assert (result.status, result.out) == (130, "")
    assert result.err.splitlines()[-1] == f"interrupted: {KEPT}"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_other_commands_end_likewise(
    robust: Robust, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr("robust.record.AuditRecord.read", interrupt)
    result = robust("report", "run")
    assert (result.status, result.out) == (status, "")
    assert "Traceback" not in result.err
    assert len(result.err.splitlines()) == 1
