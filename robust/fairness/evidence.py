"""Figures and tables of group fairness, ready for the record."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from robust.fairness.assessment import Assessment
from robust.fairness.group_frame import GroupCounts
from robust.record import Band, BarPlot, Curve, CurvePlot, Series, Table
from robust.record.evidence import Cell
from robust.statistics import wilson

BARS = 40
NORM_NAMES = {"linf": "L-inf", "l2": "L2"}


def group_plot(item: Assessment) -> BarPlot:
    """One bar per group; groups that are too small are there too, and say so."""
    series: list[Series] = []
    for name, hits, size in zip(item.counts.names, item.counts.hits, item.counts.sizes, strict=True):
        if size and len(series) < BARS:
            interval = wilson(int(hits), int(size))
            few = "" if name in item.eligible.names else ", too few"
            label = f"{name} (n={size}{few})"
            series.append(Series(label=label, value=float(hits / size), low=interval.low, high=interval.high))
    return BarPlot(
        title=f"{item.question.title} by {item.frame.column}",
        y_label="share",
        series=tuple(series),
        y_range=(0.0, 1.0),
        caption="95 % Wilson interval of each group for itself."
        + (f" The first {BARS} of {len(item.counts.names)} groups." if len(item.counts.names) > BARS else ""),
    )


def group_table(items: Sequence[Assessment]) -> Table:
    """Every group in every question of one column."""
    rows: list[tuple[Cell, ...]] = []
    for item in items:
        for name, hits, size in zip(item.counts.names, item.counts.hits, item.counts.sizes, strict=True):
            interval = wilson(int(hits), int(size)) if size else None
            rows.append(
                (
                    item.question.label,
                    name,
                    int(size),
                    int(hits),
                    float(hits / size) if size else None,
                    interval.low if interval else None,
                    interval.high if interval else None,
                    "yes" if name in item.eligible.names else "too few",
                )
            )
    return Table(
        title=f"Rates by {items[0].frame.column}",
        columns=("rate", "group", "samples", "hits", "share", "low", "high", "compared"),
        rows=tuple(rows),
        caption="95 % Wilson intervals of each group for itself.",
    )


def gap_table(items: Sequence[Assessment]) -> Table:
    """Every gap with its interval and its p-values."""
    rows: list[tuple[Cell, ...]] = []
    for item in items:
        gap = item.gap
        rows.append(
            (
                item.frame.column,
                item.question.label,
                gap.highest if gap else None,
                gap.lowest if gap else None,
                gap.value if gap else None,
                gap.interval.low if gap else None,
                gap.interval.high if gap else None,
                None if isnan(item.p_value) else item.p_value,
                None if isnan(item.adjusted) else item.adjusted,
            )
        )
    return Table(
        title="Largest gaps between groups",
        columns=("column", "rate", "highest", "lowest", "gap", "low", "high", "p", "p, Holm"),
        rows=tuple(rows),
        caption="Interval: Newcombe on all pairs of groups at once, 95 %. p: permutation of the groups.",
    )


def attack_plots(items: Sequence[Assessment], norm: str) -> tuple[CurvePlot, ...]:
    """Accuracy of each group under the worst attack over epsilon, and certified accuracy, for one norm of one column.

    Two plots, because an attack and a certificate curve in one plot are read as bounds of one truth (a sandwich), and
    groups are different samples: what is certified of one may well lie above what an attack leaves of another.
    """
    return tuple(
        plot
        for metric, role, words in (
            ("robust_accuracy", "attack", "accuracy under the worst attack"),
            ("certified_accuracy", "certificate", "certified accuracy"),
        )
        if (plot := _plot(items, norm, metric, role, words)) is not None
    )


def _plot(items: Sequence[Assessment], norm: str, metric: str, role: str, words: str) -> CurvePlot | None:
    of_norm = [
        (float(dict(item.question.parameters)["epsilon"]), item.counts)
        for item in items
        if item.question.rate.name == metric and dict(item.question.parameters).get("norm") == norm
    ]
    curves = []
    for place, name in enumerate(items[0].counts.names):
        points = sorted(
            ((epsilon, counts) for epsilon, counts in of_norm if counts.sizes[place]), key=lambda pair: pair[0]
        )
        if points:
            curves.append(_group_curve(name, points, place, role))
    if not curves:
        return None
    ball = NORM_NAMES.get(norm, norm)
    return CurvePlot(
        title=f"Who bears the attacks? {words[0].upper()}{words[1:]} by {items[0].frame.column}, {ball}",
        x_label=f"epsilon ({ball}, input units)",
        y_label="share of the group",
        curves=tuple(curves),
        y_range=(0.0, 1.0),
        caption=f"Each group's {words}; bands are 95 % Wilson intervals of each group for itself.",
    )


def _group_curve(label: str, points: Sequence[tuple[float, GroupCounts]], place: int, role: str) -> Curve:
    limits = [wilson(int(counts.hits[place]), int(counts.sizes[place])) for _, counts in points]
    return Curve(
        label=label,
        x=tuple(epsilon for epsilon, _ in points),
        y=tuple(float(counts.hits[place] / counts.sizes[place]) for _, counts in points),
        band=Band(low=tuple(item.low for item in limits), high=tuple(item.high for item in limits)),
        role="attack" if role == "attack" else "certificate",
    )
