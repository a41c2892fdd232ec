"""From who is right under which corruption to findings, with curves, a table and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.audit.check import Context, Payload, Results
from robust.audit.pictures import as_change, as_picture
from robust.properties.corruptions import GROUPS
from robust.record import Band, Curve, CurvePlot, Evidence, Finding, ImageItem, Images, Outcome, Table, image_item
from robust.record.evidence import Cell
from robust.record.finding import Interval
from robust.statistics import bootstrap_batched, hull, wilson

CONTROL = "none"
"""Name of the shard that changes nothing."""

STILL = 1e-5
"""How far severity 0 may move a picture, in shares of the box: rounding there and back."""


def findings(results: Results, images: int, resamples: int, context: Context) -> list[Finding]:
    """The mean corruption error first, then one finding per corruption and severity, then the control."""
    control = next(payload for shard, payload in results if shard.parameters["corruption"] == CONTROL)
    cells = [pair for pair in results if pair[0].parameters["corruption"] != CONTROL]
    errors = np.concatenate([~np.asarray(payload["right"], dtype=bool) for _, payload in cells]).mean(0)
    clean = np.asarray(control["right"], dtype=bool)[0]
    severities = ", ".join(str(severity) for severity in cells[0][0].parameters["severities"])
    evidence: list[Evidence] = [*_plots(cells, clean), _table(cells), *_gallery(cells, images, context)]
    mean = Finding(
        check="corruptions",
        metric="mean_corruption_error",
        title=f"Share of wrong answers, on average over {len(cells)} corruptions at severities {severities}",
        value=float(errors.mean()),
        unit="share",
        interval=_interval(errors, resamples, context),
        n=len(errors),
        better="lower",
        protocol={"severities": severities, "corruptions": len(cells), "clean_error": float(1 - clean.mean())},
        headline=True,
        evidence=tuple(evidence),
    )
    return [mean, *_accuracies(cells), _control(control, clean, cells[0][0].indices, context)]


def _accuracies(cells: Results) -> list[Finding]:
    found = []
    for shard, payload in cells:
        name = str(shard.parameters["corruption"])
        right = np.asarray(payload["right"], dtype=bool)
        for row, severity in enumerate(shard.parameters["severities"]):
            found.append(
                Finding(
                    check="corruptions",
                    metric="accuracy_under_corruption",
                    parameters={"corruption": name, "severity": int(severity)},
                    title=f"Accuracy under {_words(name)} of severity {severity}",
                    value=float(right[row].mean()),
                    unit="share",
                    interval=wilson(int(right[row].sum()), right.shape[1]),
                    n=right.shape[1],
                    better="higher",
                )
            )
    return found


def _interval(errors: NDArray[np.float64], resamples: int, context: Context) -> Interval:
    """Bootstrap over samples, whose errors under all corruptions go together; where all are alike, Wilson's as well."""
    made = bootstrap_batched(
        lambda drawn: errors[drawn].mean(1), len(errors), context.rng("corruptions", "bootstrap"), resamples
    )
    rate = float(errors.mean())
    return hull(made, wilson(round(rate * len(errors)), len(errors))) if made.low == made.high else made


def _plots(cells: Results, clean: NDArray[np.bool_]) -> list[CurvePlot]:
    plots = []
    for group, members in GROUPS.items():
        curves = [_curve(shard.parameters, payload, clean) for shard, payload in cells if shard.name in members]
        if curves:
            plots.append(
                CurvePlot(
                    title=f"Accuracy under corruption: {group}",
                    x_label="severity",
                    y_label="accuracy",
                    curves=tuple(curves),
                    y_range=(0.0, 1.0),
                    caption="Severity 0 is the picture as it is. Bands are 95 % intervals.",
                )
            )
    return plots


def _curve(parameters: Any, payload: Payload, clean: NDArray[np.bool_]) -> Curve:
    right = np.concatenate([clean[None], np.asarray(payload["right"], dtype=bool)])
    limits = [wilson(int(row.sum()), len(row)) for row in right]
    return Curve(
        label=_words(str(parameters["corruption"])),
        x=(0.0, *(float(severity) for severity in parameters["severities"])),
        y=tuple(float(value) for value in right.mean(1)),
        band=Band(low=tuple(limit.low for limit in limits), high=tuple(limit.high for limit in limits)),
    )


def _table(cells: Results) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for shard, payload in cells:
        right, moved = np.asarray(payload["right"], dtype=bool), np.asarray(payload["moved"])
        accuracies = [float(value) for value in right.mean(1)]
        rows.append((_words(shard.name), *accuracies, float(1 - right.mean()), float(moved[-1].mean())))
    severities = cells[0][0].parameters["severities"]
    columns = ("corruption", *(f"accuracy, severity {s}" for s in severities), "mean error", "change at the strongest")
    caption = "Change: root of the mean square over a picture, in shares of the input range, on average over pictures."
    return Table(title="Corruption by corruption", columns=columns, rows=tuple(rows), caption=caption)


def _gallery(cells: Results, images: int, context: Context) -> list[Images]:
    """Of the corruptions with the largest errors: the picture that the least severity breaks, most surely."""
    hits = [pair for pair in cells if pair[1]["worst"] is not None]
    hits.sort(key=lambda pair: (float(np.asarray(pair[1]["right"]).mean()), pair[0].name))
    rows = [_pictures(shard.name, payload["worst"], context) for shard, payload in hits[:images]]
    if not rows:
        return []
    columns = ("sample", "corrupted, and what the model says", "change, amplified")
    return [Images(title="Worst pictures of the worst corruptions", columns=columns, rows=tuple(rows))]


def _pictures(name: str, worst: Payload, context: Context) -> tuple[ImageItem, ...]:
    names, box = context.classifier.class_names, context.classifier.input_box
    sample = context.data.samples[worst["index"]]
    made = np.asarray(worst["picture"], dtype=np.float32).reshape(sample.shape)
    change, factor = as_change(sample, made, box)
    label, answer = names[int(context.data.labels[worst["index"]])], names[worst["answer"]]
    said = f"{_words(name)}, severity {worst['severity']}"
    return (
        image_item(as_picture(sample, box), alt=f"the sample, {label}", caption=label),
        image_item(
            as_picture(made, box),
            alt=f"{said}: answered {answer}",
            caption=f"{answer} ({worst['confidence']:.0%}): {said}",
        ),
        image_item(change, alt="the change, grey where there is none", caption=f"change x {factor:g}"),
    )


def _control(control: Payload, clean: NDArray[np.bool_], indices: tuple[int, ...], context: Context) -> Finding:
    """Severity 0 goes all the way there and back and must be the picture, and answered as the picture is."""
    places = np.asarray(indices, dtype=np.int64)
    before = context.predictions[places] == context.data.labels[places]
    changed, moved = int((before != clean).sum()), float(np.asarray(control["moved"]).max())
    good = moved <= STILL and changed <= len(places) // 100
    return Finding(
        check="corruptions",
        metric="identity_control",
        title="Samples of which severity 0, no corruption at all, changes whether the answer is right",
        value=float(changed),
        unit="samples",
        n=len(places),
        better="lower",
        control=True,
        outcome=Outcome.PASS if good else Outcome.FAIL,
        reason=f"severity 0 changes {changed} of {len(places)} samples and moves none by more than {moved:.2g}",
    )


def _words(name: str) -> str:
    return name.replace("_", " ").replace("jpeg", "JPEG")
