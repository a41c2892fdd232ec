"""``robust audit``: run a plan, write the record and the reports, set the exit status."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robust.cli.interrupts import silence_output
from robust.cli.options import (
    Assignments,
    Data,
    Device,
    GeneratorSource,
    Groups,
    Labels,
    Model,
    Only,
    Output,
    PlanFile,
    Reference,
    Seed,
    Skip,
    Trust,
    Weights,
    resolve,
    sources,
)

if TYPE_CHECKING:
    from robust.audit.plan_layers import ResolvedPlan
    from robust.record import AuditRecord


def audit(
    plan: PlanFile = None,
    model: Model = None,
    data: Data = None,
    labels: Labels = None,
    group: Groups = None,
    weights: Weights = None,
    trust_model: Trust = None,
    reference: Reference = None,
    generator: GeneratorSource = None,
    seed: Seed = None,
    device: Device = None,
    output: Output = None,
    assignments: Assignments = None,
    only: Only = None,
    skip: Skip = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="An earlier record.json or run directory: say what changed since."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and an estimate of its cost.")] = False,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit with 0 once the report is written, whatever it says.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the summary.")] = False,
) -> None:
    """Audit a trained model and write a safety report.

    Exit status: 0 passed (or nothing to judge), 1 a threshold or control failed, 2 the audit could not run,
    3 finished but something asked for stayed undecided, 130 interrupted (143 terminated): the same command continues.
    """
    named = sources(
        model=model,
        weights=weights,
        trust=trust_model,
        data=data,
        labels=labels,
        groups=group,
        reference=reference,
        generator=generator,
    ) | {"seed": seed, "device": device, "output": output}
    resolved = resolve(plan, named=named, assignments=assignments, only=only, skip=skip)
    if dry_run:
        _print_dry_run(resolved)
        return
    earlier = None if baseline is None else _read(baseline)
    status = _run(resolved, quiet, earlier)
    if status and not exit_zero:
        raise typer.Exit(status)


def _read(path: Path) -> AuditRecord:
    from robust.record import AuditRecord

    return AuditRecord.read(path / "record.json" if path.is_dir() else path)


def _run(resolved: ResolvedPlan, quiet: bool, baseline: AuditRecord | None) -> int:
    from reports import render_console, write_reports
    from robust.audit.runner import run_audit
    from robust.cli.progress import watcher

    with watcher(quiet) as watch:
        record = run_audit(resolved, command=_reproduce(), watch=watch)
    directory = Path(resolved.plan.output)
    paths = write_reports(record, directory, resolved.plan.formats)
    try:
        render_console(record, written=paths)
        if baseline is not None:
            _say_changes(record, baseline)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich exits where nobody reads; the status is the audit's all the same
        silence_output()
    return record.gate.exit_status


def _say_changes(record: AuditRecord, baseline: AuditRecord) -> None:
    from reports.text import one_line
    from robust.audit.baseline import Change, compare

    found = compare(record, baseline)
    counts = {change: sum(item.change is change for item in found) for change in Change}
    said = ", ".join(f"{count} {change}" for change, count in counts.items() if count)
    typer.echo(f"Since the baseline ({one_line(baseline.title)}): {said or 'nothing to compare'}")
    for item in found:
        if item.change in (Change.WORSE, Change.DIFFERENT, Change.BETTER):
            typer.echo(f"  {item.change}: {one_line(item.title)}: {item.before:.4g} before, {item.now:.4g} now")
    reasons = sorted({item.reason for item in found if item.reason})
    for reason in reasons:
        typer.echo(f"  not comparable: {sum(item.reason == reason for item in found)} findings: {reason}")


def _reproduce() -> str:
    words = ["robust", *sys.argv[1:]]
    return shlex.join(word for word in words if word not in {"--quiet", "-q", "--exit-zero"})


def _print_dry_run(resolved: ResolvedPlan) -> None:
    from robust.audit.dry_run import describe

    for line in describe(resolved):
        typer.echo(line)
