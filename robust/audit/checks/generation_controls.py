"""Control findings: generators of known faults must be caught, and real samples must not."""

from __future__ import annotations

import numpy as np

from robust.audit.checks.generation_report import CHECK, Report, incompetent
from robust.generation.balance import balance
from robust.generation.copies import EXCESS
from robust.generation.diversity import FEWEST, smallest
from robust.record import Finding, Interval, Outcome
from robust.statistics import wilson

COLLAPSED = 0.5
"""A set whose least diversity lies below this, interval and all, has collapsed."""
VARIED = 0.8
"""Real samples must not be measured clearly below this."""


def control_findings(report: Report) -> list[Finding]:
    """One finding per control that was run."""
    found = [_collapse(report), _real_diversity(report)]
    if report.real.copy_ground is not None:
        found += [_memoriser(report), _real_copies(report)]
    found.append(_wrong_class(report) if report.generator.conditions else _mode_dropper(report))
    return found


def _memoriser(report: Report) -> Finding:
    title = "A memorising generator (training samples and 2 % noise) is caught by the copy test"
    return _copy_control("memoriser_caught", title, report, "memoriser", wanted=True)


def _real_copies(report: Report) -> Finding:
    title = "Real held-out samples are not called copies"
    return _copy_control("real_is_no_copy", title, report, "real", wanted=False)


def _copy_control(metric: str, title: str, report: Report, source: str, *, wanted: bool) -> Finding:
    tested = report.measured[source].copying
    if tested is None:
        return _missing(metric, title, "The copy test was not run on this set.")
    copies = tested.copies
    reason = (
        f"{copies.copies} of {copies.count} of these samples count as copies, of the real held-out samples "
        f"{copies.held_out_copies} of {copies.held_out}; caught means an excess clearly above {EXCESS:.0%}."
    )
    if copies.threshold == 0.0:
        reason += " Some real held-out samples are equal to training samples: is the evaluation data held out?"
    return _control(metric, title, copies.share, copies.interval, copies.count, copies.found is wanted, reason)


def _collapse(report: Report) -> Finding:
    title = "A generator with one image per class is caught by its lack of variety"
    return _diversity_control("one_image_per_class_caught", title, report, "one image per class", wanted=True)


def _real_diversity(report: Report) -> Finding:
    title = "Real samples are as varied as real samples"
    return _diversity_control("real_is_varied", title, report, "real", wanted=False)


def _diversity_control(metric: str, title: str, report: Report, source: str, *, wanted: bool) -> Finding:
    measured = report.measured[source]
    if not measured.diversity:
        return _missing(metric, title, f"No class has {FEWEST} samples on both sides.")
    value, interval = smallest(list(measured.diversity))
    good = interval.high < COLLAPSED if wanted else interval.high >= VARIED
    limit = f"below {COLLAPSED}" if wanted else f"reaching {VARIED}"
    reason = (
        f"Least variety over classes {value:.3g}, interval {interval.low:.3g} to {interval.high:.3g}; wanted {limit}."
    )
    return _control(metric, title, value, interval, measured.generated, good, reason, unit="ratio")


def _wrong_class(report: Report) -> Finding:
    title = "Real samples under the wrong class are caught by the class agreement"
    bench, measured = report.real.bench, report.measured["wrong class"]
    if not bench.competent:
        return _missing("wrong_class_caught", title, incompetent(bench))
    agreed, asked = sum(measured.agreed or ()), sum(measured.asked or ())
    interval = wilson(agreed, asked)
    reason = f"The judge agrees with {agreed} of {asked} wrong classes; wanted clearly fewer than half."
    return _control("wrong_class_caught", title, agreed / asked, interval, asked, interval.high < 0.5, reason)


def _mode_dropper(report: Report) -> Finding:
    title = "A generator that never makes the commonest classes (half of the data) is caught by the balance test"
    bench, measured = report.real.bench, report.measured["mode dropper"]
    if not bench.competent:
        return _missing("mode_dropper_caught", title, incompetent(bench))
    result = balance(np.array(measured.judged), bench.real_counts)
    reason = f"Largest difference of a share {result.gap:.3f}, p = {result.p_value:.2g}; wanted p below 0.001."
    good = result.p_value < 0.001
    return _control("mode_dropper_caught", title, result.gap, result.interval, measured.generated, good, reason)


def _control(
    metric: str,
    title: str,
    value: float,
    interval: Interval,
    n: int,
    good: bool,
    reason: str,
    unit: str = "share",
) -> Finding:
    return Finding(
        check=CHECK,
        metric=metric,
        title=title,
        value=value,
        unit=unit,
        interval=interval,
        n=n,
        outcome=Outcome.PASS if good else Outcome.FAIL,
        reason=reason,
        control=True,
    )


def _missing(metric: str, title: str, reason: str) -> Finding:
    return Finding(check=CHECK, metric=metric, title=title, outcome=Outcome.NOT_ASSESSED, reason=reason, control=True)
