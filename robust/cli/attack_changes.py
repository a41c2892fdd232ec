"""``robust attack --change``: which samples break under rotation, light, colour, blur, ...; tables, JSON, witnesses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.text import one_line
from robust.audit.regression import units_of
from robust.audit.run_directory import keep_file
from robust.audit.witnesses import npz_bytes
from robust.cli.attack_report import write_table
from robust.statistics import wilson
from robust.subjects import box_in_words

if TYPE_CHECKING:
    from robust.audit.changing import ChangedSamples, ChangesRun


def rate(run: ChangesRun, found: ChangedSamples) -> dict[str, Any]:
    """How one change went."""
    reached, wrong = found.attacked, run.wrong
    n, stands = int(reached.sum()), int((reached & ~found.broken & ~wrong).sum())
    interval = wilson(stands, n) if n else None
    return {
        "samples": n,
        "wrong": int((wrong & reached).sum()),
        "broken": int(found.broken.sum()),
        "not_broken": stands,
        "accuracy": stands / n if n else None,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
    }


def print_changes(run: ChangesRun) -> None:
    """A row per change, on standard output."""
    out, classifier, data = sys.stdout, run.context.classifier, run.context.data
    out.write(f"{one_line(classifier.name)} on {one_line(data.name)}: {len(data)} samples, ")
    out.write(f"pictures kept in the box {box_in_words(classifier.input_box)}\n")
    out.write("every witness was replayed on the deployed model\n\n")
    cells = []
    for found in run.done:
        each = rate(run, found)
        share = "not reached"
        if each["accuracy"] is not None:
            share = f"{each['accuracy']:.1%} [{each['low']:.1%}, {each['high']:.1%}]"
        ranges = ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in found.words.items())
        counts = [str(each[name]) for name in ("samples", "wrong", "broken", "not_broken")]
        cells.append([found.text, *counts, share, ranges])
    write_table(["change", "samples", "wrong", "broken", "not broken", "accuracy under change", "ranges"], cells)
    forward, backward = (sum(getattr(each, name) for each in run.done) for name in ("forward", "backward"))
    out.write(f"\n{forward:,} forward and {backward:,} backward passes, {run.seconds:.1f} s. ")
    out.write("A sample that was not broken is not thereby safe.\n")
    for note in (*classifier.notes, *run.notes):
        out.write(f"note: {one_line(note)}\n")


def write_changes_json(run: ChangesRun, status: int, path: Path) -> None:
    """Everything as one JSON document.

    Raises:
        StoreError: it cannot be written.
    """
    classifier, data = run.context.classifier, run.context.data
    document = {
        "model": {"name": classifier.name, "source": classifier.source, "sha256": classifier.digest},
        "data": {"name": data.name, "source": data.source, "sha256": data.digest, "samples": len(data)},
        "input_box": box_in_words(classifier.input_box),
        "seed": run.context.seed,
        "complete": run.complete,
        "exit_status": status,
        "changes": [
            {
                "change": found.text,
                "ranges": found.words,
                **rate(run, found),
                "forward_passes": found.forward,
                "backward_passes": found.backward,
                "witnesses": [
                    {
                        "sample": data.identifiers[index] if data.identifiers else str(index),
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
        "notes": [*classifier.notes, *run.notes],
    }
    keep_file(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def write_changes_witnesses(run: ChangesRun, path: Path) -> None:
    """An ``.npz`` with a row per broken sample and change.

    Raises:
        StoreError: it cannot be written.
    """
    data = run.context.data
    rows = [(found, index) for found in run.done for index in sorted(found.witnesses)]
    places = [index for _, index in rows]
    empty = np.zeros((0, *data.sample_shape), np.float32)
    keep_file(
        path,
        npz_bytes(
            {
                "indices": np.array(places, dtype=np.int64),
                "originals": data.samples[places],
                "adversarials": np.stack([found.witnesses[index] for found, index in rows]) if rows else empty,
                "labels": data.labels[places],
                "answers": np.array([found.answers[index] for found, index in rows], dtype=np.int64),
                "changes": np.array([found.text for found, _ in rows], dtype=np.str_),
                **units_of(run.context.classifier),
            }
        ),
    )
