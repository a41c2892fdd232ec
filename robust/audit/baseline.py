"""What changed since an earlier record: a pure function of two records.

======================  ==========================================================================
change                  when (two findings of one id, one protocol, on the same evaluation data)
======================  ==========================================================================
better, worse           the intervals are disjoint, and the finding says which way is better
different               the intervals are disjoint, and it does not say
no change shown         the intervals overlap; which is not a proof that nothing changed
not comparable          another protocol or other data, or a value or an interval is missing
gone, new               only one of the two records has it
======================  ==========================================================================

Disjoint 95 % intervals are stricter than a test at 5 %: a change that is called one is hardly chance, and a small one
may go unnoticed. Equal values without intervals are deterministic and show no change.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from robust.record import AuditRecord, Finding


class Change(StrEnum):
    """How a finding stands to the same finding of the baseline."""

    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"
    NOT_SHOWN = "no change shown"
    NOT_COMPARABLE = "not comparable"
    GONE = "gone"
    NEW = "new"


class Comparison(NamedTuple):
    """One finding of either record.

    Attributes:
        id: of the finding.
        title: for people.
        change: see the table of this module.
        before: value in the baseline, if it has one.
        now: value in the record, if it has one.
        reason: why not comparable; else empty.
    """

    id: str
    title: str
    change: Change
    before: float | None
    now: float | None
    reason: str = ""


def compare(record: AuditRecord, baseline: AuditRecord) -> tuple[Comparison, ...]:
    """Every finding that is no control, in the order of ``record``, then those that only ``baseline`` has."""
    earlier = {finding.id: finding for finding in baseline.findings if not finding.control}
    now = {finding.id: finding for finding in record.findings if not finding.control}
    other_data = _evaluation_data(record) != _evaluation_data(baseline)
    found = [
        _compare(finding, earlier[name], other_data=other_data)
        if name in earlier
        else Comparison(name, finding.title, Change.NEW, None, finding.value)
        for name, finding in now.items()
    ]
    found += [
        Comparison(name, finding.title, Change.GONE, finding.value, None)
        for name, finding in earlier.items()
        if name not in now
    ]
    return tuple(found)


def _evaluation_data(record: AuditRecord) -> list[str]:
    return [data.sha256 for data in record.data if data.role == "evaluation"]


def _compare(now: Finding, before: Finding, *, other_data: bool) -> Comparison:
    change, reason = _change(now, before, other_data=other_data)
    return Comparison(now.id, now.title, change, before.value, now.value, reason)


def _change(now: Finding, before: Finding, *, other_data: bool) -> tuple[Change, str]:
    if other_data:
        return Change.NOT_COMPARABLE, "it was measured on other evaluation data"
    differing = sorted(
        key for key in {*now.protocol, *before.protocol} if now.protocol.get(key) != before.protocol.get(key)
    )
    if differing:
        return Change.NOT_COMPARABLE, f"the protocols differ in {', '.join(differing)}"
    if now.value is None or before.value is None:
        return Change.NOT_COMPARABLE, "one of the two has no value"
    if now.interval is None or before.interval is None:
        if now.value == before.value:
            return Change.NOT_SHOWN, ""
        return Change.NOT_COMPARABLE, "the values differ, and one of the two has no interval"
    higher = now.interval.low > before.interval.high
    lower = now.interval.high < before.interval.low
    if not higher and not lower:
        return Change.NOT_SHOWN, ""
    if now.better == "neither":
        return Change.DIFFERENT, ""
    return (Change.BETTER if higher == (now.better == "higher") else Change.WORSE), ""
