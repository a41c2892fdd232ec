"""``robust report``: render a record again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from robust.cli.interrupts import silence_output

FORMATS = ("html", "json", "junit", "markdown")


def report(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="record.json, or the run directory that holds it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to. Default: where the record is.")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", "-f", help="html, json, junit or markdown. Repeatable.")
    ] = None,
) -> None:
    """Render a record as HTML, JSON, JUnit XML and Markdown, without running anything."""
    from reports import render_console, write_reports
    from robust.errors import UsageError
    from robust.record import AuditRecord

    wanted = tuple(formats or FORMATS)
    unknown = set(wanted) - set(FORMATS)
    if unknown:
        raise UsageError(f"unknown report format: {', '.join(sorted(unknown))}", wanted=", ".join(FORMATS))
    path = record / "record.json" if record.is_dir() else record
    loaded = AuditRecord.read(path)
    paths = write_reports(loaded, output or path.parent, wanted)
    try:
        render_console(loaded, written=paths)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich exits where nobody reads; the files are written
        silence_output()
