"""Findings of the copy test: copies, authenticity and C_T."""

from __future__ import annotations

from robust.audit.checks.generation_evidence import copying_table, pair_images
from robust.audit.checks.generation_report import CHECK, Report, not_assessed
from robust.record import Finding
from robust.statistics import wilson


def copy_findings(report: Report) -> list[Finding]:
    """``copy_share``, ``authenticity`` and ``data_copying``; not assessed without training data."""
    title = "Generated samples that are copies of training samples"
    tested = report.subject.copying
    if tested is None:
        reason = "No training data was given, so nobody can say whether samples are copied from it."
        return [not_assessed("copy_share", title, reason)]
    copies, control = tested.copies, report.measured["real"].copying
    protocol = report.protocol(space="inputs in box units, Euclidean", quantile=report.quantile)
    verdict = "MORE COPIES THAN REAL SAMPLES SHOW" if copies.found else "not clearly more than real samples show"
    share = Finding(
        check=CHECK,
        metric="copy_share",
        title=f"{title}: nearer to one than {1 - report.quantile:.0%} of real held-out samples are ({verdict})",
        value=copies.share,
        unit="share",
        interval=copies.interval,
        n=copies.count,
        better="lower",
        protocol=protocol,
        headline=True,
        evidence=(
            *pair_images(report.payload, report.context, copies.threshold),
            copying_table(tested, control, report.real.bench.names),
        ),
    )
    reference = "" if control is None else f" (real held-out samples: {control.authentic / control.copies.count:.3f})"
    authenticity = Finding(
        check=CHECK,
        metric="authenticity",
        title=f"Generated samples farther from their nearest training sample than that is from its own{reference}",
        value=tested.authentic / copies.count,
        unit="share",
        interval=wilson(tested.authentic, copies.count),
        n=copies.count,
        better="neither",
        protocol=protocol,
    )
    statistic = tested.statistic
    if statistic is None:
        reason = "No class has enough generated and held-out samples."
        return [share, authenticity, not_assessed("data_copying", "Data-copying statistic C_T", reason)]
    among = None if control is None else control.statistic
    real = "" if among is None else f" (real held-out samples: {among:.2f})"
    copying = Finding(
        check=CHECK,
        metric="data_copying",
        title=f"Data-copying statistic C_T, mean over classes: far below 0 copying, far above 0 a poor fit{real}",
        value=statistic,
        unit="standard deviations",
        n=copies.count,
        better="neither",
        protocol=protocol,
    )
    return [share, authenticity, copying]
