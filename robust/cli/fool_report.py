"""What ``robust fool`` shows: a table, sentences, and the evidence of its gallery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from numpy.typing import NDArray

if TYPE_CHECKING:
    from robust.audit.fooling_run import FoolingRun
    from robust.record import Evidence

Moved = Mapping[str, NDArray[np.float64]]
"""Method -> confidences of a second model."""
NAMES = {"gradient": "gradient_ascent", "direct": "map_elites", "cppn": "cppn"}


def rows_of(run: FoolingRun, moved: Moved) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns, and a row for each class."""
    columns = ["class"]
    for name in run.made:
        columns += [f"{name}: confidence", "inputs shown until then", *(["second model"] if name in moved else [])]
    rows = []
    for place, target in enumerate(run.targets):
        row: list[Any] = [run.classifier.class_names[target]]
        for name, found in run.made.items():
            reached = int(found.reached[place])
            row += [round(float(found.confidences[place]), 6), reached if reached >= 0 else None]
            row += [round(float(moved[name][place]), 4)] if name in moved else []
        rows.append(tuple(row))
    return tuple(columns), rows


def summary_of(run: FoolingRun, moved: Moved, fooled_at: float) -> list[str]:
    """A sentence for each method."""
    lines = []
    for name, found in run.made.items():
        values = found.confidences.cpu().numpy()
        fooled = int((values >= fooled_at).sum())
        line = (
            f"{name}: {fooled} of {len(values)} classes fooled at {fooled_at:g} or more, median confidence "
            f"{float(np.median(values)):.4g}, {found.evaluations:,} inputs shown"
        )
        if name in moved:
            line += f"; the second model agrees in {int((moved[name] >= fooled_at).sum())}"
        lines.append(line + ".")
    lines.append("A class that was not fooled within the budget is not thereby safe.")
    return lines


def evidence_of(run: FoolingRun, moved: Moved) -> list[Evidence]:
    """The gallery, the course of the search, the table."""
    from robust.audit.fooling_evidence import gallery, progress
    from robust.audit.fooling_told import strip_of, strips
    from robust.record import Table

    made: dict[str, Any] = {
        NAMES[name]: {
            "inputs": found.inputs.cpu().numpy(),
            "targets": found.targets.cpu().numpy(),
            "confidences": found.confidences.cpu().numpy(),
            "history": [list(moment) for moment in found.history],
            **strip_of(found),
        }
        for name, found in run.made.items()
    }
    if not made:
        return []
    columns, rows = rows_of(run, moved)
    table = Table(title="Classes", columns=columns, rows=tuple(rows), caption="A dash: not within the budget.")
    shown = gallery(made, len(run.targets), run.classifier)
    return [*shown, *strips(made, run.classifier), progress(made), table]


def print_table(run: FoolingRun, moved: Moved) -> None:
    """The table on standard output."""
    columns, rows = rows_of(run, moved)
    texts = [columns, *(tuple("-" if value is None else str(value) for value in row) for row in rows)]
    widths = [max(len(row[place]) for row in texts) for place in range(len(columns))]
    for row in texts:
        typer.echo("  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())
