"""Whatever a record holds: every report can be made, is well formed, and shows no unknown as passed."""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

from hypothesis import HealthCheck, given, settings
from rich.cells import cell_len
from rich.console import Console

from reports import render_console, render_html, render_junit, render_markdown
from robust.record import AuditRecord, CheckRecord, GateLevel, Outcome
from tests.reports.reading import read_html
from tests.reports.strategies import records

often = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def may_pass(check: CheckRecord, index: int) -> bool:
    """Independently of the product: what alone may be shown as passed."""
    finding = check.findings[index]
    discredited = any(f.control and f.outcome is Outcome.FAIL for f in check.findings)
    return (
        finding.outcome is Outcome.PASS and check.status == "completed" and (finding.control or not discredited)
    )  # fmt: skip


def verdict_may_pass(record: AuditRecord) -> bool:
    gate = record.gate
    sound = gate.verdict == "passed" and gate.exit_status == 0 and not gate.failures and not gate.undecided
    completed = [check for check in record.checks if check.status == "completed"]
    stopped = [c for c in record.checks if c.status != "completed" and c.level is GateLevel.ERROR]
    return sound and bool(completed) and not stopped


@often
@given(records)
def test_the_page_is_balanced_and_passes_nothing_that_did_not_pass(record: AuditRecord) -> None:
    page = read_html(render_html(record))
    hero = page.by_class("hero")[0]
    if not verdict_may_pass(record):
        assert "passed" not in hero.attributes["class"].split()
        assert "Passed" not in hero.by_class("word")[0].text
    sections = page.by_class("check")
    assert len(sections) == len(record.checks)
    for section, check in zip(sections, record.checks, strict=True):
        anchor = section.attributes["id"]
        rows = {row.attributes["id"]: row for row in section.all("tr") if "id" in row.attributes}
        assert len(rows) == len(check.findings)
        for index in range(len(check.findings)):
            row = rows[f"{anchor}-f{index + 1}"]
            shown = {badge.text for badge in row.by_class("badge")}
            assert ("passed" in shown) == may_pass(check, index)
            assert ("passed" in row.attributes["class"].split()) == may_pass(check, index)
        heading = section.by_class("heading")[0].by_class("badge")[0].text
        if any(f.outcome in {Outcome.INCONCLUSIVE, Outcome.NOT_ASSESSED} for f in check.findings):
            assert heading != "passed"


@often
@given(records)
def test_ids_are_unique_and_links_land(record: AuditRecord) -> None:
    page = read_html(render_html(record))
    ids = [element.attributes["id"] for element in page.walk() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    targets = {element.attributes["href"] for element in [*page.all("a"), *page.all("use")]}
    assert all(target[0] == "#" and target[1:] in ids for target in targets)


@often
@given(records)
def test_no_script_but_ours_and_no_event_handler(record: AuditRecord) -> None:
    page = read_html(render_html(record))
    assert len(page.all("script")) == 1
    assert not [element for element in page.walk() for key in element.attributes if key.startswith("on")]


@often
@given(records)
def test_junit_is_xml_and_no_open_question_is_a_passed_test(record: AuditRecord) -> None:
    root = ET.fromstring(render_junit(record))
    for suite, check in zip(root, record.checks, strict=False):
        passed = [case for case in suite.iter("testcase") if not {child.tag for child in case} - {"system-out"}]
        assert len(passed) == sum(may_pass(check, index) for index in range(len(check.findings)))
    verdict = next(suite for suite in list(root)[len(record.checks) :] if suite.get("name") == "audit")[0]
    if not verdict_may_pass(record):
        assert {child.tag for child in verdict} & {"failure", "error"}


@often
@given(records)
def test_markdown_has_no_markup_from_the_record(record: AuditRecord) -> None:
    text = render_markdown(record)
    assert "<script" not in text
    assert "<img" not in text
    assert len(text) < 65_536
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.count("|") in {4, 5}


@often
@given(records)
def test_the_console_gets_no_control_characters(record: AuditRecord) -> None:
    for terminal, width in ((False, 80), (True, 40), (True, 120)):
        stream = io.StringIO()
        render_console(record, console=Console(file=stream, force_terminal=terminal, width=width, color_system=None))
        assert not set(stream.getvalue()) & set("\x00\x1b\x07\u202e")
        if terminal:
            assert max(map(cell_len, stream.getvalue().splitlines())) <= width
