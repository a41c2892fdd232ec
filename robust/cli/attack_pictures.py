"""``robust attack --pictures``: what broke the model, beside what it was made from, as one page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.evidence_page import render_evidence_page
from reports.text import one_line
from robust.audit.pictures import as_change, as_picture, is_picture
from robust.audit.run_directory import keep_file
from robust.cli.attack_report import identifier
from robust.errors import UsageError
from robust.record import Evidence, ImageItem, Images, Note, image_item

if TYPE_CHECKING:
    from robust.audit.check import Context

Witness = tuple[str, int, NDArray[np.float32], int]
"""What broke it, the sample's place, the input, the answer to it."""
MOST = 24
"""Witnesses of each attack or change that are shown."""


def write_pictures(context: Context, witnesses: Iterable[Witness], title: str, path: Path) -> None:
    """A page with sample, witness and difference of each.

    Raises:
        UsageError: inputs are no pictures.
        StoreError: it cannot be written.
    """
    classifier, data = context.classifier, context.data
    shape = tuple(classifier.input_shape)
    if not is_picture(shape):
        raise UsageError("--pictures needs a model of pictures", wanted="inputs [C, H, W] or [H, W]", got=list(shape))
    found, names = list(witnesses), classifier.class_names
    groups: dict[str, list[tuple[ImageItem, ...]]] = {}
    for by, index, point, answer in found:
        rows = groups.setdefault(one_line(by), [])
        if len(rows) == MOST:
            continue
        label, told = one_line(names[int(data.labels[index])]), one_line(names[answer])
        name = one_line(identifier(context, index))
        change, factor = as_change(data.samples[index], point, classifier.input_box)
        box = classifier.input_box
        rows.append(
            tuple(
                image_item(picture, alt=alt, caption=caption)
                for picture, alt, caption in (
                    (as_picture(data.samples[index], box), f"sample {name}, class {label}", f"{name}: {label}"),
                    (as_picture(point, box), f"changed sample {name}, answered {told}", f"answered {told}"),
                    (change, f"what changed in sample {name}", f"times {factor:g}"),
                )
            )
        )
    lines = [f"{len(found)} witnesses, each replayed on the deployed model."]
    if len(found) > sum(map(len, groups.values())):
        lines.append(f"The first {MOST} of each are shown.")
    columns = ("sample", "witness", "change")
    evidence: list[Evidence] = [
        Images(title=by, columns=columns, rows=tuple(rows), caption="Changes are drawn around middle grey.")
        for by, rows in groups.items()
    ]
    if not evidence:
        evidence.append(Note(text="Nothing was broken. That proves nothing: see robust verify."))
    keep_file(path, render_evidence_page(title, lines, evidence).encode())
