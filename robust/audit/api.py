"""One plain Python call for one audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust.audit.assemble import Given
from robust.audit.plan_layers import resolve_plan
from robust.audit.runner import Watcher, run_audit
from robust.data import Dataset
from robust.record import AuditRecord
from robust.subjects import Classifier, Generator


def audit(
    plan: str | Path | None = None,
    *,
    model: str | Classifier | None = None,
    data: str | Dataset | None = None,
    reference: str | Dataset | None = None,
    generator: str | Generator | None = None,
    settings: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    watch: Watcher | None = None,
) -> AuditRecord:
    """Audit a trained model.

    Args:
        plan: a plan file; None for none.
        model: a path or ``package.module:function``, or a classifier object.
        data: a path or ``builtin:digits``, or a data set.
        reference: training data, likewise.
        generator: a path, or a generator object.
        settings: dotted key -> value, as the command line's ``--set``: ``{"checks.attacks.steps": 20}``.
        output: run directory.
        watch: called with progress events.

    Returns:
        The record, also written to ``record.json`` in the run directory; ``reports.write_reports`` renders it.

    Raises:
        SubjectError, DataError, PlanError: the audit could not start.
    """
    overrides: dict[str, Any] = dict(settings or {})
    objects: dict[str, Any] = {}
    for key, place, value in (
        ("model.source", "classifier", model),
        ("data.source", "data", data),
        ("reference.source", "reference", reference),
        ("generator.source", "generator", generator),
    ):
        if isinstance(value, str):
            overrides[key] = value
        elif value is not None:
            objects[place] = value
    if output is not None:
        overrides["output"] = str(output)
    resolved = resolve_plan(None if plan is None else Path(plan), overrides=overrides)
    return run_audit(resolved, given=Given(**objects), command="robust.audit.audit(...)", watch=watch)
