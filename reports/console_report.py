"""The record on standard output: the verdict, a line per check, what matters, and where the report is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.number_format import duration, threshold_text, value_text
from reports.standing import State, check_state, finding_state, overall
from reports.text import one_line
from robust.record import AuditRecord, CheckRecord, Finding

LONGEST_LIST = 10
NARROWEST_TABLE = 72
_STYLES: dict[State, str] = {
    State.PASSED: "green",
    State.FAILED: "bold red",
    State.WARNED: "dark_orange",
    State.UNDECIDED: "yellow",
    State.NOT_ASSESSED: "bright_black",
    State.VOID: "yellow",
    State.STOPPED: "bold red",
    State.MEASURED: "default",
    State.NOT_JUDGED: "bold",
}


def render_console(
    record: AuditRecord, *, console: Console | None = None, written: Mapping[str, Path] | None = None
) -> None:
    """Write the summary.

    Args:
        record: what to summarise.
        console: where to; standard output by default. Where that is no terminal, plain lines without colour, boxes or
            wrapping, one fact each.
        written: the report files, by format, as ``write_reports`` returns them.
    """
    out = console if console is not None else Console(highlight=False)
    lines = _lines(record, written or {}, ascii_only=_ascii_only(out))
    for line in lines:
        if isinstance(line, Text):
            out.print(line, soft_wrap=not out.is_terminal, highlight=False)
        elif out.is_terminal and out.width >= NARROWEST_TABLE:
            out.print(Padding(line, (0, 0, 1, 2)))
        else:
            for row in _plain_rows(record, ascii_only=_ascii_only(out)):
                out.print(row, soft_wrap=not out.is_terminal, highlight=False)


def _lines(record: AuditRecord, written: Mapping[str, Path], *, ascii_only: bool) -> list[Text | Table]:
    verdict = overall(record)
    heading = Text.assemble(_word(verdict.state, ascii_only=ascii_only), "  ", one_line(record.title))
    lines: list[Text | Table] = [heading, Text(one_line(verdict.sentence))]
    lines += [Text(f"the record contradicts itself: {one_line(text)}") for text in verdict.contradictions[:3]]
    lines += [Text(""), _table(record, ascii_only=ascii_only)]
    problems = [
        (finding, state)
        for check in record.checks
        for finding in check.findings
        if (state := finding_state(finding, check)) not in {State.PASSED, State.MEASURED}
    ]
    problems.sort(key=lambda problem: _rank(problem[1]))
    lines += [_problem(finding, state, ascii_only=ascii_only) for finding, state in problems[:LONGEST_LIST]]
    if len(problems) > LONGEST_LIST:
        lines.append(Text(f"and {len(problems) - LONGEST_LIST} more in the report"))
    if record.not_asked:
        lines.append(Text(f"Not asked: {' '.join(one_line(text) for text in record.not_asked)}"))
    lines += [Text(f"{name}: {one_line(str(path))}") for name, path in written.items()]
    return lines


_ORDER = (State.FAILED, State.STOPPED, State.UNDECIDED, State.VOID, State.NOT_ASSESSED, State.WARNED)


def _rank(state: State) -> int:
    """The worst first; what is no problem last."""
    return _ORDER.index(state) if state in _ORDER else len(_ORDER)


def _table(record: AuditRecord, *, ascii_only: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for name in ("", "check", "headline"):
        table.add_column(name, overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    for check in record.checks:
        title, headline, time = _cells(check)
        table.add_row(_word(check_state(check), ascii_only=ascii_only), title, headline, time)
    return table


def _plain_rows(record: AuditRecord, *, ascii_only: bool) -> list[Text]:
    return [
        Text.assemble(_word(check_state(check), ascii_only=ascii_only), "  ", "  ".join(map(str, _cells(check))))
        for check in record.checks
    ]


def _cells(check: CheckRecord) -> tuple[Text, Text, Text]:
    shown = [finding for finding in check.findings if finding.headline] or list(check.findings[:1])
    worst = min(shown, key=lambda finding: _rank(finding_state(finding, check)), default=None)
    words = f"{one_line(worst.title)}: {value_text(worst)}" if worst else one_line(check.reason)
    return Text(one_line(check.title)), Text(words), Text(duration(check.seconds))


def _problem(finding: Finding, state: State, *, ascii_only: bool) -> Text:
    wanted = threshold_text(finding.threshold, finding.unit)
    parts = [f"  {one_line(finding.title)}: {value_text(finding)}"]
    if wanted:
        parts.append(f", wanted {wanted}")
    if finding.reason:
        parts.append(f". {one_line(finding.reason)}")
    return Text.assemble(_word(state, ascii_only=ascii_only), "".join(parts))


def _word(state: State, *, ascii_only: bool) -> Text:
    symbol = state.ascii_symbol if ascii_only else state.symbol
    return Text(f"{symbol} {state.value.upper()}", style=_STYLES[state])


def _ascii_only(console: Console) -> bool:
    return not (console.encoding or "").lower().startswith("utf")
