"""Evidence without a record as one HTML file: what a command other than an audit has to show."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from reports.html_evidence import evidence_view
from reports.html_report import environment, source
from reports.text import clean
from robust.record import Evidence, Finding


def render_evidence_page(title: str, lines: Sequence[str], evidence: Sequence[Evidence]) -> str:
    """One self-contained page, light and dark, without scripts.

    Args:
        title: of the page.
        lines: sentences below it.
        evidence: figures, pictures, tables and notes, in order.
    """
    titles = [str(getattr(item, "title", title)) for item in evidence]
    views = [
        evidence_view(Finding(check="page", metric="page", title=name), item, f"e{place}")
        for place, (name, item) in enumerate(zip(titles, evidence, strict=True))
    ]
    text = environment().get_template("evidence_page.html.j2").render(
        title=title, lines=list(lines), views=views, style=Markup(source("report.css")), dark=Markup(source("dark.css"))
    )  # fmt: skip
    return clean(text)
