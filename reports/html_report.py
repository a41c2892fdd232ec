"""The record as one HTML file: no network, no script needed, light, dark and printed."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from reports import glossary, number_format
from reports.html_evidence import is_png, shown_size
from reports.html_view import build_page, flat_plan
from reports.standing import State
from reports.text import clean, one_line
from robust.record import AuditRecord


def render_html(record: AuditRecord) -> str:
    """One self-contained page; a pure function of the record.

    Everything that the record holds is escaped, control characters are shown as U+FFFD, and a content security
    policy names the one script of ours by its digest, so that no other could run and nothing could be fetched.
    """
    script = source("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = build_page(record)
    text = environment().get_template("report.html.j2").render(
        page=page,
        record=record,
        style=Markup(source("report.css")),
        dark=Markup(source("dark.css")),
        script=Markup(script),
        script_digest=f"sha256-{digest}",
        plan=list(flat_plan(record.plan)),
        outcomes=glossary.OUTCOMES,
        terms=glossary.TERMS,
    )  # fmt: skip
    return clean(text)


@cache
def environment() -> jinja2.Environment:
    """The templates, with their filters."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update(
        cell=_cell, is_number=_is_number, one_line=one_line, percent=number_format.percent,
        bytes=number_format.size, duration=number_format.duration, moment=number_format.moment,
        level=number_format.level_text,
    )  # fmt: skip
    made.tests["png"] = is_png
    made.globals.update(shown_size=shown_size, State=State)
    return made


def source(name: str) -> str:
    """The text of a file beside the templates."""
    loader = environment().loader
    if loader is None:
        raise jinja2.TemplateNotFound(name)
    return loader.get_source(environment(), name)[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    """A cell of a table: a dash for None, yes or no for a bool, short numbers, text as it is."""
    if value is None:
        return number_format.DASH
    if isinstance(value, (bool, int, float)):
        return number_format.number(value)
    return str(value)
