"""What ``robust verify --data`` found: a table for people, JSON for programs, witnesses for both."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.text import one_line
from robust.audit.decided import MISCLASSIFIED
from robust.audit.run_directory import keep_file
from robust.audit.verification_state import Answer, Verification
from robust.audit.witnesses import npz_bytes
from robust.statistics import wilson
from robust.subjects import box_in_words

STYLES = {
    Answer.CERTIFIED: "green",
    Answer.FALSIFIED: "bold red",
    Answer.UNKNOWN: "yellow",
    Answer.MISCLASSIFIED: "red",
}
NORMS = {"linf": "L-inf", "l2": "L2"}


def print_report(state: Verification, rows: int) -> None:
    """Table, summary, times and notes on standard output: with colours on a terminal, plain columns elsewhere.

    Args:
        state: what was found.
        rows: of the table, at most.
    """
    out = sys.stdout
    out.write("\n".join(_heading(state)) + "\n\n")
    columns, cells = _columns(state), _cells(state)
    if rows:
        (_print_rich if out.isatty() else _print_plain)(columns, cells[:rows])
        if len(cells) > rows:
            out.write(f"and {len(cells) - rows} more samples (--rows shows more, --json keeps all)\n")
        out.write("\n")
    for place in range(len(state.question.epsilons)):
        out.write(_summary(state, place) + "\n")
    times = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in state.seconds.items())
    per_sample = sum(state.seconds.values()) / len(cells)
    out.write(f"time: {times}; {per_sample:.2g} s per sample\n")
    for note in (*state.context.classifier.notes, *state.notes):
        out.write(f"note: {one_line(note)}\n")


def as_json(state: Verification, status: int) -> str:
    """Everything as one JSON document, with a newline behind it."""
    classifier, data, question = state.context.classifier, state.context.data, state.question
    verdicts = [state.verdicts(place) for place in range(len(question.epsilons))]
    engines = [state.engines(place) for place in range(len(question.epsilons))]
    document = {
        "model": {"name": classifier.name, "source": classifier.source, "sha256": classifier.digest},
        "data": {"name": data.name, "source": data.source, "sha256": data.digest, "samples": len(data)},
        "norm": question.norm,
        "epsilons": list(question.epsilons),
        "input_box": box_in_words(classifier.input_box),
        "method": question.method,
        "attack": {"steps": question.steps, "restarts": question.restarts},
        "seed": state.context.seed,
        "complete": state.complete,
        "exit_status": status,
        "summary": [_counts(state, place) for place in range(len(question.epsilons))],
        "samples": [
            {
                "sample": _identifier(state, row),
                "label": int(data.labels[row]),
                "answer": int(state.context.predictions[row]),
                "verdicts": [str(answers[row]) for answers in verdicts],
                "engines": [names[row] or None for names in engines],
                "seconds": [float(f"{took[row]:.4g}") for took in state.took],
                "witness_distance": float(state.distances[row]) if math.isfinite(state.distances[row]) else None,
                "witness_answer": int(state.answers[row]) if row in state.witnesses else None,
            }
            for row in range(len(data))
        ],
        "seconds": {stage: round(seconds, 3) for stage, seconds in state.seconds.items()},
        "notes": [*classifier.notes, *state.notes],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_witnesses(state: Verification, directory: Path) -> Path | None:
    """``witnesses.npz`` in ``directory``: the nearest witness of each falsified sample; None where there is none.

    Raises:
        StoreError: it cannot be written.
    """
    found = sorted(state.witnesses)
    if not found:
        return None
    data = state.context.data
    path = directory / "witnesses.npz"
    arrays: dict[str, NDArray[Any]] = {
        "indices": np.array(found, dtype=np.int64),
        "originals": data.samples[found],
        "adversarials": np.stack([state.witnesses[index] for index in found]),
        "labels": data.labels[found],
        "answers": state.answers[found],
        "epsilons": np.array([state.found_at[index] for index in found]),
        "distances": state.distances[found],
    }
    keep_file(path, npz_bytes(arrays))
    return path


def _heading(state: Verification) -> list[str]:
    classifier, data, question = state.context.classifier, state.context.data, state.question
    radii = ", ".join(f"{epsilon:.6g}" for epsilon in question.epsilons)
    box = box_in_words(classifier.input_box)
    return [
        f"{one_line(classifier.name)} on {one_line(data.name)}: {len(data)} samples",
        f"{NORMS[question.norm]} balls of radius {radii} in input units, cut to the box {box}",
        f"{one_line(question.method)} bounds; PGD of {question.restarts} starts and {question.steps} steps",
    ]


def _columns(state: Verification) -> list[str]:
    radii = [f"{epsilon:.4g}" for epsilon in state.question.epsilons]
    asked = [column for name in radii for column in (name, "by", "seconds")]
    return ["sample", "label", "answer", *asked, "witness at", "answered"]


def _cells(state: Verification) -> list[list[str]]:
    names, data = state.context.classifier.class_names, state.context.data
    verdicts = [state.verdicts(place) for place in range(len(state.question.epsilons))]
    return [
        [
            one_line(_identifier(state, row)),
            one_line(names[int(data.labels[row])]),
            one_line(names[int(state.context.predictions[row])]),
            *(cell for place, answers in enumerate(verdicts) for cell in _decided(state, place, row, answers[row])),
            f"{state.distances[row]:.4g}" if row in state.witnesses else "",
            one_line(names[int(state.answers[row])]) if row in state.witnesses else "",
        ]
        for row in range(len(data))
    ]


def _decided(state: Verification, place: int, row: int, answer: Answer) -> list[str]:
    if answer is Answer.MISCLASSIFIED:
        return [str(answer), "", ""]
    by = state.breakers if answer is Answer.FALSIFIED else state.provers
    return [str(answer), "" if answer is Answer.UNKNOWN else str(by[place, row]), f"{state.took[place, row]:.2g}"]


def _print_plain(columns: list[str], cells: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (columns, *cells):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(text.rstrip() + "\n")


def _print_rich(columns: list[str], cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {str(answer): style for answer, style in STYLES.items()}
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    for line in cells:
        table.add_row(
            *(Text(cell, style=styles.get(cell, "") if 2 < i < len(line) - 2 else "") for i, cell in enumerate(line))
        )
    Console(highlight=False).print(table)


def _counts(state: Verification, place: int) -> dict[str, Any]:
    verdicts = state.verdicts(place)
    result: dict[str, Any] = {"epsilon": state.question.epsilons[place], "samples": len(verdicts)}
    for answer in Answer:
        count = verdicts.count(answer)
        interval = wilson(count, len(verdicts))
        result[str(answer)] = {"count": count, "low": interval.low, "high": interval.high}
    names = [name for name in state.engines(place) if name and name != MISCLASSIFIED]
    result["engines"] = {name: names.count(name) for name in sorted(set(names))}
    return result


def _summary(state: Verification, place: int) -> str:
    counts = _counts(state, place)
    total = counts["samples"]
    lines = [f"{NORMS[state.question.norm]} {state.question.epsilons[place]:.4g}, of {total} samples:"]
    for answer in Answer:
        found = counts[str(answer)]
        share = f"{found['count'] / total:6.1%}  (95 % interval {found['low']:.1%} to {found['high']:.1%})"
        lines.append(f"  {answer:<13} {found['count']:>6}  {share}")
    if counts["engines"]:
        lines.append("  decided by " + ", ".join(f"{name} {count}" for name, count in counts["engines"].items()))
    return "\n".join(lines)


def _identifier(state: Verification, row: int) -> str:
    identifiers = state.context.data.identifiers
    return identifiers[row] if identifiers else str(row)
