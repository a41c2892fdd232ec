"""All reports of a record into one directory."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from reports.files import write_atomically
from reports.html_report import render_html
from reports.json_report import render_json
from reports.junit_report import render_junit
from reports.markdown_report import render_markdown
from robust.errors import UsageError
from robust.record import AuditRecord

FORMATS: dict[str, tuple[str, Callable[[AuditRecord], str]]] = {
    "html": ("report.html", render_html),
    "json": ("record.json", render_json),
    "junit": ("junit.xml", render_junit),
    "markdown": ("summary.md", render_markdown),
}
"""Format -> file name and renderer."""


def write_reports(
    record: AuditRecord, directory: Path, formats: Sequence[str] = ("html", "json", "junit", "markdown")
) -> dict[str, Path]:
    """Render and write each format; all are rendered before the first is written, and each is written atomically.

    Args:
        record: what to report.
        directory: made if it is missing.
        formats: keys of ``FORMATS``.

    Returns:
        The path of each format, in the order asked for.

    Raises:
        UsageError: an unknown format, or a directory that cannot be written to.
    """
    for name in formats:
        if name not in FORMATS:
            near = difflib.get_close_matches(name, FORMATS, n=1)
            raise UsageError(
                f"there is no report format {name!r}",
                wanted=", ".join(FORMATS),
                got=name,
                hint=f"did you mean {near[0]}?" if near else "name one of these formats",
            )
    texts = {name: FORMATS[name][1](record) for name in formats}
    paths = {name: Path(directory) / FORMATS[name][0] for name in texts}
    for name, text in texts.items():
        write_atomically(paths[name], text)
    return paths
