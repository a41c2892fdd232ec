"""Progress on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robust.audit.runner import Event

PLAIN_EVERY_SECONDS = 10.0
NOTE_WIDTH = 70
RUNNING, DONE, NOT_DONE = "·", "✓", "–"


@contextmanager
def watcher(quiet: bool) -> Iterator[Callable[[Event], None]]:
    """A function that shows events, for the length of an audit."""
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _plain()


class Pace:
    """How long a check still takes, by what its shards took here; those found in the store took nothing."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}

    def left(self, event: Event, now: float) -> str:
        """``about 12 s left``; empty where nothing was computed yet, or nothing is left."""
        started = self._started.setdefault(event.check, now)
        computed, remaining = event.done - event.reused, event.total - event.done
        if event.kind != "shard done" or computed < 1 or remaining < 1:
            return ""
        return f"about {in_words((now - started) / computed * remaining)} left"


def in_words(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def ending(event: Event) -> str:
    """How a check ended, and how much of it was there already."""
    kept = f" ({event.reused} of {event.total} shards kept from before)" if event.reused else ""
    return f"{event.text}{kept}"


@contextmanager
def _bars() -> Iterator[Callable[[Event], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from reports.text import one_line

    tasks: dict[str, TaskID] = {}
    pace = Pace()
    columns = (
        TextColumn("{task.fields[mark]}", markup=False),
        TextColumn("{task.description:<14}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def show(event: Event) -> None:
            if event.kind == "loading":
                progress.console.print(event.text, style="dim", markup=False)
                return
            if event.check not in tasks:
                tasks[event.check] = progress.add_task(event.check, total=event.total, mark=RUNNING, note="")
            left = pace.left(event, time.monotonic())
            mark, note = RUNNING, f"{left}; {event.text}" if left else event.text
            if event.kind == "check done":
                mark = DONE if event.text == "completed" else NOT_DONE
                note = "" if ending(event) == "completed" else ending(event)
            progress.update(tasks[event.check], completed=event.done, mark=mark, note=one_line(note)[:NOTE_WIDTH])
            if event.kind == "check done":
                progress.stop_task(tasks[event.check])

        yield show


def _plain() -> Callable[[Event], None]:
    from reports.text import one_line

    last = time.monotonic()
    pace = Pace()

    def show(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        left = pace.left(event, now) if event.check else ""
        line = ""
        if event.kind == "loading":
            line = event.text
        elif event.kind == "check started":
            line = f"{event.check}: {event.text} ({event.total} shards)"
        elif event.kind == "check done":
            line = f"{event.check}: {ending(event)}"
        elif now - last > PLAIN_EVERY_SECONDS:
            line = f"{event.check}: {event.done} of {event.total}{', ' if left else ''}{left} ({event.text})"
        if line:
            last = now
            with suppress(OSError):  # nobody reads; that is no fault of the check at work
                sys.stderr.write(one_line(line) + "\n")
                sys.stderr.flush()

    return show
