"""Figures, tables and pictures of out-of-distribution detection, ready for the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from robust.ood.metrics import Measured
from robust.ood.panel import WORDS
from robust.record import BarPlot, Curve, CurvePlot, ImageItem, Images, Series, Table, image_item
from robust.record.evidence import Cell

HISTOGRAM_BINS = 30


def histogram_plot(detector: str, normal: NDArray[np.float64], others: Mapping[str, NDArray[np.float64]]) -> CurvePlot:
    """Scores of the data and of every set. Outermost bins hold everything beyond, so one far set hides no other."""
    low, high = np.quantile(normal, [0.005, 0.995])
    width = max(float(high - low), 1e-12)
    edges = np.linspace(low - 1.5 * width, high + 1.5 * width, HISTOGRAM_BINS + 1)
    centres = tuple(float(value) for value in (edges[:-1] + edges[1:]) / 2)

    def shares(scores: NDArray[np.float64]) -> tuple[float, ...]:
        counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), bins=edges)
        return tuple(float(value) for value in counts / max(1, len(scores)))

    curves = [Curve(label="the data", x=centres, y=shares(normal), role="reference")]
    curves += [Curve(label=name, x=centres, y=shares(scores)) for name, scores in others.items()]
    return CurvePlot(
        title=f"{WORDS[detector]}: scores",
        x_label="score (higher: more abnormal)",
        y_label="share of the set",
        curves=tuple(curves),
        caption="Share of each set per bin; the first and the last bin hold everything beyond them. Overlap with the "
        "data cannot be told apart.",
    )


def area_plot(detector: str, sets: Mapping[str, tuple[str, Measured]]) -> BarPlot:
    """AUROC on every set: name -> (family, measured)."""
    series = [
        Series(label=f"{name} ({family})", value=found.value, low=found.interval.low, high=found.interval.high)
        for name, (family, found) in sets.items()
    ]
    return BarPlot(
        title=f"{WORDS[detector]}: AUROC on every set",
        y_label="AUROC",
        series=(*series, Series(label="a coin", value=0.5, role="reference")),
        y_range=(0.0, 1.0),
        caption="Below one half the detector trusts the abnormal more than the normal. 95 % intervals.",
    )


def panel_table(rows: Sequence[tuple[str, str, str, Mapping[str, Measured]]]) -> Table:
    """Every detector on every set: (detector, set, family, metrics)."""
    cells: list[tuple[Cell, ...]] = []
    for detector, name, family, found in rows:
        area, rate = found["auroc"], found["fpr95"]
        cells.append(
            (
                WORDS[detector],
                name,
                family,
                area.value,
                area.interval.low,
                area.interval.high,
                found["aupr_out"].value,
                found["aupr_in"].value,
                rate.value,
                rate.interval.low,
                rate.interval.high,
            )
        )
    return Table(
        title="The panel",
        columns=(
            "detector",
            "set",
            "family",
            "AUROC",
            "low",
            "high",
            "AUPR, abnormal positive",
            "AUPR, normal positive",
            "FPR at 95 % accepted",
            "low",
            "high",
        ),
        rows=tuple(cells),
        caption="95 % intervals: stratified bootstrap, widened to a score interval.",
    )


def example_images(
    sets: Mapping[str, Mapping[str, NDArray[np.floating]]],
    names: Sequence[str],
    lower: NDArray[np.floating],
    upper: NDArray[np.floating],
) -> Images:
    """One row per set: its first inputs and what the model calls them.

    Args:
        sets: name -> ``examples [k, *shape]``, ``answers [k]`` and ``confidences [k]``.
        names: of the classes.
        lower: lower end of the input box.
        upper: upper end.
    """
    rows: list[tuple[ImageItem, ...]] = []
    width = np.maximum(upper - lower, 1e-12)
    for name, held in sets.items():
        row = []
        for picture, answer, confidence in zip(held["examples"], held["answers"], held["confidences"], strict=True):
            said = f"called {names[int(answer)]} with {float(confidence):.1%}"
            row.append(image_item((picture - lower) / width, alt=f"{name}, {said}", caption=f"{name}: {said}"))
        rows.append(tuple(row))
    return Images(
        title="What the abnormal inputs look like, and what the model calls them",
        rows=tuple(rows),
        caption="The first inputs of every set, not picked.",
    )
