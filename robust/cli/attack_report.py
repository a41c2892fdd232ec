"""What ``robust attack`` found: tables for people, JSON for programs, witnesses for both."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.balls import NORM_NAMES
from attacks.diagnostics import SIGNS
from reports.text import one_line
from robust.audit.attacking import BLACK_BOX, AttackRun
from robust.audit.check import Context
from robust.audit.regression import units_of
from robust.audit.run_directory import keep_file
from robust.audit.witnesses import npz_bytes
from robust.statistics import samples_needed, wilson
from robust.subjects import box_in_words

PRECISION = 0.01
"""Half the width of an interval that people ask for."""
COUNTED = ("samples", "wrong", "broken", "not broken")
"""Headings of ``cells_of``, but for the last."""
Rate = dict[str, Any]


def print_report(run: AttackRun, rows: int) -> None:
    """Rates, who broke what, signs, the nearest witnesses and notes, on standard output.

    Args:
        run: what was found.
        rows: of the table of witnesses, at most.
    """
    out = sys.stdout
    out.write("\n".join(_heading(run)) + "\n\n")
    rates = [_rate(run, place) for place in range(len(run.question.epsilons))]
    write_table(
        ["radius", *COUNTED, "accuracy under attack"],
        [[f"{rate['epsilon']:.4g}", *cells_of(rate)] for rate in rates],
    )
    broken_by = Counter(name for name in run.stages if name)
    if broken_by:
        out.write("\nbroken by: " + ", ".join(f"{name} {count}" for name, count in broken_by.most_common()) + "\n")
    nearest = sorted(run.witnesses, key=lambda index: (run.found_at[index], run.distances[index], index))
    if rows and nearest:
        out.write("\n")
        write_table(
            ["sample", "label", "answered", "radius", "distance", "by"], [_witness(run, i) for i in nearest[:rows]]
        )
        if len(nearest) > rows:
            out.write(f"and {len(nearest) - rows} more (--rows shows more, --witnesses keeps all)\n")
    out.write("\n")
    for each in run.symptoms:
        share = f"{each.count} of {each.n}"
        if each in run.masked():
            out.write(
                f"WARNING {SIGNS[each.sign]} ({share}): {each.detail}. What was not broken may well be breakable.\n"
            )
        elif each.count:
            out.write(f"sign: {SIGNS[each.sign]} ({share}): {each.detail}\n")
    print_end(run.context, rates, int(run.forward.sum()), int(run.backward.sum()), run.seconds, run.notes)


def print_end(
    context: Context, rates: Sequence[Rate], forward: int, backward: int, seconds: float, notes: Sequence[str]
) -> None:
    """What stands below every table: how many samples a narrow interval takes, what it cost, what to know."""
    out = sys.stdout
    reached = [each for each in rates if each["samples"]]
    widest = max(reached, key=lambda each: each["high"] - each["low"], default=None)
    if widest is not None and widest["high"] - widest["low"] > 2 * PRECISION:
        wanted = samples_needed(PRECISION, widest["accuracy"])
        out.write(f"for intervals of at most +-{PRECISION:.0%} about {wanted:,} samples are needed\n")
    out.write(f"{forward:,} forward and {backward:,} backward passes, {seconds:.1f} s. ")
    out.write("A sample that was not broken is not thereby safe.\n")
    for note in (*context.classifier.notes, *notes):
        out.write(f"note: {one_line(note)}\n")


def write_json(run: AttackRun, status: int, path: Path) -> None:
    """Everything as one JSON document.

    Raises:
        StoreError: it cannot be written.
    """
    data, question = run.context.data, run.question
    document = {
        **identity(run.context),
        "norm": question.norm,
        "epsilons": list(question.epsilons),
        "attack": question.attack,
        "tier": question.tier if question.attack == "ensemble" else None,
        "queries": None if question.attack == "ensemble" else question.queries or BLACK_BOX[question.attack],
        "complete": run.complete,
        "exit_status": status,
        "radii": [_rate(run, place) for place in range(len(question.epsilons))],
        "signs": [
            {"sign": each.sign, "count": each.count, "samples": each.n, "masks": each.masks, "detail": each.detail}
            for each in run.symptoms
        ],
        "samples": [
            {
                "sample": identifier(run.context, index),
                "label": int(data.labels[index]),
                "answer": int(run.context.predictions[index]),
                "broken_at": run.found_at.get(index),
                "distance": float(run.distances[index]) if math.isfinite(run.distances[index]) else None,
                "witness_answer": int(run.answers[index]) if index in run.witnesses else None,
                "by": run.stages[index] or None,
                "forward_passes": int(run.forward[index]),
                "backward_passes": int(run.backward[index]),
            }
            for index in range(len(data))
        ],
        "seconds": round(run.seconds, 3),
        "notes": [*run.context.classifier.notes, *run.notes],
    }
    keep_document(document, path)


def identity(context: Context) -> dict[str, Any]:
    """What every JSON document says first: model, data, box, seed."""
    classifier, data = context.classifier, context.data
    return {
        "model": {"name": classifier.name, "source": classifier.source, "sha256": classifier.digest},
        "data": {"name": data.name, "source": data.source, "sha256": data.digest, "samples": len(data)},
        "input_box": box_in_words(classifier.input_box),
        "seed": context.seed,
    }


def keep_document(document: Mapping[str, Any], path: Path) -> None:
    """Write JSON.

    Raises:
        StoreError: it cannot be written.
    """
    keep_file(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def write_witnesses(run: AttackRun, path: Path) -> None:
    """An ``.npz`` of the witness of each broken sample; with empty arrays where nothing was broken.

    Raises:
        StoreError: it cannot be written.
    """
    found = sorted(run.witnesses)
    keep_witness_file(
        run.context,
        found,
        [run.witnesses[index] for index in found],
        [int(run.answers[index]) for index in found],
        path,
        epsilons=np.array([run.found_at[index] for index in found]),
        distances=run.distances[found],
    )


def keep_witness_file(
    context: Context,
    places: Sequence[int],
    points: Sequence[NDArray[np.float32]],
    answers: Sequence[int],
    path: Path,
    **further: NDArray[Any],
) -> None:
    """What ``robust replay`` reads: a row per witness, in the units that it says.

    Raises:
        StoreError: it cannot be written.
    """
    data, index = context.data, np.array(places, dtype=np.int64)
    empty = np.zeros((0, *data.sample_shape), np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "indices": index,
        "originals": data.samples[index],
        "adversarials": np.stack(points) if points else empty,
        "labels": data.labels[index],
        "answers": np.array(answers, dtype=np.int64),
        **further,
        **units_of(context.classifier),
    }
    keep_file(path, npz_bytes(arrays))


def _heading(run: AttackRun) -> list[str]:
    classifier, data, question = run.context.classifier, run.context.data, run.question
    radii = ", ".join(f"{epsilon:.6g}" for epsilon in question.epsilons)
    return [
        f"{one_line(classifier.name)} on {one_line(data.name)}: {len(data)} samples",
        f"{NORM_NAMES[question.norm]} balls of radius {radii} in input units, cut to the box "
        f"{box_in_words(classifier.input_box)}",
        f"{question.in_words()}; every witness was replayed on the deployed model",
    ]


def rate_of(wrong: NDArray[np.bool_], reached: NDArray[np.bool_], broken: NDArray[np.bool_]) -> Rate:
    """Counts, accuracy and its interval, of the samples that were reached; each bool ``[n]``."""
    n, stands = int(reached.sum()), int((reached & ~broken & ~wrong).sum())
    interval = wilson(stands, n) if n else None
    return {
        "samples": n,
        "wrong": int((wrong & reached).sum()),
        "broken": int((broken & reached).sum()),
        "not_broken": stands,
        "accuracy": stands / n if n else None,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
    }


def cells_of(rate: Rate) -> list[str]:
    """Counts, and accuracy with its interval, as text."""
    share = "not reached"
    if rate["accuracy"] is not None:
        share = f"{rate['accuracy']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]"
    return [*(str(rate[name]) for name in ("samples", "wrong", "broken", "not_broken")), share]


def _rate(run: AttackRun, place: int) -> Rate:
    found = rate_of(run.wrong, run.attacked[place], run.broken[place])
    return {"epsilon": run.question.epsilons[place], **found}


def _witness(run: AttackRun, index: int) -> list[str]:
    names, data = run.context.classifier.class_names, run.context.data
    return [
        one_line(identifier(run.context, index)),
        one_line(names[int(data.labels[index])]),
        one_line(names[int(run.answers[index])]),
        f"{run.found_at[index]:.4g}",
        f"{run.distances[index]:.4g}",
        run.stages[index],
    ]


def write_table(columns: list[str], cells: list[list[str]]) -> None:
    """Columns of text on standard output, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (columns, *cells):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(text.rstrip() + "\n")


def identifier(context: Context, index: int) -> str:
    """The name of a sample."""
    return context.data.identifiers[index] if context.data.identifiers else str(index)
