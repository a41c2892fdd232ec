"""The record as JUnit XML, so that any CI shows findings as tests. What is unknown is never shown as passed.

==============================================  ============================================
finding                                         test case
==============================================  ============================================
pass                                            passed
fail at level error, or a failed control        ``<failure>``
fail at level warn or off                       ``<skipped>``, the message says that it missed
undecided, not assessed or void at level error  ``<error>``: it was asked for and stayed open
the same at level warn or off                   ``<skipped>``
measured, no control                            no test case; a property of its suite
==============================================  ============================================

A check that was not assessed, or stopped, has a test case of its own by the same rule. What the record lists as not
asked is a suite of skipped tests. Elements come in the order of the common schema (Ant, Jenkins): properties, then
test cases; in a test case the result, then ``system-out``.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from reports.number_format import threshold_text, value_text
from reports.standing import Overall, State, check_state, finding_state, gate_level, overall
from reports.text import clean, one_line
from robust.record import AuditRecord, CheckRecord, Finding, GateLevel

_OPEN = {State.UNDECIDED, State.NOT_ASSESSED, State.VOID, State.STOPPED}


@dataclass(frozen=True)
class Case:
    """One test case: ``kind`` is empty for passed, else the element that says how it ended."""

    name: str
    kind: str
    state: State
    message: str = ""
    detail: str = ""
    seconds: float = 0.0


def render_junit(record: AuditRecord) -> str:
    """``<testsuites>`` with a suite per check; a pure function of the record."""
    undecided = set(record.gate.undecided)
    suites = [_suite(check.name, _cases(check, undecided), check.seconds, check) for check in record.checks]
    verdict = overall(record)
    suites.append(_suite("audit", [_verdict_case(verdict)], record.seconds, None))
    if record.not_asked:
        asked = [Case(text, "skipped", State.NOT_ASSESSED, "not asked") for text in record.not_asked]
        suites.append(_suite("not asked", asked, 0.0, None))
    root = ET.Element("testsuites", _counts(suites) | {"name": _text(record.title), "time": f"{record.seconds:.3f}"})
    root.extend(suites)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _verdict_case(verdict: Overall) -> Case:
    """The verdict itself, so that a failed audit never shows as a green run."""
    kind = {State.PASSED: "", State.FAILED: "failure"}.get(verdict.state, "error")
    return Case("verdict", kind, verdict.state, verdict.sentence, "\n".join(verdict.contradictions))


def _cases(check: CheckRecord, undecided: set[str]) -> list[Case]:
    cases = []
    if check.status != "completed" or not check.findings:
        state = check_state(check)
        must = check.level is GateLevel.ERROR or check.name in undecided
        words = check.reason or "no reason was given"
        cases.append(Case(f"{check.name} ({state})", "error" if must else "skipped", state, words))
    for finding in check.findings:
        state = finding_state(finding, check)
        if state is State.MEASURED and not (finding.control or finding.threshold):
            continue
        cases.append(
            Case(
                finding.id, _kind(finding, check, state, undecided), state, finding.reason,
                _detail(finding, check), finding.cost.seconds,
            )
        )  # fmt: skip
    return cases


def _kind(finding: Finding, check: CheckRecord, state: State, undecided: set[str]) -> str:
    if state is State.PASSED:
        return ""
    if state is State.FAILED:
        return "failure"
    # Whatever has no verdict although a threshold or control asked for one is open, too.
    is_open = state in _OPEN or state is State.MEASURED
    must = gate_level(finding, check) is GateLevel.ERROR or finding.id in undecided
    return "error" if is_open and must else "skipped"


def _detail(finding: Finding, check: CheckRecord) -> str:
    lines = [finding.title, f"value: {value_text(finding)}"]
    if finding.threshold is not None:
        lines.append(f"wanted: {threshold_text(finding.threshold, finding.unit)}")
    lines.append(f"level: {gate_level(finding, check)}")
    lines += [f"{key}: {value}" for key, value in finding.protocol.items()]
    return "\n".join(lines)


def _suite(name: str, cases: list[Case], seconds: float, check: CheckRecord | None) -> ET.Element:
    suite = ET.Element("testsuite", {"name": _text(name), "time": f"{seconds:.3f}"})
    properties = ET.Element("properties")
    for key, value in _properties(check) if check else ():
        ET.SubElement(properties, "property", {"name": _text(key), "value": _text(value)})
    if len(properties):
        suite.append(properties)
    suite.extend(_element(case, name) for case in cases)
    kinds = [case.kind for case in cases]
    suite.attrib.update(
        tests=str(len(kinds)), failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")), skipped=str(kinds.count("skipped")),
    )  # fmt: skip
    return suite


def _properties(check: CheckRecord) -> list[tuple[str, str]]:
    """Status of the check; value, interval and n of every finding, measured ones too."""
    found = [("status", check.status), ("level", check.level.value)]
    for finding in check.findings:
        state = finding_state(finding, check)
        found.append((f"{finding.id} state", state.value))
        if finding.value is not None:
            found.append((f"{finding.id} value", repr(finding.value)))
        if finding.interval is not None:
            found.append((f"{finding.id} interval", f"[{finding.interval.low!r}, {finding.interval.high!r}]"))
        if finding.n is not None:
            found.append((f"{finding.id} n", str(finding.n)))
    return found


def _element(case: Case, suite: str) -> ET.Element:
    attributes = {"classname": _text(suite), "name": _text(case.name), "time": f"{case.seconds:.3f}"}
    element = ET.Element("testcase", attributes)
    if case.kind:
        message = _text(f"{case.state}: {case.message}" if case.message else case.state.value)
        result = {"message": message} if case.kind == "skipped" else {"message": message, "type": case.state.css}
        ET.SubElement(element, case.kind, result).text = message
    if case.detail:
        ET.SubElement(element, "system-out").text = clean(case.detail)
    return element


def _counts(suites: list[ET.Element]) -> dict[str, str]:
    keys = ("tests", "failures", "errors", "skipped")
    return {key: str(sum(int(suite.attrib[key]) for suite in suites)) for key in keys}


def _text(words: str) -> str:
    return one_line(words)
