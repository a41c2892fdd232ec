"""What changed since an earlier record, by intervals, and only where two numbers may be compared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust.audit.baseline import Change, Comparison, compare
from robust.record import AuditRecord, CheckRecord, DataRecord, Finding, GateLevel, GateResult, Interval, Totals


def finding(low: float | None = None, high: float | None = None, **more: Any) -> Finding:
    interval = None if low is None or high is None else Interval(low=low, high=high, method="test")
    value = None if interval is None else (interval.low + interval.high) / 2
    given = {"check": "c", "metric": "m", "title": "t", "value": value, "interval": interval, "better": "higher"}
    return Finding.model_validate({**given, **more})


def record(*findings: Finding, data: str = "d") -> AuditRecord:
    check = CheckRecord(
        name="c", title="C", question="?", level=GateLevel.ERROR, status="completed", findings=tuple(findings)
    )
    return AuditRecord(
        title="t",
        tool_version="0",
        seed=0,
        device="cpu",
        plan={},
        command="",
        versions={},
        platform="",
        subjects=(),
        data=(DataRecord(name="d", source="d", sha256=data, samples=1, used=1, sample_shape=(1,)),),
        checks=(check,),
        gate=GateResult(verdict="not judged", exit_status=0, sentence="s", totals=Totals()),
    )


def change(now: Finding, before: Finding, *, data: str = "d") -> Comparison:
    [found] = compare(record(now, data=data), record(before))
    return found


@pytest.mark.parametrize(
    ("now", "before", "better", "expected"),
    [
        ((0.7, 0.8), (0.4, 0.6), "higher", Change.BETTER),
        ((0.7, 0.8), (0.4, 0.6), "lower", Change.WORSE),
        ((0.1, 0.3), (0.4, 0.6), "higher", Change.WORSE),
        ((0.1, 0.3), (0.4, 0.6), "lower", Change.BETTER),
        ((0.1, 0.3), (0.4, 0.6), "neither", Change.DIFFERENT),
        ((0.6, 0.8), (0.4, 0.6), "higher", Change.NOT_SHOWN),
        ((0.5, 0.55), (0.4, 0.6), "higher", Change.NOT_SHOWN),
    ],
)
def test_by_disjoint_intervals(
    now: tuple[float, float], before: tuple[float, float], better: str, expected: Change
) -> None:
    assert change(finding(*now, better=better), finding(*before, better=better)).change is expected


@given(*[st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)] * 2)
def test_the_two_directions_mirror_each_other(a: list[float], b: list[float]) -> None:
    mirror = {Change.BETTER: Change.WORSE, Change.WORSE: Change.BETTER, Change.NOT_SHOWN: Change.NOT_SHOWN}
    assert change(finding(*b), finding(*a)).change is mirror[change(finding(*a), finding(*b)).change]


def test_another_protocol_is_not_compared_and_the_key_is_named() -> None:
    found = change(finding(0.7, 0.8, protocol={"steps": 20}), finding(0.1, 0.2, protocol={"steps": 40}))
    assert found.change is Change.NOT_COMPARABLE
    assert "steps" in found.reason


def test_other_data_are_not_compared() -> None:
    assert change(finding(0.7, 0.8), finding(0.1, 0.2), data="other").change is Change.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        (finding(), finding(0.1, 0.2), Change.NOT_COMPARABLE),
        (finding(0.1, 0.2), finding(), Change.NOT_COMPARABLE),
        (finding(value=0.5), finding(value=0.5), Change.NOT_SHOWN),
        (finding(value=0.9), finding(value=0.5), Change.NOT_COMPARABLE),
        (finding(value=0.9), finding(0.1, 0.2), Change.NOT_COMPARABLE),
    ],
)
def test_what_has_no_interval_shows_no_change_for_the_better(now: Finding, before: Finding, expected: Change) -> None:
    assert change(now, before).change is expected


def test_new_and_gone_and_controls() -> None:
    now = record(finding(0.1, 0.2, metric="a"), finding(0.1, 0.2, metric="x", control=True))
    before = record(finding(0.1, 0.2, metric="b"), finding(0.5, 0.6, metric="x", control=True))
    assert [(found.id, found.change) for found in compare(now, before)] == [("c/a", Change.NEW), ("c/b", Change.GONE)]
