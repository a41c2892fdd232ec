"""Maps beside their samples, and the insertion and deletion curves of the check ``explanations``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robust.audit.check import Context, Payload
from robust.audit.pictures import as_heat, as_picture, is_picture
from robust.record import Curve, CurvePlot, Evidence, ImageItem, Images, Note, Table, image_item

FEATURES = 20
"""Features of a table shown at most."""


def evidence_of(
    made: Mapping[str, Payload],
    random: Payload,
    names: Mapping[str, str],
    refused: Mapping[str, str],
    indices: Sequence[int],
    limit: int,
    context: Context,
) -> tuple[Evidence, ...]:
    """What the first finding carries: a gallery (or a table of features), the curves, what could not be asked."""
    notes = [Note(text=reason) for reason in dict.fromkeys(refused.values())]
    two_dimensional = np.asarray(next(iter(made.values()))["maps"]).ndim == 3
    shown = [_gallery(made, names, indices[:limit], context)] if two_dimensional and limit else []
    tables = [] if two_dimensional else [_features(made, names, context)]
    curves = [_curves(made, random, names, which) for which in ("insertion", "deletion")]
    return (*notes, *shown, *tables, *curves)


def _gallery(made: Mapping[str, Payload], names: Mapping[str, str], indices: Sequence[int], context: Context) -> Images:
    drawn, classes = is_picture(context.classifier.input_shape), context.classifier.class_names
    rows = []
    for place, index in enumerate(indices):
        answer = classes[int(context.predictions[index])]
        row: list[ImageItem] = []
        if drawn:
            picture = as_picture(context.data.samples[index], context.classifier.input_box)
            label = classes[int(context.data.labels[index])]
            caption = answer if answer == label else f"{answer} (it is {label})"
            row.append(image_item(picture, alt=f"sample {index}, answered {caption}", caption=caption))
        for method, payload in made.items():
            heat = as_heat(np.asarray(payload["maps"][place]))
            row.append(image_item(heat, alt=f"map by {names[method]} for the answer {answer}, sample {index}"))
        rows.append(tuple(row))
    return Images(
        title="Where the model looks",
        columns=(*(("sample",) if drawn else ()), *(names[method] for method in made)),
        rows=tuple(rows),
        caption="For the model's answer. Red speaks for it, blue against it; each map has its own scale.",
    )


def _features(made: Mapping[str, Payload], names: Mapping[str, str], context: Context) -> Table:
    maps = {method: np.asarray(payload["maps"], dtype=np.float64) for method, payload in made.items()}
    sizes = {method: np.abs(m.reshape(len(m), -1)).mean(0) for method, m in maps.items()}
    first = next(iter(sizes.values()))
    labels = context.data.feature_names
    labels = labels if len(labels) == len(first) else tuple(f"x{i}" for i in range(len(first)))
    order = np.argsort(-first, kind="stable")[:FEATURES]
    hidden = f" The largest {FEATURES} of {len(first)}." if len(first) > FEATURES else ""
    return Table(
        title="What each feature contributes",
        columns=("feature", *(names[m] for m in sizes)),
        rows=tuple((labels[i], *(float(f"{size[i]:.4g}") for size in sizes.values())) for i in order),
        caption=f"Mean absolute contribution to the logit of the model's answer.{hidden}",
    )


def _curves(made: Mapping[str, Payload], random: Payload, names: Mapping[str, str], which: str) -> CurvePlot:
    lines = [(names[method], payload) for method, payload in made.items()]
    best, moved = ("highest", "shown") if which == "insertion" else ("lowest", "hidden")
    return CurvePlot(
        title=which.capitalize(),
        x_label=f"share of places {moved}",
        y_label="confidence in the answer, mean",
        curves=(
            *(Curve(label=name, x=tuple(p["shares"]), y=tuple(p[which])) for name, p in lines),
            Curve(label="random maps", x=tuple(random["shares"]), y=tuple(random[which]), role="control"),
        ),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        caption=f"Places are {moved} in the order of the map; what is hidden is the data's mean. The {best} is best.",
    )
