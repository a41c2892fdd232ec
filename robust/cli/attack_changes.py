"""``robust attack --change``: which samples break under rotation, light, colour, blur, ...; tables, JSON, witnesses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reports.text import one_line
from robust.cli.attack_report import (
    COUNTED,
    Rate,
    cells_of,
    identifier,
    identity,
    keep_document,
    keep_witness_file,
    print_end,
    rate_of,
    write_table,
)
from robust.subjects import box_in_words

if TYPE_CHECKING:
    from robust.audit.changing import ChangedSamples, ChangesRun


def rate(run: ChangesRun, found: ChangedSamples) -> Rate:
    """How one change went."""
    return rate_of(run.wrong, found.attacked, found.broken)


def print_changes(run: ChangesRun) -> None:
    """A row per change, on standard output."""
    out, classifier, data = sys.stdout, run.context.classifier, run.context.data
    out.write(f"{one_line(classifier.name)} on {one_line(data.name)}: {len(data)} samples, ")
    out.write(f"pictures kept in the box {box_in_words(classifier.input_box)}\n")
    out.write("every witness was replayed on the deployed model\n\n")
    rates, cells = [rate(run, found) for found in run.done], []
    for found, each in zip(run.done, rates, strict=True):
        ranges = ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in found.words.items())
        cells.append([found.text, *cells_of(each), ranges])
    write_table(["change", *COUNTED, "accuracy under change", "ranges"], cells)
    out.write("\n")
    forward, backward = (sum(getattr(each, name) for each in run.done) for name in ("forward", "backward"))
    print_end(run.context, rates, forward, backward, run.seconds, run.notes)


def write_changes_json(run: ChangesRun, status: int, path: Path) -> None:
    """Everything as one JSON document.

    Raises:
        StoreError: it cannot be written.
    """
    data = run.context.data
    document = {
        **identity(run.context),
        "complete": run.complete,
        "exit_status": status,
        "changes": [
            {
                "change": found.text,
                "ranges": found.words,
                **rate(run, found),
                "blind": int(found.blind.sum()),
                "forward_passes": found.forward,
                "backward_passes": found.backward,
                "witnesses": [
                    {
                        "sample": identifier(run.context, index),
                        "label": int(data.labels[index]),
                        "answer": found.answers[index],
                        "parameters": [float(value) for value in found.parameters[index]],
                    }
                    for index in sorted(found.witnesses)
                ],
            }
            for found in run.done
        ],
        "seconds": round(run.seconds, 3),
        "notes": [*run.context.classifier.notes, *run.notes],
    }
    keep_document(document, path)


def write_changes_witnesses(run: ChangesRun, path: Path) -> None:
    """An ``.npz`` with a row per broken sample and change.

    Raises:
        StoreError: it cannot be written.
    """
    rows = [(found, index) for found in run.done for index in sorted(found.witnesses)]
    keep_witness_file(
        run.context,
        [index for _, index in rows],
        [found.witnesses[index] for found, index in rows],
        [found.answers[index] for found, index in rows],
        path,
        changes=np.array([found.text for found, _ in rows], dtype=np.str_),
    )
