"""The evidence of a finding as the page shows it: drawn figures, the table behind each, pictures at a good size."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from markupsafe import Markup

from reports import bar_plot, curve_plot, decisions_plot
from reports.sandwich import spread
from robust.record import BarPlot, CurvePlot, Decisions, Evidence, Finding, ImageItem, Table

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SHOWN_SIDE = 96
"""Pixels of the larger side of a small picture on the page."""
MOST_POINTS = 40
"""Points per curve in the table behind a figure."""
MOST_ROWS = 400
"""Rows of a table that the page shows; the record holds the rest."""


@dataclass(frozen=True)
class EvidenceView:
    """One piece of evidence, drawn, with the finding that it belongs to."""

    evidence: Evidence
    anchor: str
    finding: Finding
    svg: Markup | None = None
    legend: tuple[tuple[Markup, str], ...] = ()
    warnings: tuple[str, ...] = ()
    numbers: Table | None = None
    """The table behind a figure."""


def evidence_view(finding: Finding, evidence: Evidence, anchor: str) -> EvidenceView:
    """Draw one piece of evidence; ``anchor`` is its id, unique on the page."""
    if isinstance(evidence, CurvePlot):
        return EvidenceView(
            evidence, anchor, finding, svg=curve_plot.draw_curves(evidence, anchor),
            legend=tuple(curve_plot.legend(evidence, anchor)), warnings=tuple(curve_plot.warnings(evidence)),
            numbers=_curve_table(evidence),
        )  # fmt: skip
    if isinstance(evidence, BarPlot):
        svg = bar_plot.draw_bars(evidence, anchor)
        return EvidenceView(evidence, anchor, finding, svg=svg, numbers=_bar_table(evidence))
    if isinstance(evidence, Decisions):
        return EvidenceView(
            evidence, anchor, finding, svg=decisions_plot.draw_decisions(evidence, anchor),
            legend=tuple(decisions_plot.legend(evidence, anchor)), numbers=decisions_plot.numbers(evidence),
        )  # fmt: skip
    if isinstance(evidence, Table) and len(evidence.rows) > MOST_ROWS:
        rest = f"{len(evidence.rows) - MOST_ROWS:,} further rows are in record.json."
        caption = f"{evidence.caption} {rest}".strip()
        short = evidence.model_copy(update={"rows": evidence.rows[:MOST_ROWS], "caption": caption})
        return EvidenceView(short, anchor, finding)
    return EvidenceView(evidence, anchor, finding)


def is_png(item: ImageItem) -> bool:
    """Whether the bytes of a picture are a PNG at all; a record may come from anywhere."""
    try:
        return base64.b64decode(item.png, validate=True).startswith(PNG_SIGNATURE)
    except (binascii.Error, ValueError):
        return False


def shown_size(item: ImageItem) -> tuple[int, int]:
    """Width and height in pixels on the page: a whole multiple, so that the pixels of tiny pictures stay square."""
    factor = max(1, SHOWN_SIDE // max(item.width, item.height, 1))
    return max(1, item.width) * factor, max(1, item.height) * factor


def _curve_table(plot: CurvePlot) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    left_out = 0
    for curve in plot.curves:
        low = curve.band.low if curve.band else ()
        high = curve.band.high if curve.band else ()
        count = min(len(curve.x), len(curve.y))
        shown = spread(count, MOST_POINTS)
        left_out += count - len(shown)
        for index in shown:
            ends = low[index] if index < len(low) else None, high[index] if index < len(high) else None
            rows.append((curve.label, curve.x[index], curve.y[index], *ends))
    columns = ("curve", plot.x_label, plot.y_label, "low", "high")
    caption = f"{left_out:,} further points are in record.json." if left_out else ""
    return Table(title=plot.title, columns=columns, rows=tuple(rows), caption=caption)


def _bar_table(plot: BarPlot) -> Table:
    rows = tuple((bar.label, bar.value, bar.low, bar.high, bar.role) for bar in plot.series)
    return Table(title=plot.title, columns=("bar", plot.y_label, "low", "high", "role"), rows=rows)
