"""What ``robust attack`` found: tables for people, JSON for programs, witnesses for both."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.balls import NORM_NAMES
from attacks.diagnostics import SIGNS
from reports.text import one_line
from robust.audit.attacking import BLACK_BOX, AttackRun
from robust.audit.regression import units_of
from robust.audit.run_directory import keep_file
from robust.audit.witnesses import npz_bytes
from robust.statistics import samples_needed, wilson
from robust.subjects import box_in_words

PRECISION = 0.01
"""Half the width of an interval that people ask for."""


def print_report(run: AttackRun, rows: int) -> None:
    """Rates, who broke what, signs, the nearest witnesses and notes, on standard output.

    Args:
        run: what was found.
        rows: of the table of witnesses, at most.
    """
    out = sys.stdout
    out.write("\n".join(_heading(run)) + "\n\n")
    write_table(["radius", "samples", "wrong", "broken", "not broken", "accuracy under attack"], _rates(run))
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
    rates = [_rate(run, place) for place in range(len(run.question.epsilons))]
    widest = [each for each in rates if each["samples"]]
    if widest:
        rate = max(widest, key=lambda each: each["high"] - each["low"])
        if rate["high"] - rate["low"] > 2 * PRECISION:
            wanted = samples_needed(PRECISION, rate["accuracy"])
            out.write(f"for intervals of at most +-{PRECISION:.0%} about {wanted:,} samples are needed\n")
    passes = f"{int(run.forward.sum()):,} forward and {int(run.backward.sum()):,} backward passes"
    out.write(f"{passes}, {run.seconds:.1f} s. A sample that was not broken is not thereby safe.\n")
    for note in (*run.context.classifier.notes, *run.notes):
        out.write(f"note: {one_line(note)}\n")


def write_json(run: AttackRun, status: int, path: Path) -> None:
    """Everything as one JSON document.

    Raises:
        StoreError: it cannot be written.
    """
    classifier, data, question = run.context.classifier, run.context.data, run.question
    document = {
        "model": {"name": classifier.name, "source": classifier.source, "sha256": classifier.digest},
        "data": {"name": data.name, "source": data.source, "sha256": data.digest, "samples": len(data)},
        "norm": question.norm,
        "epsilons": list(question.epsilons),
        "attack": question.attack,
        "tier": question.tier if question.attack == "ensemble" else None,
        "queries": None if question.attack == "ensemble" else question.queries or BLACK_BOX[question.attack],
        "input_box": box_in_words(classifier.input_box),
        "seed": run.context.seed,
        "complete": run.complete,
        "exit_status": status,
        "radii": [_rate(run, place) for place in range(len(question.epsilons))],
        "signs": [
            {"sign": each.sign, "count": each.count, "samples": each.n, "masks": each.masks, "detail": each.detail}
            for each in run.symptoms
        ],
        "samples": [
            {
                "sample": _identifier(run, index),
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
        "notes": [*classifier.notes, *run.notes],
    }
    keep_file(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def write_witnesses(run: AttackRun, path: Path) -> None:
    """An ``.npz`` of the witness of each broken sample; with empty arrays where nothing was broken.

    Raises:
        StoreError: it cannot be written.
    """
    found, data = sorted(run.witnesses), run.context.data
    shape = (0, *data.sample_shape)
    arrays: dict[str, NDArray[Any]] = {
        "indices": np.array(found, dtype=np.int64),
        "originals": data.samples[found],
        "adversarials": np.stack([run.witnesses[i] for i in found]) if found else np.zeros(shape, np.float32),
        "labels": data.labels[found],
        "answers": run.answers[found],
        "epsilons": np.array([run.found_at[index] for index in found]),
        "distances": run.distances[found],
        **units_of(run.context.classifier),
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


def _rate(run: AttackRun, place: int) -> dict[str, Any]:
    reached = run.attacked[place]
    n, stands = int(reached.sum()), int(run.stands(place).sum())
    interval = wilson(stands, n) if n else None
    return {
        "epsilon": run.question.epsilons[place],
        "samples": n,
        "wrong": int((run.wrong & reached).sum()),
        "broken": int((run.broken[place] & reached).sum()),
        "not_broken": stands,
        "accuracy": stands / n if n else None,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
    }


def _rates(run: AttackRun) -> list[list[str]]:
    cells = []
    for place in range(len(run.question.epsilons)):
        rate = _rate(run, place)
        share = "not reached" if rate["accuracy"] is None else f"{rate['accuracy']:.1%}"
        if rate["low"] is not None:
            share += f" [{rate['low']:.1%}, {rate['high']:.1%}]"
        counts = [str(rate[name]) for name in ("samples", "wrong", "broken", "not_broken")]
        cells.append([f"{rate['epsilon']:.4g}", *counts, share])
    return cells


def _witness(run: AttackRun, index: int) -> list[str]:
    names, data = run.context.classifier.class_names, run.context.data
    return [
        one_line(_identifier(run, index)),
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


def _identifier(run: AttackRun, index: int) -> str:
    identifiers = run.context.data.identifiers
    return identifiers[index] if identifiers else str(index)
