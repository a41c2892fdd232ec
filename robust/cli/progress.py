"""Progress on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robust.audit.runner import Event

PLAIN_EVERY_SECONDS = 10.0


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


@contextmanager
def _bars() -> Iterator[Callable[[Event], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    tasks: dict[str, TaskID] = {}
    columns = (
        TextColumn("{task.fields[mark]}"),
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def show(event: Event) -> None:
            if event.kind == "loading":
                progress.console.print(event.text, style="dim")
            elif event.check not in tasks:
                mark = "·" if event.kind != "check done" else "–"
                tasks[event.check] = progress.add_task(event.check, total=event.total, mark=mark, note=event.text[:60])
            if event.kind == "shard done":
                note = f"{event.text} (kept)" if event.reused else event.text
                progress.update(tasks[event.check], completed=event.done, note=note[:60])
            elif event.kind == "check done":
                mark = "✓" if event.text == "completed" else "–"
                note = "" if event.text == "completed" else event.text[:60]
                progress.update(tasks[event.check], completed=event.done, mark=mark, note=note)
                progress.stop_task(tasks[event.check])

        yield show


def _plain() -> Callable[[Event], None]:
    last = time.monotonic()

    def show(event: Event) -> None:
        nonlocal last
        line = ""
        if event.kind == "loading":
            line = event.text
        elif event.kind == "check started":
            line = f"{event.check}: {event.text} ({event.total} shards)"
        elif event.kind == "check done":
            line = f"{event.check}: {event.text}"
        elif time.monotonic() - last > PLAIN_EVERY_SECONDS:
            line = f"{event.check}: {event.done} of {event.total} ({event.text})"
        if line:
            last = time.monotonic()
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    return show
