"""How a finding, a check and the audit stand, in one word each. The one place where outcomes become words.

Only ``PASSED`` is good news, and it is given sparingly: a check that stopped, or whose control failed, has no passed
finding; a record that contradicts itself has not passed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from robust.record import AuditRecord, CheckRecord, Finding, GateLevel, Outcome


class State(StrEnum):
    """The word that a reader sees."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warning"
    UNDECIDED = "undecided"
    NOT_ASSESSED = "not assessed"
    VOID = "void"
    """The value exists and may not be relied on: its check stopped, or a control of its check failed."""
    STOPPED = "stopped"
    """A check that ended with an error."""
    MEASURED = "measured"
    """For reading, not for judging."""

    @property
    def css(self) -> str:
        """The word as a class name."""
        return self.value.replace(" ", "-")

    @property
    def symbol(self) -> str:
        """One character, so that no state is told by colour alone."""
        return _SYMBOLS[self][0]

    @property
    def ascii_symbol(self) -> str:
        """``symbol`` for terminals that know only ASCII."""
        return _SYMBOLS[self][1]


_SYMBOLS: dict[State, tuple[str, str]] = {
    State.PASSED: ("✓", "+"),
    State.FAILED: ("✗", "x"),
    State.WARNED: ("!", "!"),
    State.UNDECIDED: ("?", "?"),
    State.NOT_ASSESSED: ("–", "-"),
    State.VOID: ("∅", "0"),
    State.STOPPED: ("■", "#"),
    State.MEASURED: ("·", "."),
}


class Overall(NamedTuple):
    """The verdict as it may be shown, its sentence, and what in the record contradicts the gate (empty: nothing)."""

    state: State
    sentence: str
    contradictions: tuple[str, ...]


def gate_level(finding: Finding, check: CheckRecord) -> GateLevel:
    """The level that judges a finding: its threshold's, else its check's."""
    return finding.threshold.level if finding.threshold is not None else check.level


def is_discredited(check: CheckRecord) -> bool:
    """Whether a control of the check failed, so that nothing in it may be relied on."""
    return any(finding.control and finding.outcome is Outcome.FAIL for finding in check.findings)


def finding_state(finding: Finding, check: CheckRecord) -> State:
    """The word for one finding of ``check``.

    ================  =========================================================
    outcome           state
    ================  =========================================================
    pass              passed; void if the check stopped or is discredited
    fail              failed; warning where the gate's level is warn or off
    inconclusive      undecided
    not assessed      not assessed
    measured          measured; void if the check stopped or is discredited
    ================  =========================================================
    """
    if finding.outcome is Outcome.FAIL:
        only_warns = not finding.control and gate_level(finding, check) is not GateLevel.ERROR
        return State.WARNED if only_warns else State.FAILED
    if finding.outcome is Outcome.INCONCLUSIVE:
        return State.UNDECIDED
    if finding.outcome is Outcome.NOT_ASSESSED:
        return State.NOT_ASSESSED
    if check.status != "completed" or (is_discredited(check) and not finding.control):
        return State.VOID
    return State.PASSED if finding.outcome is Outcome.PASS else State.MEASURED


def check_state(check: CheckRecord) -> State:
    """The word for a check: the worst of its findings. Measurements and passed controls alone do not make it pass."""
    if check.status == "failed":
        return State.STOPPED
    if check.status == "not assessed":
        return State.NOT_ASSESSED
    states = [(finding_state(finding, check), finding.control) for finding in check.findings]
    for state in (State.FAILED, State.UNDECIDED, State.NOT_ASSESSED, State.WARNED):
        if any(found is state for found, _ in states):
            return State.UNDECIDED if state is State.NOT_ASSESSED else state
    if any(found is State.PASSED and not control for found, control in states):
        return State.PASSED
    return State.MEASURED if states else State.NOT_ASSESSED


def overall(record: AuditRecord) -> Overall:
    """The verdict on top: the gate's, unless the record contradicts it; then no better than undecided."""
    gate = record.gate
    state = State(gate.verdict)
    if state is not State.PASSED:
        return Overall(state, gate.sentence, ())
    contradictions = tuple(_contradictions(record))
    if not contradictions:
        return Overall(state, gate.sentence, ())
    failed = bool(gate.failures) or any(
        finding_state(finding, check) is State.FAILED for check in record.checks for finding in check.findings
    )
    sentence = "The record says that the gate passed, and contradicts itself: it must not be read as passed."
    return Overall(State.FAILED if failed else State.UNDECIDED, sentence, contradictions)


def _contradictions(record: AuditRecord) -> list[str]:
    gate = record.gate
    found = []
    if gate.exit_status != 0:
        found.append(f"the gate says passed with exit status {gate.exit_status}")
    if gate.failures:
        found.append(f"{len(gate.failures)} failures are listed")
    if gate.undecided:
        found.append(f"{len(gate.undecided)} undecided are listed")
    if not any(check.status == "completed" for check in record.checks):
        found.append("no check was completed")
    for check in record.checks:
        if check.level is GateLevel.ERROR and check.status != "completed":
            found.append(f"the check {check.name} is {check.status} at level error")
        for finding in check.findings:
            state = finding_state(finding, check)
            if state is State.FAILED:
                found.append(f"{finding.id} failed")
            elif state is State.UNDECIDED and finding.threshold and finding.threshold.level is GateLevel.ERROR:
                found.append(f"{finding.id} is undecided at level error")
    return found
