"""Measured detectors as findings: each detector on each set, its worst set, and the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robust.ood.metrics import Measured
from robust.ood.panel import WORDS
from robust.record import Evidence, Finding, Interval, Outcome

Value = str | int | float | bool
MANY = 100
INTERVAL = "stratified percentile bootstrap, widened to newcombe (auroc) or wilson (others)"


@dataclass(frozen=True)
class SetResult:
    """One set of abnormal inputs, measured.

    Attributes:
        name: of the set.
        family: ``far`` or ``near``.
        origin: ``synthetic`` or ``data``.
        count: inputs in it.
        metrics: detector -> metric -> measured.
    """

    name: str
    family: str
    origin: str
    count: int
    metrics: Mapping[str, Mapping[str, Measured]]


def set_findings(
    check: str, detector: str, found: SetResult, normal: int, protocol: Mapping[str, Value]
) -> list[Finding]:
    """AUROC, AUPR both ways and FPR at 95 % acceptance of one detector on one set."""
    described = f"{found.family} ({found.origin})" if found.origin == "synthetic" else found.family
    where: dict[str, Value] = {"detector": detector, "set": found.name, "family": found.family}
    title = f"{WORDS[detector]} on {found.name}, {described}"
    rows: tuple[tuple[str, str, dict[str, Value], str, str, dict[str, Value]], ...] = (
        ("auroc", "auroc", {}, f"{title}: AUROC", "higher", {}),
        ("aupr_out", "aupr", {"positive": "abnormal"}, f"{title}: AUPR, abnormal positive", "higher", {}),
        ("aupr_in", "aupr", {"positive": "normal"}, f"{title}: AUPR, normal positive", "higher", {}),
        (
            "fpr95",
            "fpr_at_95_tpr",
            {},
            f"{title}: accepted although abnormal, where 95 % of the data are accepted",
            "lower",
            {"true_positive": "a normal input that is accepted", **_coverage(normal, found.count)},
        ),
    )
    return [
        Finding(
            check=check,
            metric=metric,
            parameters={**where, **extra},
            title=words,
            value=found.metrics[detector][key].value,
            unit="share" if metric == "fpr_at_95_tpr" else "",
            interval=found.metrics[detector][key].interval,
            n=normal + found.count,
            better="higher" if better == "higher" else "lower",
            protocol={
                **protocol,
                "origin": found.origin,
                "normal": normal,
                "abnormal": found.count,
                "interval": INTERVAL,
                **remark,
            },
        )
        for key, metric, extra, words, better, remark in rows
    ]


HEADLINES = ("maximum_softmax", "energy", "mahalanobis")
"""Detectors whose worst set stands on top of the report; the others stand in the section."""


def _coverage(normal: int, abnormal: int) -> dict[str, str]:
    """Said where it is not what it claims: the threshold itself, a quantile of few normal inputs, is uncertain."""
    if min(normal, abnormal) >= MANY:
        return {}
    return {"coverage": f"84 to 90 % in simulations of 20 samples, 93 to 95 % from {MANY} on; not 95 % here"}


def worst_finding(
    check: str,
    detector: str,
    family: str,
    sets: Sequence[SetResult],
    normal: int,
    protocol: Mapping[str, Value],
    evidence: tuple[Evidence, ...] = (),
) -> Finding:
    """The lowest AUROC over ``sets``; its interval holds for the lowest true one (all sets at once, Bonferroni)."""
    areas = {found.name: found.metrics[detector]["auroc"] for found in sets}
    worst = min(sets, key=lambda found: areas[found.name].value)
    scope = "any set" if family == "all" else f"a {family} set"
    return Finding(
        check=check,
        metric="worst_auroc",
        parameters={"detector": detector, "family": family},
        title=f"{WORDS[detector]}: lowest AUROC on {scope}, {worst.name} ({worst.family})",
        value=areas[worst.name].value,
        interval=Interval(
            low=min(area.simultaneous.low for area in areas.values()),
            high=min(area.simultaneous.high for area in areas.values()),
            method="bootstrap widened to newcombe, on all sets at once (bonferroni)",
        ),
        n=normal + sum(found.count for found in sets),
        better="higher",
        protocol={
            **protocol,
            "sets": ", ".join(sorted(areas)),
            "normal": normal,
            "interval": f"{INTERVAL}; bonferroni over sets",
        },
        headline=family == "all" and detector in HEADLINES,
        evidence=evidence,
    )


def control_finding(check: str, detector: str, found: Measured, count: int, protocol: Mapping[str, Value]) -> Finding:
    """The data against themselves: nothing can be told apart, so the interval must contain one half."""
    holds = found.interval.low <= 0.5 <= found.interval.high
    return Finding(
        check=check,
        metric="self_auroc",
        parameters={"detector": detector},
        title=f"{WORDS[detector]}: one half of the data against the other, where nothing is abnormal",
        value=found.value,
        interval=found.interval,
        n=count,
        protocol={**protocol, "interval": INTERVAL, "level": found.interval.level},
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        reason="the interval contains one half"
        if holds
        else "the interval excludes one half: the detector tells apart what is alike, so its other numbers are void",
        control=True,
    )


def unavailable_finding(check: str, detector: str) -> Finding:
    """A detector that could not be asked."""
    return Finding(
        check=check,
        metric="auroc",
        parameters={"detector": detector},
        title=f"{WORDS[detector]}: AUROC",
        outcome=Outcome.NOT_ASSESSED,
        reason="it needs the input of the model's last affine layer, and this model does not show it",
    )
