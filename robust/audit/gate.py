"""The gate: thresholds judged on intervals, and the verdict with its exit status. Pure functions of findings.

===========================  =======  ======================================================
a finding with a threshold   outcome  when
===========================  =======  ======================================================
whole interval inside        pass     low >= minimum and high <= maximum
whole interval outside       fail     high < minimum or low > maximum
anything else                inconclusive
===========================  =======  ======================================================

A finding without an interval is judged on its value. A finding without a value and without an interval, and a
threshold that no finding answers, stay undecided. The verdict combines them:

* a failed threshold or control of an ``error`` check: failed, status 1;
* else something asked for by an ``error`` check that stayed open (an inconclusive finding, one that was not
  assessed, a check that did not complete): undecided, status 3;
* else passed, status 0, or *not judged*, status 0, if no threshold and no control was there to be passed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from robust.audit.check import CheckSettings, ThresholdRule
from robust.record import CheckRecord, Finding, GateLevel, GateResult, Outcome, Threshold, Totals


def apply_thresholds(check: str, findings: Sequence[Finding], settings: CheckSettings) -> list[Finding]:
    """The findings of one check, those with a threshold judged; and one more for each threshold without a finding."""
    judged = list(findings)
    for rule in settings.thresholds:
        matches = [i for i, finding in enumerate(judged) if matches_rule(finding, rule)]
        for index in matches:
            judged[index] = judge(judged[index], rule, settings.level)
        if not matches:
            judged.append(_unanswered(check, findings, rule, settings.level))
    return judged


def matches_rule(finding: Finding, rule: ThresholdRule) -> bool:
    """Same metric, and every parameter of ``where`` equal (numbers to 1e-9 relative)."""
    if finding.metric != rule.metric or finding.control:
        return False
    return all(
        key in finding.parameters and _equal(finding.parameters[key], value) for key, value in rule.where.items()
    )


def judge(finding: Finding, rule: ThresholdRule, level: GateLevel) -> Finding:
    """One finding against one threshold. A finding that was not assessed stays so.

    Of several thresholds on one finding, the one with the worst outcome is kept, with its reason. What a check itself
    left open or failed, no threshold makes good.
    """
    threshold = Threshold(minimum=rule.minimum, maximum=rule.maximum, level=level)
    if finding.outcome is Outcome.NOT_ASSESSED:
        return finding.model_copy(update={"threshold": threshold})
    if finding.interval is not None:
        low, high, where = finding.interval.low, finding.interval.high, "interval"
    elif finding.value is not None:
        low = high = finding.value
        where = "value"
    else:
        outcome, reason = Outcome.INCONCLUSIVE, "it has neither a value nor an interval to judge"
        return finding.model_copy(update={"threshold": threshold, "outcome": outcome, "reason": reason})
    outcome, reason = _judge_range(low, high, where, rule)
    if _SEVERITY.get(finding.outcome, -1) > _SEVERITY[outcome]:
        kept = finding.threshold if finding.threshold is not None else threshold
        return finding.model_copy(update={"threshold": kept})
    return finding.model_copy(update={"threshold": threshold, "outcome": outcome, "reason": reason})


def gate(checks: Sequence[CheckRecord]) -> GateResult:
    """The verdict on checks whose findings are judged.

    A check that did not complete leaves the audit undecided, unless it does not apply and nobody asked for it.
    """
    failures: list[str] = []
    warnings: list[str] = []
    undecided: list[str] = []
    for check in checks:
        if check.level is GateLevel.OFF:
            continue
        bad = failures if check.level is GateLevel.ERROR else warnings
        open_ones = undecided if check.level is GateLevel.ERROR else warnings
        if check.status not in ("completed", "not applicable"):
            open_ones.append(check.name)
        for finding in check.findings:
            if finding.outcome is Outcome.FAIL:
                bad.append(finding.id)
            elif finding.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_ASSESSED):
                open_ones.append(finding.id)
    findings = [finding for check in checks for finding in check.findings]
    met = sum(
        finding.outcome is Outcome.PASS and finding.threshold is not None
        for check in checks
        if check.level is not GateLevel.OFF
        for finding in check.findings
    )
    silent = [check.title for check in checks if check.status == "completed" and not _is_judged(check)]
    verdict, status, sentence = _verdict(len(failures), len(undecided), len(warnings), met, silent)
    warned = sum(finding.id in warnings for finding in findings if finding.outcome is Outcome.FAIL)
    totals = Totals(
        passed=sum(f.outcome is Outcome.PASS for f in findings),
        failed=sum(f.outcome is Outcome.FAIL for f in findings) - warned,
        warned=warned,
        inconclusive=sum(f.outcome is Outcome.INCONCLUSIVE for f in findings),
        not_assessed=sum(f.outcome is Outcome.NOT_ASSESSED for f in findings)
        + sum(check.status != "completed" for check in checks),
        measured=sum(f.outcome is Outcome.MEASURED for f in findings),
    )
    return GateResult(
        verdict=verdict,
        exit_status=status,
        sentence=sentence,
        totals=totals,
        failures=tuple(failures),
        warnings=tuple(warnings),
        undecided=tuple(undecided),
    )


_SEVERITY = {Outcome.PASS: 0, Outcome.INCONCLUSIVE: 1, Outcome.FAIL: 2}


def _is_judged(check: CheckRecord) -> bool:
    return any(finding.threshold is not None for finding in check.findings)


def _verdict(
    failures: int, undecided: int, warnings: int, met: int, silent: Sequence[str]
) -> tuple[Literal["passed", "failed", "undecided", "not judged"], Literal[0, 1, 3], str]:
    if failures:
        more = f"; {undecided} more stayed undecided" if undecided else ""
        return "failed", 1, f"{_count(failures, 'requirement or control')} failed{more}."
    if undecided:
        return (
            "undecided",
            3,
            f"Nothing failed, but {_count(undecided, 'thing')} that the plan asked for stayed undecided. "
            "Undecided is not safe.",
        )
    warned = f" {_count(warnings, 'thing')} at level warn failed or stayed open." if warnings else ""
    if not met:
        return (
            "not judged",
            0,
            "Everything was measured, but the plan sets no threshold that decides, so nothing was judged. "
            f"Set thresholds to get a verdict.{warned}",
        )
    those = f"{'' if warnings else 'All '}{met} thresholds of the plan were"
    if met == 1:
        those = "One threshold of the plan was" if warnings else "The one threshold of the plan was"
    sentence = f"{those} met by the whole interval.{warned}"
    if silent:
        sentence += f" Measured without a threshold, so not judged: {', '.join(silent)}."
    return "passed", 0, sentence


def _judge_range(low: float, high: float, where: str, rule: ThresholdRule) -> tuple[Outcome, str]:
    minimum = -math.inf if rule.minimum is None else rule.minimum
    maximum = math.inf if rule.maximum is None else rule.maximum
    wanted = " and ".join(
        text
        for text, limit in ((f"at least {minimum:g}", rule.minimum), (f"at most {maximum:g}", rule.maximum))
        if limit is not None
    )
    found = f"[{low:.4g}, {high:.4g}]" if where == "interval" else f"{low:.4g}"
    if low >= minimum and high <= maximum:
        return Outcome.PASS, f"the whole {where} {found} is {wanted}"
    if high < minimum or low > maximum:
        return Outcome.FAIL, f"the whole {where} {found} misses {wanted}"
    return (
        Outcome.INCONCLUSIVE,
        f"the {where} {found} contains the threshold ({wanted}): more samples or tighter bounds",
    )


def _unanswered(check: str, findings: Sequence[Finding], rule: ThresholdRule, level: GateLevel) -> Finding:
    known = sorted({finding.metric for finding in findings})
    return Finding(
        check=check,
        metric=f"threshold on {rule.metric}",
        parameters=dict(rule.where),
        title=f"A threshold on {rule.metric} that no finding answers",
        threshold=Threshold(minimum=rule.minimum, maximum=rule.maximum, level=level),
        outcome=Outcome.INCONCLUSIVE,
        reason=f"no finding has this metric and these parameters; metrics found: {', '.join(known) or 'none'}",
    )


def _equal(found: str | int | float | bool, wanted: str | int | float | bool) -> bool:
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)
    return found == wanted


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
