"""Assessments as findings: each group, each gap, the worst group, and who bears the attacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robust.fairness.assessment import Assessment
from robust.fairness.evidence import attack_plots
from robust.fairness.gap import Gap, gap_limits, worst_group
from robust.record import Evidence, Finding, Interval, Outcome
from robust.statistics import simultaneous_level, wilson

NAMED = 8
BURDEN = "attack_success_rate"
GAP_PROTOCOL: dict[str, str | int | float | bool] = {
    "interval": "newcombe on all pairs of groups, bonferroni within the gap",
    "test": "permutation of groups, largest standardised difference",
    "correction": "holm over all gaps of this check",
}


@dataclass(frozen=True)
class Scope:
    """What all findings of one audit of groups share.

    Attributes:
        check: name of the check.
        alpha: level of the corrected tests.
        minimum_size: smaller groups are not compared.
        resamples: permutations per test.
        positive: the favourable class; empty if none.
    """

    check: str
    alpha: float
    minimum_size: int
    resamples: int
    positive: str


def group_findings(item: Assessment, scope: Scope) -> list[Finding]:
    """One finding per group with its Wilson interval; a group that is too small is inconclusive, not hidden."""
    findings = []
    for name, hits, size in zip(item.counts.names, item.counts.hits, item.counts.sizes, strict=True):
        common: dict[str, Any] = {
            "check": scope.check,
            "metric": f"group_{item.question.rate.name}",
            "parameters": {"column": item.frame.column, "group": name},
            "title": f"{item.question.title}, {item.frame.column} {name}",
            "unit": "share",
            "n": int(size),
            "better": item.question.better,
            "protocol": {
                "interval": "wilson",
                "minimum_group_size": scope.minimum_size,
                "positive": scope.positive,
            },
        }
        if not size:
            reason = "the group has no sample that this rate speaks of"
            findings.append(Finding(**common, outcome=Outcome.NOT_ASSESSED, reason=reason))
            continue
        few = name not in item.eligible.names
        findings.append(
            Finding(
                **common,
                value=float(hits / size),
                interval=wilson(int(hits), int(size)),
                outcome=Outcome.INCONCLUSIVE if few else Outcome.MEASURED,
                reason=f"{size} samples are fewer than the {scope.minimum_size} wanted for a comparison" if few else "",
            )
        )
    return findings


def gap_finding(
    item: Assessment, scope: Scope, *, evidence: tuple[Evidence, ...] = (), headline: bool = False
) -> Finding:
    """The largest gap with its interval and, in the reason, its corrected p-value."""
    column = item.frame.column
    common: dict[str, Any] = {
        "check": scope.check,
        "metric": f"{item.question.rate.name}_gap",
        "parameters": {"column": column, **dict(item.question.parameters)},
        "unit": "share",
        "n": int(item.eligible.sizes.sum()),
        "better": "lower",
        "protocol": {
            **GAP_PROTOCOL,
            "permutations": scope.resamples,
            "tests_in_family": item.family,
            "minimum_group_size": scope.minimum_size,
            "groups_compared": len(item.eligible.names),
            "positive": scope.positive,
        },
        "headline": headline,
        "evidence": evidence,
    }
    if item.gap is None:
        return Finding(
            **common,
            title=f"{item.question.title}: gap between the groups of {column}",
            outcome=Outcome.NOT_ASSESSED,
            reason=f"fewer than two groups have {scope.minimum_size} samples.{_left_out(item)} Name a coarser column, "
            "give more samples, or lower minimum_group_size.",
        )
    verdict = "the groups differ" if item.adjusted <= scope.alpha else "no difference is established"
    return Finding(
        **common,
        title=f"{item.question.title}: {_order(column, item.gap)}",
        value=item.gap.value,
        interval=item.gap.interval,
        reason=f"Permutation p = {item.p_value:.4f}, {item.adjusted:.4f} after Holm over {item.family} tests: "
        f"{verdict}.{_left_out(item)}",
    )


def worst_group_finding(item: Assessment, scope: Scope) -> Finding:
    """The lowest rate of a group, with an interval of the lowest true rate."""
    common: dict[str, Any] = {
        "check": scope.check,
        "metric": f"worst_group_{item.question.rate.name}",
        "parameters": {"column": item.frame.column, **dict(item.question.parameters)},
        "unit": "share",
        "n": int(item.eligible.sizes.sum()),
        "better": "higher",
        "protocol": {
            "interval": "wilson in all groups, bonferroni; holds for the lowest true rate",
            "minimum_group_size": scope.minimum_size,
        },
    }
    title = f"Lowest {item.question.words} of a group of {item.frame.column}"
    if not item.eligible.names:
        reason = f"no group has {scope.minimum_size} samples that this rate speaks of"
        return Finding(**common, title=title, outcome=Outcome.NOT_ASSESSED, reason=reason)
    name, value, interval = worst_group(item.eligible)
    return Finding(**common, title=f"{title}: {name}", value=value, interval=interval, reason=_left_out(item).strip())


def bearer_finding(items: Sequence[Assessment], scope: Scope) -> Finding:
    """The largest gap of attack success over all norms and epsilons, with an interval that knows of the search.

    Args:
        items: all assessments of one column, those of ``BURDEN`` among them.
        scope: what all findings share.
    """
    burden = [item for item in items if item.question.rate.name == BURDEN]
    compared = [(item, item.gap) for item in burden if item.gap is not None]
    column = burden[0].frame.column
    norms = sorted({str(value) for item in items for key, value in item.question.parameters if key == "norm"})
    common: dict[str, Any] = {
        "check": scope.check,
        "metric": "attack_burden_gap",
        "parameters": {"column": column},
        "unit": "share",
        "better": "lower",
        "protocol": {
            **GAP_PROTOCOL,
            "searched": len(burden),
            "search": "largest over norms and epsilons, bonferroni",
            "among": "samples that were right before the attack",
            "minimum_group_size": scope.minimum_size,
        },
        "headline": True,
        "evidence": tuple(plot for norm in norms for plot in attack_plots(items, norm)),
    }
    if not compared:
        return Finding(
            **common,
            title=f"Who bears the attacks? {column}",
            outcome=Outcome.NOT_ASSESSED,
            reason=f"fewer than two groups have {scope.minimum_size} attacked samples that were right before",
        )
    worst, gap = max(compared, key=lambda pair: pair[1].value)
    where = ", ".join(f"{key} {number}" for key, number in worst.question.parameters)
    return Finding(
        **common,
        title=f"Who bears the attacks? {_order(column, gap)}, most at {where}",
        value=gap.value,
        interval=_searched_interval(compared),
        n=int(worst.eligible.sizes.sum()),
        reason=_burden_reason(compared, scope),
    )


def _searched_interval(compared: Sequence[tuple[Assessment, Gap]]) -> Interval:
    """Holds the largest true gap of all of ``compared`` at 95 %."""
    level = simultaneous_level(len(compared))
    limits = [gap_limits(item.eligible.hits, item.eligible.sizes, level) for item, _ in compared]
    return Interval(
        low=max(float(low) for low, _ in limits),
        high=max(float(high) for _, high in limits),
        method="newcombe on all pairs at all epsilons, bonferroni",
    )


def _burden_reason(compared: Sequence[tuple[Assessment, Gap]], scope: Scope) -> str:
    surest, gap = min(compared, key=lambda pair: pair[0].adjusted)
    verdict = "no group is shown to bear more"
    if surest.adjusted <= scope.alpha:
        where = ", ".join(f"{key} {number}" for key, number in surest.question.parameters)
        verdict = f"the attacks fall harder on {gap.highest} than on {gap.lowest} ({where})"
    return (
        f"Smallest permutation p {surest.adjusted:.4f} after Holm over {surest.family} tests: "
        f"{verdict}.{_left_out(surest)}"
    )


def _order(column: str, gap: Gap) -> str:
    if gap.value == 0:
        return f"all groups of {column} alike"
    return f"{column} {gap.highest} above {gap.lowest}"


def _left_out(item: Assessment) -> str:
    names = item.left_out
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" Left out as too small: {', '.join(names[:NAMED])}{more}."
