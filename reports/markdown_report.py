"""The record as a short Markdown summary for a CI step summary or a pull request comment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reports.number_format import moment, threshold_text, value_text
from reports.standing import State, check_state, finding_state, overall
from reports.text import shorten
from robust.record import AuditRecord, CheckRecord, Finding

LONGEST_LIST = 20
LARGEST = 60_000
"""A pull request comment holds 65,536 characters."""

# Entities, because a backslash does not stop an at-sign from calling somebody or an address from becoming a link.
_SPECIAL = re.compile(r"[&<>|`*_\[\]@#~\\!$]|:(?=//)|(?<=www)\.")
_BLOCK = re.compile(r"^[^\w\s&]|^\d")
Row = tuple[Finding, CheckRecord, State]


def render_markdown(record: AuditRecord) -> str:
    """Verdict, headlines, what failed, what is undecided, what was not assessed; a pure function of the record."""
    rows = [(f, check, finding_state(f, check)) for check in record.checks for f in check.findings]
    verdict = overall(record)
    parts = [
        f"## {verdict.state.symbol} {verdict.state.value.capitalize()}: {escape(record.title)}",
        escape_block(verdict.sentence),
        *(f"- {escape_block(text)}" for text in verdict.contradictions[:LONGEST_LIST]),
        _scope(record),
        _table("Headlines", [row for row in rows if row[0].headline]),
        _table("Failed", [row for row in rows if row[2] is State.FAILED]),
        _table("Undecided", [row for row in rows if row[2] in {State.UNDECIDED, State.VOID}]),
        _table("Warnings", [row for row in rows if row[2] is State.WARNED]),
        _checks(record.checks),
        _not_assessed(record, rows),
        f"Reproduce: <code>{escape(record.command)}</code>",
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    if len(text) <= LARGEST:
        return text
    cut = text[:LARGEST].rsplit("\n", 1)[0]
    return cut + "\n\n_Cut here; the whole is in the HTML report._\n"


def escape(text: str, width: int = 300) -> str:
    """One line of text that Markdown, HTML, mentions and links leave alone."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match.group())};", shorten(text, width))


def escape_block(text: str) -> str:
    """``escape`` for text that starts a line: it starts no list, no heading, no table either."""
    return _BLOCK.sub(lambda match: f"&#{ord(match.group())};", escape(text))


def _scope(record: AuditRecord) -> str:
    subjects = ", ".join(escape(subject.name) for subject in record.subjects) or "no subject"
    data = ", ".join(
        f"{escape(data.name)} ({data.used:,} of {data.samples:,} samples)"
        for data in record.data
        if data.role == "evaluation"
    )
    when = f", {escape(moment(record.finished))}" if record.finished else ""
    return f"Audited: {subjects} on {data or 'no evaluation data'}{when}."


def _table(title: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [f"### {title} ({len(rows)})", "", "| | finding | value | wanted |", "| --- | --- | --- | --- |"]
    for finding, _, state in rows[:LONGEST_LIST]:
        cells = [
            f"{state.symbol} {state.value}",
            escape(finding.title) + (" _(control)_" if finding.control else ""),
            escape(value_text(finding)),
            escape(threshold_text(finding.threshold, finding.unit)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *_more(len(rows))])


def _checks(checks: Iterable[CheckRecord]) -> str:
    lines = ["### Checks", "", "| | check | findings |", "| --- | --- | --- |"]
    for check in checks:
        state = check_state(check)
        lines.append(f"| {state.symbol} {state.value} | {escape(check.title)} | {len(check.findings)} |")
    return "\n".join(lines)


def _not_assessed(record: AuditRecord, rows: Sequence[Row]) -> str:
    asked = [(check.title, check.reason, check_state(check)) for check in record.checks if check.status != "completed"]
    asked += [(f.title, f.reason, state) for f, _, state in rows if state is State.NOT_ASSESSED]
    lines = [f"- {state.symbol} {state.value}: {escape(title)}. {escape(reason)}" for title, reason, state in asked]
    lines += [f"- not asked: {escape(text)}" for text in record.not_asked]
    shown = lines[:LONGEST_LIST] or ["- The record names nothing here; see the limitations of each check."]
    return "\n".join(["### Not assessed", "", *shown, *_more(len(lines))])


def _more(count: int) -> list[str]:
    return ["", f"_and {count - LONGEST_LIST} more in the HTML report_"] if count > LONGEST_LIST else []
