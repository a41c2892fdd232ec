"""The record as the page needs it: anchors, words and drawn figures. Pure; everything in the templates is layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from reports import number_format
from reports.html_evidence import EvidenceView, evidence_view
from reports.standing import Overall, State, check_state, finding_state, is_discredited, overall
from reports.text import one_line, unique_slugs
from robust.record import AuditRecord, CheckRecord, Finding

UNBROKEN = 20
"""A value of at most so many characters is kept on one line."""


@dataclass(frozen=True)
class FindingView:
    """One finding with its place on the page and its word."""

    finding: Finding
    anchor: str
    state: State

    @property
    def title(self) -> str:
        """The title, or the identifier where it is blank: a link needs words."""
        return self.finding.title.strip() or self.finding.id

    @property
    def value(self) -> str:
        """The value in its unit, or a dash."""
        found = self.finding
        return _together(number_format.DASH if found.value is None else number_format.quantity(found.value, found.unit))

    @property
    def interval(self) -> str:
        """The interval in the value's unit, or empty."""
        found = self.finding
        return "" if found.interval is None else _together(number_format.interval_text(found.interval, found.unit))

    @property
    def reason(self) -> str:
        """The finding's reason; for a void one, why it may not be relied on comes first."""
        void = "Not to be relied on: its check stopped, or a control of its check failed. "
        return (void if self.state is State.VOID else "") + self.finding.reason

    @property
    def threshold(self) -> str:
        """What was wanted, or empty."""
        return number_format.threshold_text(self.finding.threshold, self.finding.unit)


@dataclass(frozen=True)
class CheckView:
    """One check: its word, its findings in three parts, its evidence by kind."""

    check: CheckRecord
    anchor: str
    state: State
    discredited: bool
    findings: tuple[FindingView, ...]
    evidence: tuple[EvidenceView, ...]

    @property
    def title(self) -> str:
        """The title, or the name where it is blank: a heading needs words."""
        return self.check.title.strip() or self.check.name.strip() or "untitled check"

    @property
    def judged(self) -> list[FindingView]:
        """What was judged or is a headline: always in sight."""
        return [f for f in self.findings if not f.finding.control and _in_front(f)]

    @property
    def measured(self) -> list[FindingView]:
        """Everything else that is no control."""
        return [f for f in self.findings if not f.finding.control and not _in_front(f)]

    @property
    def controls(self) -> list[FindingView]:
        """Rows whose value is known beforehand."""
        return [f for f in self.findings if f.finding.control]

    def of(self, *kinds: str) -> list[EvidenceView]:
        """The evidence of these kinds, in order."""
        return [item for item in self.evidence if item.evidence.kind in kinds]


@dataclass(frozen=True)
class Item:
    """A line of the summary with a link, if what it names is on the page."""

    title: str
    anchor: str
    state: State
    value: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Page:
    """All that the templates look at."""

    record: AuditRecord
    overall: Overall
    checks: tuple[CheckView, ...]
    tally: tuple[tuple[State, int], ...]
    items: Mapping[str, tuple[Item, ...]] = field(default_factory=dict)

    @property
    def headlines(self) -> list[FindingView]:
        """The few findings for the strip on top."""
        return [found for check in self.checks for found in check.findings if found.finding.headline]


def build_page(record: AuditRecord) -> Page:
    """Everything that the page shows, from the record alone."""
    anchors = unique_slugs((check.name for check in record.checks), "check")
    checks = tuple(_check_view(check, anchor) for check, anchor in zip(record.checks, anchors, strict=True))
    states = [found.state for check in checks for found in check.findings]
    tally = tuple((state, states.count(state)) for state in State if state in states)
    return Page(record, overall(record), checks, tally, _items(record, checks))


def flat_plan(plan: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """``checks.attacks.norm`` and its value as JSON, for every leaf of the plan."""
    for key, value in plan.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict) and value:
            yield from flat_plan(value, name)
        else:
            yield name, json.dumps(value, ensure_ascii=False)


def _together(text: str) -> str:
    """A short quantity that no line break may cut; a long one may be."""
    return text.replace(" ", "\u00a0") if len(text) <= UNBROKEN else text


def _in_front(view: FindingView) -> bool:
    return view.finding.headline or view.state is not State.MEASURED


def _check_view(check: CheckRecord, anchor: str) -> CheckView:
    findings = tuple(
        FindingView(finding, f"{anchor}-f{index}", finding_state(finding, check))
        for index, finding in enumerate(check.findings, start=1)
    )
    pairs = [(finding, evidence) for finding in check.findings for evidence in finding.evidence]
    drawn = tuple(
        evidence_view(finding, evidence, f"{anchor}-e{index}") for index, (finding, evidence) in enumerate(pairs, 1)
    )
    return CheckView(check, anchor, check_state(check), is_discredited(check), findings, drawn)


def _items(record: AuditRecord, checks: tuple[CheckView, ...]) -> dict[str, tuple[Item, ...]]:
    """What decides the verdict: the gate's lists, and whatever the findings say that the lists forgot."""
    known = {view.finding.id: _finding_item(view) for check in checks for view in check.findings}
    known |= {
        check.check.name: Item(check.title, check.anchor, check.state, "", check.check.reason) for check in checks
    }
    listed = {
        State.FAILED: (record.gate.failures, {State.FAILED}),
        State.UNDECIDED: (record.gate.undecided, {State.UNDECIDED, State.VOID, State.STOPPED}),
        State.WARNED: (record.gate.warnings, {State.WARNED}),
    }
    result: dict[str, tuple[Item, ...]] = {}
    taken: set[str] = set()
    of_gate = {name for names, _ in listed.values() for name in names}
    for state, (names, states) in listed.items():
        also = [
            name
            for name, item in known.items()
            if item.state in states and name not in of_gate and not _repeats(name, checks)
        ]
        every = [name for name in dict.fromkeys([*names, *also]) if name not in taken]
        taken.update(every)
        result[state.css] = tuple(known.get(name, Item(one_line(name), "", state)) for name in every)
    open_checks = [
        known[check.check.name] for check in checks if check.check.status not in ("completed", "not applicable")
    ]
    open_findings = [
        _finding_item(view) for check in checks for view in check.findings if view.state is State.NOT_ASSESSED
    ]
    result["not-assessed"] = (*open_checks, *open_findings)
    return result


def _repeats(name: str, checks: tuple[CheckView, ...]) -> bool:
    """A check's own word repeats those of its findings, except where it stopped."""
    return any(check.check.name == name and check.state is not State.STOPPED for check in checks)


def _finding_item(view: FindingView) -> Item:
    found = view.finding
    return Item(view.title, view.anchor, view.state, number_format.value_text(found), view.reason)
