"""Gallery, curves and tables of the check ``fooling``."""

from __future__ import annotations

import numpy as np

from robust.audit.check import Context, Payload
from robust.audit.fooling_names import METHOD_NAMES
from robust.audit.pictures import as_picture, is_picture
from robust.record import Curve, CurvePlot, Evidence, Images, Note, Table, image_item
from robust.subjects.protocols import Classifier

POINTS = 60
"""Points of a curve at most."""

FEATURES = 12
"""Features of a fooling row shown at most."""


def gallery(
    made: dict[str, Payload], limit: int, classifier: Classifier, features: tuple[str, ...] = ()
) -> list[Evidence]:
    """One gallery, class by method; a table of features where inputs are no pictures."""
    first = next(iter(made.values()))
    count = min(limit, len(first["targets"]))
    if count == 0:
        return []
    evidence: list[Evidence] = []
    if count < len(first["targets"]):
        evidence.append(Note(text=f"The gallery shows {count} of {len(first['targets'])} classes; the table has all."))
    if is_picture(tuple(classifier.input_shape)):
        return [*evidence, _pictures(made, count, classifier)]
    return [*evidence, _features(made, count, classifier, features)]


def _pictures(made: dict[str, Payload], count: int, classifier: Classifier) -> Images:
    box, names = classifier.input_box, classifier.class_names
    rows = []
    for place in range(count):
        row = []
        for method, payload in made.items():
            name = names[int(payload["targets"][place])]
            caption = f"{name} at {_share(float(payload['confidences'][place]))}"
            picture = as_picture(np.asarray(payload["inputs"][place]), box)
            alt = f"fooling image by {METHOD_NAMES[method]}, class {caption}"
            row.append(image_item(picture, alt=alt, caption=caption))
        rows.append(tuple(row))
    return Images(
        title="Fooling images",
        columns=tuple(METHOD_NAMES[method] for method in made),
        rows=tuple(rows),
        caption="One image per class and method, with the model's confidence in that class.",
    )


def _features(made: dict[str, Payload], count: int, classifier: Classifier, features: tuple[str, ...]) -> Table:
    names, width = classifier.class_names, int(np.prod(classifier.input_shape))
    labels = features if len(features) == width else tuple(f"x{i}" for i in range(width))
    rows = []
    for method, payload in made.items():
        for place in range(count):
            values = np.asarray(payload["inputs"][place]).ravel()[:FEATURES]
            rows.append(
                (
                    METHOD_NAMES[method],
                    names[int(payload["targets"][place])],
                    round(float(payload["confidences"][place]), 6),
                    *(float(f"{value:.4g}") for value in values),
                )
            )
    hidden = f" The first {FEATURES} of {width} features." if width > FEATURES else ""
    return Table(
        title="Fooling inputs",
        columns=("method", "class", "confidence", *labels[:FEATURES]),
        rows=tuple(rows),
        caption=f"In input units.{hidden}",
    )


def progress(made: dict[str, Payload]) -> CurvePlot:
    """Median confidence over the inputs shown to the model."""
    curves = []
    for method, payload in made.items():
        history = payload["history"]
        picked = sorted({int(i) for i in np.linspace(0, len(history) - 1, min(POINTS, len(history)))})
        curves.append(
            Curve(
                label=METHOD_NAMES[method],
                x=tuple(float(history[i][0]) for i in picked),
                y=tuple(float(history[i][2]) for i in picked),
                role="attack",
            )
        )
    return CurvePlot(
        title="How fast the model is fooled",
        x_label="inputs shown to the model",
        y_label="confidence, median over classes",
        curves=tuple(curves),
        y_range=(0.0, 1.0),
        caption="The best input of each class so far.",
    )


def per_class(made: dict[str, Payload], noise: Payload, context: Context) -> Table:
    """The numbers per class."""
    names = context.classifier.class_names
    columns = ["class"]
    for method in made:
        short = METHOD_NAMES[method]
        columns += [f"{short}: confidence", f"{short}: inputs shown until fooled", f"{short}: distance to data"]
    rows = []
    targets = next(iter(made.values()))["targets"]
    for place, target in enumerate(targets):
        row: list[str | float | int | None] = [names[int(target)]]
        for payload in made.values():
            reached = int(payload["reached"][place])
            row += [
                round(float(payload["confidences"][place]), 6),
                reached if reached >= 0 else None,
                float(f"{float(payload['nearest'][place]):.4g}"),
            ]
        rows.append((*row, round(float(noise["confidences"][place]), 6)))
    return Table(
        title="Fooling inputs per class",
        columns=(*columns, "best of random inputs (control)"),
        rows=tuple(rows),
        caption="A dash: the wanted confidence was not reached within the budget.",
    )


def _share(value: float) -> str:
    return f"{value:.4f}" if value < 0.99995 else "0.9999+"
