"""The words of outcomes, case by case, written out by hand."""

from __future__ import annotations

import pytest

from reports.standing import State, check_state, finding_state, overall
from robust.record import AuditRecord, CheckRecord, Finding, GateLevel, GateResult, Outcome, Threshold, Totals
from tests.reports.sample_record import sample_record


def finding(outcome: Outcome, *, control: bool = False, level: GateLevel | None = None, metric: str = "m") -> Finding:
    threshold = None if level is None else Threshold(minimum=0.5, level=level)
    return Finding(check="c", metric=metric, title="t", outcome=outcome, reason="r", control=control,
                   threshold=threshold)  # fmt: skip


def check(*findings: Finding, status: str = "completed", level: GateLevel = GateLevel.ERROR) -> CheckRecord:
    fields = {"name": "c", "title": "C", "question": "?", "status": status, "level": level, "findings": findings}
    return CheckRecord.model_validate(fields)


def record(
    *checks: CheckRecord, verdict: str = "passed", exit_status: int = 0, **lists: tuple[str, ...]
) -> AuditRecord:
    gate = GateResult.model_validate(
        {"verdict": verdict, "exit_status": exit_status, "sentence": "S", "totals": Totals(), **lists}
    )
    return sample_record().model_copy(update={"checks": checks, "gate": gate})


@pytest.mark.parametrize(
    ("outcome", "level", "control", "state"),
    [
        (Outcome.PASS, GateLevel.ERROR, False, State.PASSED),
        (Outcome.PASS, None, True, State.PASSED),
        (Outcome.FAIL, GateLevel.ERROR, False, State.FAILED),
        (Outcome.FAIL, GateLevel.WARN, False, State.WARNED),
        (Outcome.FAIL, GateLevel.OFF, False, State.WARNED),
        (Outcome.FAIL, GateLevel.WARN, True, State.FAILED),
        (Outcome.FAIL, None, False, State.FAILED),
        (Outcome.INCONCLUSIVE, GateLevel.OFF, False, State.UNDECIDED),
        (Outcome.NOT_ASSESSED, None, False, State.NOT_ASSESSED),
        (Outcome.MEASURED, None, False, State.MEASURED),
    ],
)
def test_finding(outcome: Outcome, level: GateLevel | None, control: bool, state: State) -> None:
    found = finding(outcome, level=level, control=control)
    assert finding_state(found, check(found)) is state


def test_a_failed_control_or_a_stopped_check_voids_what_it_left() -> None:
    good, bad = finding(Outcome.PASS), finding(Outcome.FAIL, control=True)
    fine = finding(Outcome.PASS, control=True, metric="other")
    discredited = check(good, bad, fine)
    assert [finding_state(f, discredited) for f in discredited.findings] == [State.VOID, State.FAILED, State.PASSED]
    assert finding_state(good, check(good, status="failed")) is State.VOID
    assert finding_state(finding(Outcome.MEASURED), check(good, status="not assessed")) is State.VOID


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([Outcome.PASS, Outcome.MEASURED], State.PASSED),
        ([Outcome.PASS, Outcome.INCONCLUSIVE], State.UNDECIDED),
        ([Outcome.PASS, Outcome.NOT_ASSESSED], State.UNDECIDED),
        ([Outcome.INCONCLUSIVE, Outcome.FAIL], State.FAILED),
        ([Outcome.MEASURED], State.MEASURED),
        ([], State.NOT_ASSESSED),
    ],
)
def test_a_check_is_as_good_as_its_worst_finding(outcomes: list[Outcome], state: State) -> None:
    assert check_state(check(*(finding(o) for o in outcomes))) is state


def test_passed_controls_alone_make_no_check_pass() -> None:
    assert check_state(check(finding(Outcome.PASS, control=True))) is State.MEASURED
    assert check_state(check(status="failed")) is State.STOPPED
    assert check_state(check(status="not assessed")) is State.NOT_ASSESSED


def test_a_sound_pass_is_a_pass() -> None:
    passed = overall(record(check(finding(Outcome.PASS, level=GateLevel.ERROR))))
    assert passed == (State.PASSED, "S", ())


def test_warn_level_questions_may_stay_open_in_a_pass() -> None:
    open_one = finding(Outcome.INCONCLUSIVE, level=GateLevel.WARN)
    skipped = check(status="not assessed", level=GateLevel.WARN)
    assert overall(record(check(open_one), skipped)).state is State.PASSED


@pytest.mark.parametrize(
    ("broken", "state"),
    [
        (record(), State.UNDECIDED),
        (record(check(finding(Outcome.PASS)), exit_status=3), State.UNDECIDED),
        (record(check(finding(Outcome.PASS)), undecided=("x",)), State.UNDECIDED),
        (record(check(finding(Outcome.PASS)), failures=("x",)), State.FAILED),
        (record(check(finding(Outcome.FAIL, level=GateLevel.ERROR))), State.FAILED),
        (record(check(finding(Outcome.FAIL, control=True))), State.FAILED),
        (record(check(finding(Outcome.INCONCLUSIVE, level=GateLevel.ERROR))), State.UNDECIDED),
        (record(check(finding(Outcome.PASS)), check(status="failed")), State.UNDECIDED),
    ],
)
def test_a_pass_that_the_record_contradicts_is_not_shown_as_one(broken: AuditRecord, state: State) -> None:
    found = overall(broken)
    assert found.state is state
    assert found.contradictions
    assert "must not be read as passed" in found.sentence


def test_every_state_has_its_own_symbol() -> None:
    assert len({state.symbol for state in State}) == len(State)
    assert len({state.ascii_symbol for state in State}) == len(State)
    assert all(state.ascii_symbol.isascii() for state in State)
