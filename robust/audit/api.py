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
    model: str | Path | Classifier | None = None,
    data: str | Path | Dataset | None = None,
    reference: str | Path | Dataset | None = None,
    ood: Mapping[str, str | Path | Dataset] | None = None,
    generator: str | Path | Generator | None = None,
    settings: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    watch: Watcher | None = None,
) -> AuditRecord:
    """Audit a trained model.

    What is given here comes before the environment (``ROBUST_...``), that before the plan file, that before the
    defaults, as on the command line. Finished work is kept in ``output``: the same call continues where it stopped.

    Args:
        plan: a plan file; None for none.
        model: a path or ``package.module:function``, or a classifier object.
        data: a path or ``builtin:digits``, or a data set.
        reference: training data, likewise.
        ood: name -> further data set for detection, likewise.
        generator: a path, or a generator object.
        settings: dotted key -> value, as the command line's ``--set``: ``{"checks.attacks.steps": 20}``.
        output: run directory.
        watch: called with progress events.

    Returns:
        The record, also written to ``record.json`` in the run directory; ``reports.write_reports`` renders it.

    Raises:
        SubjectError, DataError, PlanError: the audit could not start.
        RunInUseError, StoreError: another audit works in ``output``, or it cannot be written.
    """
    overrides: dict[str, Any] = dict(settings or {})
    objects: dict[str, Any] = {}
    for key, place, value in (
        ("model.source", "classifier", model),
        ("data.source", "data", data),
        ("reference.source", "reference", reference),
        ("generator.source", "generator", generator),
    ):
        if isinstance(value, str | Path):
            overrides[key] = str(value)
        elif value is not None:
            objects[place] = value
    handed = {name: value for name, value in (ood or {}).items() if isinstance(value, Dataset)}
    overrides |= {f"ood.{name}.source": str(value) for name, value in (ood or {}).items() if name not in handed}
    if output is not None:
        overrides["output"] = str(output)
    resolved = resolve_plan(
        None if plan is None else Path(plan), overrides=overrides, overrides_from="the call of audit()"
    )
    return run_audit(resolved, given=Given(**objects, ood=handed), command="robust.audit.audit(...)", watch=watch)
