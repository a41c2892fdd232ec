"""Two models attacked on the same samples: McNemar's paired comparison, radius by radius."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.text import one_line
from robust.audit.attacking import AttackRun, Question
from robust.errors import DataFileError, UsageError
from robust.statistics import mcnemar


def read_comparison(path: Path, question: Question) -> dict[str, Any]:
    """What ``robust attack --json`` wrote about another model.

    Raises:
        DataFileError: it cannot be read, or is something else.
        UsageError: another norm, or no radius in common.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        shared = set(found["epsilons"]) & set(question.epsilons)
        norm, complete = found["norm"], found["complete"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataFileError(
            f"cannot read the comparison {path}", wanted="a file that `robust attack --json` wrote", got=error
        ) from error
    if norm != question.norm or not shared or not complete:
        raise UsageError(
            f"{path} has nothing to compare with",
            wanted=f"a finished run with norm {question.norm} and a radius in common",
            got=f"norm {norm}, radii {found['epsilons']}, {'finished' if complete else 'interrupted'}",
        )
    return dict(found)


def print_comparison(run: AttackRun, other: dict[str, Any]) -> None:
    """A line per radius in common.

    Raises:
        UsageError: the other run was on other samples.
    """
    if other["data"]["sha256"] != run.context.data.digest or not run.complete:
        raise UsageError(
            "a paired comparison needs the same samples",
            wanted="both runs finished on the same data, with the same --limit and --seed",
            got="other data" if run.complete else "an interrupted run",
        )
    sys.stdout.write(f"\nagainst {one_line(str(other['model']['name']))}, on the same samples (McNemar, exact):\n")
    for place, epsilon in enumerate(run.question.epsilons):
        if epsilon not in other["epsilons"]:
            continue
        found = mcnemar(run.stands(place), _stood(other, epsilon))
        interval = f"[{found.interval.low:+.1%}, {found.interval.high:+.1%}]"
        sys.stdout.write(
            f"radius {epsilon:.4g}: {found.difference:+.1%} {interval}; only this one stands on {found.only_first}, "
            f"only the other on {found.only_second} of {found.n}, p = {found.p_value:.2g}\n"
        )


def _stood(other: dict[str, Any], epsilon: float) -> NDArray[np.bool_]:
    rows = other["samples"]
    return np.array(
        [row["label"] == row["answer"] and (row["broken_at"] is None or row["broken_at"] > epsilon) for row in rows]
    )
