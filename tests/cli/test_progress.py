"""Progress: plain lines for files, bars for terminals, nothing that a name could break."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from collections.abc import Callable

import pytest

from robust.audit.runner import Event
from robust.cli import progress
from robust.cli.progress import Pace, in_words, watcher

HOSTILE = "group [/red]\x1b[31m a\nb"
EVENTS = [
    Event("loading", "", text="loading"),
    Event("check started", "attacks", 0, 3, "Attacks"),
    Event("shard done", "attacks", 1, 3, "first", 1),
    Event("shard done", "attacks", 2, 3, HOSTILE, 1),
    Event("shard done", "attacks", 3, 3, "third", 1),
    Event("check done", "attacks", 3, 3, "completed", 1),
    Event("check done", "fairness", 0, 0, "the data has no [group] column"),
]


def test_time_left_counts_what_was_computed_here() -> None:
    pace = Pace()
    assert pace.left(Event("check started", "a", 0, 10), 100.0) == ""
    assert pace.left(Event("shard done", "a", 4, 10, reused=4), 100.0) == "", "nothing was computed yet"
    assert pace.left(Event("shard done", "a", 6, 10, reused=4), 120.0) == "about 40 s left"
    assert pace.left(Event("shard done", "a", 10, 10, reused=4), 160.0) == ""
    assert pace.left(Event("shard done", "b", 1, 2), 500.0) == "about 1 s left", "a check has a clock of its own"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (8.4, "8 s"), (89, "89 s"), (180, "3 min"), (9000, "2.5 h")]
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_SECONDS", -1.0)
    with watcher(False) as watch:
        for event in EVENTS:
            watch(event)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:3] == ["loading", "attacks: Attacks (3 shards)", "attacks: 1 of 3 (first)"]
    assert re.fullmatch(r"attacks: 2 of 3, about 1 s left \(group \[/red\].\[31m a b\)", lines[3])
    assert lines[-2:] == [
        "attacks: completed (1 of 3 shards kept from before)",
        "fairness: the data has no [group] column",
    ]
    assert "\x1b" not in err


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with watcher(True) as watch:
        for event in EVENTS:
            watch(event)
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_goes_away_stops_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8", buffering=1) as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", stream)
        with watcher(False) as watch:
            watch(EVENTS[0])
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> str:
    """What a terminal of 100 columns receives on standard error."""
    leader, follower = pty.openpty()
    received: list[bytes] = []

    def read() -> None:
        while True:
            try:
                data = os.read(leader, 4096)
            except OSError:
                return
            if not data:
                return
            received.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    with open(follower, "w", encoding="utf-8") as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", stream)
        work()
        stream.flush()
    reader.join(5)
    os.close(leader)
    return b"".join(received).decode()


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with watcher(False) as watch:
            for event in EVENTS:
                watch(event)

    received = on_a_terminal(monkeypatch, work)
    assert capsys.readouterr().out == ""
    assert "\x1b[31m a" not in received, "a name may not speak to the terminal"
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", received)
    assert not set(re.findall(r"[^\x20-\x7e\r\n━╸╺·✓–…�]", text))
    last = text.replace("\r", "\n").split("\n")
    attacks = [line for line in last if "attacks" in line][-1]
    assert "✓" in attacks
    assert "3/3" in attacks
    assert "1 of 3 shards kept" in attacks
    fairness = [line for line in last if "fairness" in line][-1]
    assert "[group]" in fairness
    assert received.rfind("\x1b[?25h") > received.rfind("\x1b[?25l"), "the cursor is shown again"


def test_an_interrupt_gives_the_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        with watcher(False) as watch:
            watch(EVENTS[1])
            raise KeyboardInterrupt

    def work() -> None:
        with pytest.raises(KeyboardInterrupt):
            interrupted()

    received = on_a_terminal(monkeypatch, work)
    assert received.rfind("\x1b[?25h") > received.rfind("\x1b[?25l") >= 0
