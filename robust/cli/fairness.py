"""``robust fairness``: the question of individual fairness alone, with an answer on the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robust.cli.options import (
    Assignments,
    Data,
    Device,
    Labels,
    Model,
    PlanFile,
    Seed,
    Trust,
    Weights,
    resolve,
    sources,
)
from robust.errors import UsageError

if TYPE_CHECKING:
    from robust.record import Finding, Table

EXIT_CERTIFIED, EXIT_REFUTED, EXIT_UNKNOWN = 0, 1, 3


def fairness(
    plan: PlanFile = None,
    model: Model = None,
    data: Data = None,
    protected: Annotated[
        list[str] | None,
        typer.Option("--protected", "-p", help="A feature column, or one-hot group, that must not matter. Repeatable."),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=AMOUNT", help="The two may differ so much in a further column. Repeatable."),
    ] = None,
    one_hot: Annotated[
        list[str] | None,
        typer.Option("--one-hot", metavar="NAME=COLUMN,COLUMN,...", help="Columns that are one category. Repeatable."),
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="COLUMN=LOW:HIGH", help="Values of a column; default the data's. Repeatable."),
    ] = None,
    rising: Annotated[
        list[str] | None, typer.Option(help="A column whose rise must never lower the score. Repeatable.")
    ] = None,
    falling: Annotated[
        list[str] | None, typer.Option(help="A column whose rise must never raise the score. Repeatable.")
    ] = None,
    parts: Annotated[int | None, typer.Option(help="Parts that the domain is cut into.")] = None,
    labels: Labels = None,
    weights: Weights = None,
    trust_model: Trust = None,
    seed: Seed = None,
    device: Device = None,
    assignments: Assignments = None,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the findings; - to stdout.")
    ] = None,
) -> None:
    """Prove or refute that nobody is decided differently for a protected attribute alone.

    Exit status: 0 certified for everybody of the domain, 1 refuted by two people (who are shown), 2 the input is bad,
    3 neither: some part of the domain is unknown.
    """
    named = sources(
        model=model, weights=weights, trust=trust_model, data=data, labels=labels, groups=None, reference=None,
        generator=None,
    ) | {"seed": seed, "device": device}  # fmt: skip
    named |= _keys(protected, tolerance, one_hot, range_, rising, falling, parts)
    resolved = resolve(plan, named=named, assignments=assignments)
    findings, verdicts = _ask(resolved.plan)
    if as_json is not None:
        text = json.dumps([item.model_dump(mode="json") for item in findings], indent=1)
        if as_json == "-":
            typer.echo(text)
        else:
            Path(as_json).write_text(text + "\n", encoding="utf-8")
    if as_json != "-":
        _print(findings)
    if "falsified" in verdicts:
        raise typer.Exit(EXIT_REFUTED)
    raise typer.Exit(EXIT_UNKNOWN if "unknown" in verdicts else EXIT_CERTIFIED)


def _keys(
    protected: Sequence[str] | None,
    tolerance: Sequence[str] | None,
    one_hot: Sequence[str] | None,
    ranges: Sequence[str] | None,
    rising: Sequence[str] | None,
    falling: Sequence[str] | None,
    parts: int | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "protected": tuple(protected) if protected else None,
        "rising": tuple(rising) if rising else None,
        "falling": tuple(falling) if falling else None,
        "parts": parts,
    }
    if tolerance:
        found["tolerances"] = {name: _number(text, item) for name, text, item in map(_halves, tolerance)}
    if one_hot:
        found["one_hot"] = {name: tuple(text.split(",")) for name, text, _ in map(_halves, one_hot)}
    if ranges:
        ends = {name: (text.partition(":"), item) for name, text, item in map(_halves, ranges)}
        found["ranges"] = {
            name: (_number(low, item), _number(high, item)) for name, ((low, _, high), item) in ends.items()
        }
    return {f"checks.individual_fairness.{key}": value for key, value in found.items()}


def _halves(text: str) -> tuple[str, str, str]:
    name, sign, rest = text.partition("=")
    if not (name and sign and rest):
        raise UsageError(f"cannot read {text!r}", wanted="COLUMN=VALUE")
    return name.strip(), rest.strip(), text


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"cannot read {whole!r}", wanted="a number", got=text) from error


def _ask(plan: Any) -> tuple[list[Finding], set[str]]:
    from robust.audit.assemble import assemble
    from robust.audit.checks.individual_fairness import IndividualFairnessCheck

    context, check, settings = assemble(plan).context, IndividualFairnessCheck(), plan.settings("individual_fairness")
    results = [(shard, check.run(shard, settings, context)) for shard in check.plan(settings, context)]
    verdicts = {verdict for _, payload in results for verdict in payload["verdicts"]}
    return check.conclude(results, settings, context, {}), verdicts


def _print(findings: Sequence[Finding]) -> None:
    from robust.record import Outcome, Table

    for item in findings:
        if item.headline:
            low, high = (item.interval.low, item.interval.high) if item.interval else (0.0, 1.0)
            typer.echo(f"\n{item.title}: at least {low:.2%}, at most {high:.2%}")
            if item.reason:
                typer.echo(f"  {item.reason}")
            shown = next((one for one in item.evidence if isinstance(one, Table) and one.marked), None)
            if shown is not None:
                _print_pair(shown)
        elif item.control and item.outcome is Outcome.FAIL:
            typer.echo(f"  control failed: {item.reason}")
        elif not item.control:
            value = "not assessed" if item.value is None else f"{item.value:.2%}"
            typer.echo(f"  {item.title}: {value}")


def _print_pair(table: Table) -> None:
    widths = [max(len(str(row[place])) for row in (table.columns, *table.rows)) for place in range(3)]
    typer.echo(f"  {table.title}")
    for place, row in enumerate(table.rows):
        mark = ">" if place in table.marked else " "
        typer.echo("  " + mark + " " + "  ".join(str(row[at]).ljust(widths[at]) for at in range(3)).rstrip())
