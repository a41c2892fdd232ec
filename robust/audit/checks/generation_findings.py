"""Findings about a generator, from the assessments of its samples and of the controls."""

from __future__ import annotations

import numpy as np

from robust.audit.checks.generation_copies import copy_findings
from robust.audit.checks.generation_evidence import (
    agreement_bars,
    balance_bars,
    diversity_bars,
    overview,
    sample_grid,
)
from robust.audit.checks.generation_report import CHECK, Report, incompetent, not_assessed
from robust.generation.balance import balance
from robust.generation.diversity import FEWEST, smallest
from robust.generation.real_side import Bench
from robust.record import Cost, Evidence, Finding, Interval, Note
from robust.statistics import wilson


def findings(report: Report) -> list[Finding]:
    """All findings about the generator itself, most telling first."""
    found = [_frechet(report), _frechet_reference(report), *_manifold(report)]
    found += _agreement(report) if report.generator.conditions else [_balance(report)]
    found += [_diversity(report), *copy_findings(report), _judge(report.real.bench, "class", report)]
    for column, bench in report.real.groups.items():
        found += [_group_balance(column, bench, report), _judge(bench, column, report)]
    return found


def _frechet(report: Report) -> Finding:
    subject, reference = report.subject, report.measured["real"]
    notes: list[Evidence] = []
    if report.payload["outside"] > 0:
        text = f"{report.payload['outside']:.2%} of all generated values lay outside the input box and were cut to it."
        notes.append(Note(text=text, level="warning"))
    return Finding(
        check=CHECK,
        metric="frechet_distance",
        title=f"Squared Frechet distance between generated and held-out samples, on the {report.real.layer} "
        f"(real against real: {reference.frechet:.4g})",
        value=subject.frechet,
        unit="squared features",
        interval=subject.frechet_interval,
        n=subject.generated,
        better="lower",
        protocol=report.protocol(layer=report.real.layer, classifier=report.context.classifier.digest[:12]),
        headline=True,
        evidence=(
            sample_grid(report.payload, report.context, bool(report.generator.conditions)),
            *notes,
            overview(report.measured, report.real.layer),
        ),
        cost=Cost(forward_passes=subject.generated),
    )


def _frechet_reference(report: Report) -> Finding:
    reference = report.measured["real"]
    known = "training samples" if report.real.copy_ground is not None else "another half of the evaluation samples"
    return Finding(
        check=CHECK,
        metric="frechet_reference",
        title=f"The same distance for real samples ({known}) against the held-out ones: what a perfect generator gets",
        value=reference.frechet,
        unit="squared features",
        interval=reference.frechet_interval,
        n=reference.generated,
        better="neither",
        protocol=report.protocol(layer=report.real.layer, classifier=report.context.classifier.digest[:12]),
    )


def _manifold(report: Report) -> list[Finding]:
    scores = report.subject.manifold
    rows = (
        ("precision", "generated samples that lie among real ones", scores.inside_real, scores.generated),
        ("recall", "real samples that lie among generated ones", scores.inside_generated, scores.real),
        ("coverage", "real neighbourhoods that hold a generated sample", scores.covered, scores.real),
    )
    protocol = report.protocol(layer=report.real.layer, classifier=report.context.classifier.digest[:12], k=5)
    found = [
        Finding(
            check=CHECK,
            metric=metric,
            title=f"Share of {words}",
            value=count / total,
            unit="share",
            interval=wilson(count, total),
            n=total,
            better="higher",
            protocol=protocol,
        )
        for metric, words, count, total in rows
    ]
    density = Finding(
        check=CHECK,
        metric="density",
        title="Real neighbourhoods per generated sample, relative to real samples (about 1 where the sets agree)",
        value=scores.density,
        n=scores.generated,
        better="higher",
        protocol=protocol,
    )
    return [*found[:2], density, found[2]]


def _agreement(report: Report) -> list[Finding]:
    subject, bench = report.subject, report.real.bench
    title = "Generated samples that an independent judge sees as the class asked for"
    if not bench.competent:
        return [not_assessed("class_agreement", title, incompetent(bench))]
    asked, agreed = np.array(subject.asked), np.array(subject.agreed)
    protocol = report.protocol(judge=bench.judge.name, judge_trained_on=bench.judge.trained_on)
    overall = Finding(
        check=CHECK,
        metric="class_agreement",
        title=f"{title} (the judge is right on {bench.right / bench.count:.3f} of real held-out samples)",
        value=float(agreed.sum() / asked.sum()),
        unit="share",
        interval=wilson(int(agreed.sum()), int(asked.sum())),
        n=int(asked.sum()),
        better="higher",
        protocol=protocol,
        headline=True,
        evidence=(agreement_bars(asked, agreed, bench.names),),
    )
    seen = np.flatnonzero(asked).tolist()
    worst = min(seen, key=lambda label: agreed[label] / asked[label])
    intervals = [wilson(int(agreed[label]), int(asked[label]), 1 - 0.05 / len(seen)) for label in seen]
    interval = Interval(
        low=min(item.low for item in intervals),
        high=min(item.high for item in intervals),
        method=f"wilson, Bonferroni over {len(seen)} classes",
    )
    lowest = Finding(
        check=CHECK,
        metric="class_agreement_worst",
        title=f"The same for the class where it is lowest ({bench.names[worst]})",
        value=float(agreed[worst] / asked[worst]),
        unit="share",
        interval=interval,
        n=int(asked[worst]),
        better="higher",
        protocol=protocol,
    )
    return [overall, lowest]


def _balance(report: Report) -> Finding:
    bench = report.real.bench
    title = "Largest difference of a class's share between generated and real samples, both named by the judge"
    if not bench.competent:
        return not_assessed("class_balance_gap", title, incompetent(bench))
    return _gap("class_balance_gap", title, np.array(report.subject.judged), bench, report, "class")


def _group_balance(column: str, bench: Bench, report: Report) -> Finding:
    title = f"Largest difference of a group's share ({column}) between generated and real samples, named by a judge"
    if not bench.competent:
        return not_assessed("group_balance_gap", title, incompetent(bench), group=column)
    counts = np.array(report.subject.group_counts[column])
    return _gap("group_balance_gap", title, counts, bench, report, column)


def _gap(metric: str, title: str, counts: np.ndarray, bench: Bench, report: Report, what: str) -> Finding:
    result = balance(counts, bench.real_counts)
    rough = "" if result.expected >= 5 else " (rough: an expected count is below 5)"
    return Finding(
        check=CHECK,
        metric=metric,
        parameters={} if what == "class" else {"group": what},
        title=f"{title}; test of equal shares: p = {result.p_value:.2g}{rough}",
        value=result.gap,
        unit="share",
        interval=result.interval,
        n=int(counts.sum()),
        better="lower",
        protocol=report.protocol(judge=bench.judge.name, judge_trained_on=bench.judge.trained_on),
        headline=what == "class",
        evidence=(balance_bars(counts, bench.real_counts, bench.names, what),),
    )


def _diversity(report: Report) -> Finding:
    title = "Variety within a class, generated over real, in the class where it is smallest"
    classes = list(report.subject.diversity)
    conditional = bool(report.generator.conditions)
    if not conditional and not report.real.bench.competent:
        return not_assessed("intra_class_diversity", title, incompetent(report.real.bench))
    if not classes:
        reason = f"No class has {FEWEST} generated and {FEWEST} real samples."
        return not_assessed("intra_class_diversity", title, reason)
    value, interval = smallest(classes)
    names = report.real.bench.names
    worst = min(classes, key=lambda item: item.ratio)
    left_out = len(names) - len(classes)
    more = f"; {left_out} classes had too few samples" if left_out else ""
    return Finding(
        check=CHECK,
        metric="intra_class_diversity",
        title=f"{title} ({names[worst.label]}{more}); 1 is as varied as reality, 0 is one image",
        value=value,
        unit="ratio of mean pairwise distances",
        interval=interval,
        n=sum(item.generated for item in classes),
        better="higher",
        protocol=report.protocol(layer=report.real.layer, classifier=report.context.classifier.digest[:12]),
        headline=True,
        evidence=(diversity_bars(classes, names),),
    )


def _judge(bench: Bench, what: str, report: Report) -> Finding:
    return Finding(
        check=CHECK,
        metric="judge_accuracy",
        parameters={"judge_of": what},
        title=f"Real held-out samples that the judge of {what} names rightly ({bench.judge.name})",
        value=bench.right / bench.count,
        unit="share",
        interval=wilson(bench.right, bench.count),
        n=bench.count,
        better="higher",
        protocol={"data": report.context.data.digest[:12], "judge_trained_on": bench.judge.trained_on},
    )
