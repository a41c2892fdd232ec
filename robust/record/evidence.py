"""What stands behind a finding: curves, tables, pictures, witnesses. Plain data, ready to be drawn or read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from robust.record.base import RecordModel

Cell = str | int | float | bool | None


class Band(RecordModel):
    """A 95 % band around a curve, one low and one high per point."""

    low: tuple[float, ...]
    high: tuple[float, ...]


class Curve(RecordModel):
    """One line of a plot."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    band: Band | None = None
    role: Literal["main", "control", "attack", "certificate", "reference"] = "main"
    """What the line stands for; the report draws controls dashed, and fills between certificate and attack."""


class CurvePlot(RecordModel):
    """A plot of curves over one axis. An attack and a certificate curve over the same axis make a sandwich."""

    kind: Literal["curves"] = "curves"
    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    caption: str = ""
    """How to read it, in a sentence."""


class Series(RecordModel):
    """One bar of a bar plot, with its interval if it has one."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    role: Literal["main", "control", "reference"] = "main"


class BarPlot(RecordModel):
    """Bars with intervals, for groups or classes."""

    kind: Literal["bars"] = "bars"
    title: str
    y_label: str
    series: tuple[Series, ...]
    y_range: tuple[float, float] | None = None
    caption: str = ""


class Table(RecordModel):
    """A table: the numbers behind a figure. Cells are text, numbers or None (drawn as a dash)."""

    kind: Literal["table"] = "table"
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marked: tuple[int, ...] = ()
    """Rows that are set off, by place: what differs, for example. The words of the row say it too."""
    caption: str = ""


class ImageItem(RecordModel):
    """One picture as PNG bytes in base64; at most 128 pixels a side."""

    png: str
    width: int
    height: int
    caption: str = ""
    alt: str
    """What the picture shows, for somebody who cannot see it."""


class Images(RecordModel):
    """A gallery: rows of pictures, for example original, perturbation (amplified), adversarial."""

    kind: Literal["images"] = "images"
    title: str
    columns: tuple[str, ...] = ()
    """Headings when every row has the same meaning per place; otherwise empty and the pictures flow."""
    rows: tuple[tuple[ImageItem, ...], ...]
    caption: str = ""


class Note(RecordModel):
    """A paragraph: a limitation, an assumption, how a number was made."""

    kind: Literal["note"] = "note"
    text: str
    level: Literal["info", "warning"] = "info"


class Witness(RecordModel):
    """Concrete inputs kept beside the record, by reference."""

    kind: Literal["witness"] = "witness"
    title: str
    path: str
    """Relative to the run directory."""
    sha256: str
    count: int
    caption: str = ""


class ProofFile(RecordModel):
    """One statement about the subject that is proved, with the file that proves it."""

    statement: str
    """What is proved, of which sample."""
    engine: str
    """Which engine found the proof."""
    real: Literal["verified", "unknown"]
    """Whether it holds over the real numbers."""
    deployed: Literal["verified", "unknown"]
    """Whether it holds in every float32 run of the operation graph."""
    checked_by: str
    """Who established it again: ``robust check: valid``, or why nobody did."""
    path: str
    """Of the proof, relative to the run directory; empty where there is no file."""
    sha256: str
    query: str
    """Of the question (VNN-LIB), relative to the run directory."""
    query_sha256: str
    size: int
    """Bytes of the proof."""


class Proofs(RecordModel):
    """Proofs kept beside the record, by reference."""

    kind: Literal["proofs"] = "proofs"
    title: str
    model: str
    """Name of the model file that they speak of."""
    model_sha256: str
    files: tuple[ProofFile, ...]
    caption: str = ""


class DecidedBar(RecordModel):
    """One radius: what became of each sample, in the order of ``Decisions.samples``."""

    label: str
    """The radius, as a number in input units."""
    verdicts: tuple[Literal["proved", "broken", "undecided"], ...]
    engines: tuple[str, ...]
    """Who decided it: ``misclassified`` (nobody had to), ``attack``, a method of bounds (``interval``, ``crown``,
    ``alpha-crown``, ...), ``branch and bound``, ``smt``; empty where it is undecided."""
    seconds: tuple[float, ...]
    """What all engines together took for it until then, a block's samples sharing alike. Differs from run to run."""


class Decisions(RecordModel):
    """Which engine decided which sample at which radius, and after how long."""

    kind: Literal["decisions"] = "decisions"
    title: str
    bar_label: str
    """What the labels of the bars are."""
    samples: tuple[str, ...]
    bars: tuple[DecidedBar, ...]
    caption: str = ""


Evidence = Annotated[
    CurvePlot | BarPlot | Decisions | Table | Images | Note | Witness | Proofs, Field(discriminator="kind")
]
