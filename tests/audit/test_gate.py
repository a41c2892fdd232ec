"""The gate judges intervals, and never lets an unknown pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robust.audit.check import CheckSettings, ThresholdRule
from robust.audit.gate import apply_thresholds, gate, judge
from robust.record import CheckRecord, Finding, GateLevel, Interval, Outcome

AT_LEAST_HALF = ThresholdRule(metric="accuracy", minimum=0.5)


def finding(low: float | None = None, high: float | None = None, value: float | None = None, **more: object) -> Finding:
    interval = None if low is None or high is None else Interval(low=low, high=high, method="test")
    return Finding.model_validate(
        {"check": "c", "metric": "accuracy", "title": "t", "value": value, "interval": interval, **more}
    )


def check_record(*findings: Finding, level: GateLevel = GateLevel.ERROR, status: str = "completed") -> CheckRecord:
    return CheckRecord.model_validate(
        {"name": "c", "title": "C", "question": "?", "level": level, "status": status, "findings": findings}
    )


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.5, 0.9, Outcome.PASS),
        (0.49, 0.9, Outcome.INCONCLUSIVE),
        (0.1, 0.5, Outcome.INCONCLUSIVE),
        (0.1, 0.49, Outcome.FAIL),
    ],
)
def test_the_interval_is_judged_not_the_point(low: float, high: float, outcome: Outcome) -> None:
    judged = judge(finding(low, high, value=0.9), AT_LEAST_HALF, GateLevel.ERROR)
    assert judged.outcome is outcome
    assert judged.reason


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_pass_means_every_value_of_the_interval_is_fine(a: float, b: float, c: float, d: float) -> None:
    low, high = sorted((a, b))
    minimum, maximum = sorted((c, d))
    rule = ThresholdRule(metric="accuracy", minimum=minimum, maximum=maximum)
    outcome = judge(finding(low, high), rule, GateLevel.ERROR).outcome
    inside = [minimum <= point <= maximum for point in (low, (low + high) / 2, high)]
    if outcome is Outcome.PASS:
        assert all(inside)
    if outcome is Outcome.FAIL:
        assert not any(inside)


def test_a_finding_without_numbers_is_inconclusive() -> None:
    assert judge(finding(), AT_LEAST_HALF, GateLevel.ERROR).outcome is Outcome.INCONCLUSIVE


def test_not_assessed_never_becomes_a_pass() -> None:
    absent = finding(outcome=Outcome.NOT_ASSESSED, reason="no features")
    judged = apply_thresholds("c", [absent], CheckSettings(thresholds=(AT_LEAST_HALF,)))
    result = gate([check_record(*judged)])
    assert judged[0].outcome is Outcome.NOT_ASSESSED
    assert result.exit_status == 3


def test_two_thresholds_on_one_finding_keep_the_worse_outcome() -> None:
    rules = (ThresholdRule(metric="accuracy", minimum=0.9), ThresholdRule(metric="accuracy", minimum=0.1))
    judged = apply_thresholds("c", [finding(0.5, 0.6)], CheckSettings(thresholds=rules))
    assert judged[0].outcome is Outcome.FAIL


@pytest.mark.parametrize("order", [(0.9, 0.1), (0.1, 0.9)])
def test_the_threshold_shown_is_the_one_that_decided(order: tuple[float, float]) -> None:
    rules = tuple(ThresholdRule(metric="accuracy", minimum=minimum) for minimum in order)
    shown = apply_thresholds("c", [finding(0.5, 0.6)], CheckSettings(thresholds=rules))[0]
    assert shown.threshold is not None
    assert shown.threshold.minimum == 0.9
    assert "at least 0.9" in shown.reason


def test_the_sentence_does_not_say_all_where_a_warning_was_missed() -> None:
    met = finding(0.8, 0.9)
    [passed] = apply_thresholds("c", [met], CheckSettings(thresholds=(AT_LEAST_HALF,)))
    [missed] = apply_thresholds("c", [finding(0.1, 0.2)], CheckSettings(gate="warn", thresholds=(AT_LEAST_HALF,)))
    alone = gate([check_record(passed)])
    assert (alone.verdict, alone.sentence) == ("passed", "The one threshold of the plan was met by the whole interval.")
    assert gate([check_record(passed, passed)]).sentence.startswith("All 2 thresholds")
    both = gate([check_record(passed, passed), check_record(missed, level=GateLevel.WARN)])
    assert (both.verdict, both.exit_status) == ("passed", 0)
    assert "All" not in both.sentence
    assert "1 thing at level warn failed" in both.sentence


def test_a_check_that_is_off_passes_nothing() -> None:
    [passed] = apply_thresholds("c", [finding(0.8, 0.9)], CheckSettings(gate="off", thresholds=(AT_LEAST_HALF,)))
    assert gate([check_record(passed, level=GateLevel.OFF)]).verdict == "not judged"


def test_where_selects_by_parameters() -> None:
    findings = [finding(0.1, 0.2, parameters={"epsilon": 0.1}), finding(0.8, 0.9, parameters={"epsilon": 0.01})]
    rule = ThresholdRule(metric="accuracy", where={"epsilon": 0.01}, minimum=0.5)
    judged = apply_thresholds("c", findings, CheckSettings(thresholds=(rule,)))
    assert [f.outcome for f in judged] == [Outcome.MEASURED, Outcome.PASS]


def test_a_threshold_that_no_finding_answers_is_undecided() -> None:
    rule = ThresholdRule(metric="acuracy", minimum=0.5)
    judged = apply_thresholds("c", [finding(0.8, 0.9)], CheckSettings(thresholds=(rule,)))
    result = gate([check_record(*judged)])
    assert result.exit_status == 3
    assert "accuracy" in judged[1].reason


@pytest.mark.parametrize(
    ("outcome", "level", "status", "verdict"),
    [
        (Outcome.FAIL, GateLevel.ERROR, 1, "failed"),
        (Outcome.FAIL, GateLevel.WARN, 0, "not judged"),
        (Outcome.FAIL, GateLevel.OFF, 0, "not judged"),
        (Outcome.INCONCLUSIVE, GateLevel.ERROR, 3, "undecided"),
        (Outcome.INCONCLUSIVE, GateLevel.WARN, 0, "not judged"),
        (Outcome.MEASURED, GateLevel.ERROR, 0, "not judged"),
    ],
)
def test_exit_status(outcome: Outcome, level: GateLevel, status: int, verdict: str) -> None:
    result = gate([check_record(finding(0.1, 0.2, outcome=outcome, reason="r"), level=level)])
    assert (result.exit_status, result.verdict) == (status, verdict)


def test_what_could_not_be_assessed_is_undecided_without_any_threshold() -> None:
    absent = finding(outcome=Outcome.NOT_ASSESSED, reason="the model shows no features")
    assert gate([check_record(absent)]).exit_status == 3
    assert gate([check_record(absent, level=GateLevel.WARN)]).exit_status == 0


def test_a_failed_control_fails_the_audit() -> None:
    control = finding(0.1, 0.2, outcome=Outcome.FAIL, reason="noise beat the attack", control=True)
    assert gate([check_record(control)]).exit_status == 1


@pytest.mark.parametrize(
    ("status", "exit_status"), [("not assessed", 3), ("failed", 3), ("not applicable", 0), ("completed", 0)]
)
def test_a_check_that_was_asked_for_and_did_not_complete_is_undecided(status: str, exit_status: int) -> None:
    assert gate([check_record(status=status)]).exit_status == exit_status


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.INCONCLUSIVE])
def test_all_thresholds_met_is_not_said_when_a_warning_was_not(outcome: Outcome) -> None:
    met = apply_thresholds("c", [finding(0.8, 0.9)], CheckSettings(thresholds=(AT_LEAST_HALF,)))
    missed = finding(0.1, 0.2, outcome=outcome, reason="r", parameters={"epsilon": 0.1})
    result = gate([check_record(*met), check_record(missed, level=GateLevel.WARN)])
    assert (result.verdict, result.exit_status) == ("passed", 0)
    assert "All" not in result.sentence
    assert "1 thing at level warn failed or stayed open" in result.sentence


def test_a_threshold_of_a_check_that_is_off_gives_no_verdict() -> None:
    met = apply_thresholds("c", [finding(0.8, 0.9)], CheckSettings(thresholds=(AT_LEAST_HALF,), gate="off"))
    assert gate([check_record(*met, level=GateLevel.OFF)]).verdict == "not judged"


def test_failure_outranks_undecided() -> None:
    failed = finding(0.1, 0.2, outcome=Outcome.FAIL, reason="r")
    open_one = finding(0.1, 0.9, outcome=Outcome.INCONCLUSIVE, reason="r")
    assert gate([check_record(failed, open_one)]).exit_status == 1


def test_a_threshold_must_want_something() -> None:
    with pytest.raises(ValidationError, match="minimum or a maximum"):
        ThresholdRule(metric="accuracy")


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.FAIL])
def test_a_met_threshold_does_not_make_good_what_the_check_itself_left_open(outcome: Outcome) -> None:
    own = finding(0.6, 0.9, value=0.7, outcome=outcome, reason="2 of 3 samples are undecided")
    judged = judge(own, AT_LEAST_HALF, GateLevel.ERROR)
    assert judged.outcome is outcome
    assert judged.reason == own.reason
    assert gate([check_record(judged)]).exit_status != 0


def test_thresholds_of_a_check_that_is_off_are_no_reason_to_say_passed() -> None:
    met = judge(finding(0.6, 0.9), AT_LEAST_HALF, GateLevel.OFF)
    assert gate([check_record(met, level=GateLevel.OFF)]).verdict == "not judged"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_finding_holds_no_number_that_is_none(number: float) -> None:
    """So a check that computes one is a failed check, which leaves the audit undecided."""
    with pytest.raises(ValidationError):
        finding(value=number)
    with pytest.raises(ValidationError):
        finding(0.0, number)
