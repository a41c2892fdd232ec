"""Figures and tables of accuracy and calibration, ready for the record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robust.calibration.confusion import ClassCounts
from robust.calibration.reliability import ReliabilityBin
from robust.record import Band, BarPlot, Curve, CurvePlot, Series, Table
from robust.record.evidence import Cell
from robust.statistics import wilson

WHOLE_MATRIX = 12
BARS = 40


def reliability_plot(curve: Sequence[ReliabilityBin]) -> CurvePlot:
    """Accuracy over confidence with Wilson bands; the diagonal is perfect calibration."""
    main = Curve(
        label="observed",
        x=tuple(item.confidence for item in curve),
        y=tuple(item.accuracy for item in curve),
        band=Band(low=tuple(item.interval.low for item in curve), high=tuple(item.interval.high for item in curve)),
    )
    diagonal = Curve(label="perfectly calibrated", x=(0.0, 1.0), y=(0.0, 1.0), role="reference")
    return CurvePlot(
        title="Reliability: how often is an answer of this confidence right?",
        x_label="mean confidence of the bin",
        y_label="share of right answers",
        curves=(main, diagonal),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        caption="Below the diagonal the model claims more than it delivers. The bands are 95 % Wilson intervals.",
    )


def reliability_table(curve: Sequence[ReliabilityBin]) -> Table:
    """The numbers behind ``reliability_plot``."""
    return Table(
        title="Reliability by bin of confidence",
        columns=("bin", "samples", "mean confidence", "accuracy", "low", "high"),
        rows=tuple(
            (
                f"{item.low:.3f}-{item.high:.3f}",
                item.count,
                item.confidence,
                item.accuracy,
                item.interval.low,
                item.interval.high,
            )
            for item in curve
        ),
        caption="Equal-width bins; empty bins are left out. 95 % Wilson intervals.",
    )


def class_plot(names: Sequence[str], counts: Sequence[ClassCounts], overall: float) -> BarPlot:
    """Recall per class, the worst first where there are many classes; the overall accuracy as reference."""
    present = [index for index, count in enumerate(counts) if count.actual]
    if len(present) > BARS:
        present = sorted(present, key=lambda index: counts[index].right / counts[index].actual)[:BARS]
    series = [Series(label="all samples", value=overall, role="reference")]
    for index in present:
        interval = wilson(counts[index].right, counts[index].actual)
        value = counts[index].right / counts[index].actual
        series.append(Series(label=names[index], value=value, low=interval.low, high=interval.high))
    shown = f" The {BARS} lowest of {len(counts)} classes." if len(counts) > BARS else ""
    return BarPlot(
        title="Accuracy per class",
        y_label="share of the class recognised",
        series=tuple(series),
        y_range=(0.0, 1.0),
        caption=f"Recall of each class with its 95 % Wilson interval.{shown}",
    )


def class_table(names: Sequence[str], counts: Sequence[ClassCounts]) -> Table:
    """Recall and precision of every class."""
    rows: list[tuple[Cell, ...]] = []
    for name, count in zip(names, counts, strict=True):
        recall = wilson(count.right, count.actual) if count.actual else None
        precision = wilson(count.right, count.predicted) if count.predicted else None
        rows.append(
            (
                name,
                count.actual,
                count.recall,
                recall.low if recall else None,
                recall.high if recall else None,
                count.predicted,
                count.precision,
                precision.low if precision else None,
                precision.high if precision else None,
            )
        )
    return Table(
        title="Recall and precision per class",
        columns=("class", "samples", "recall", "low", "high", "times answered", "precision", "low", "high"),
        rows=tuple(rows),
        caption="95 % Wilson intervals. A dash: the class has no sample, or was never the answer.",
    )


def confusion_table(names: Sequence[str], matrix: NDArray[np.int64], top: int = 20) -> Table:
    """The whole matrix for few classes, the most frequent confusions for many."""
    if len(names) <= WHOLE_MATRIX:
        return Table(
            title="Confusion matrix",
            columns=("truth \\ answer", *names),
            rows=tuple((name, *map(int, row)) for name, row in zip(names, matrix, strict=True)),
            caption="Rows are true classes, columns answers, cells numbers of samples.",
        )
    errors = matrix.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:top]
    rows: list[tuple[Cell, ...]] = []
    for flat in order:
        truth, answer = divmod(int(flat), len(names))
        if errors[truth, answer]:
            share = float(errors[truth, answer] / matrix[truth].sum())
            rows.append((names[truth], names[answer], int(errors[truth, answer]), share))
    return Table(
        title="Most frequent confusions",
        columns=("truth", "answer", "samples", "share of the class"),
        rows=tuple(rows),
        caption=f"The {len(rows)} most frequent of {int((errors > 0).sum())} kinds of error.",
    )


def reference_plot(accuracy: Series, majority: float, chance: float) -> BarPlot:
    """The model beside answers that need no model."""
    return BarPlot(
        title="Accuracy beside answers that need no model",
        y_label="share of right answers",
        series=(
            accuracy,
            Series(label="always the most frequent class", value=majority, role="reference"),
            Series(label="a fair die", value=chance, role="reference"),
        ),
        y_range=(0.0, 1.0),
        caption="The interval is 95 % Wilson.",
    )
