"""``robust config``: the resolved plan with the origin of each value; the schemas."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from robust.cli.interrupts import interruptible
from robust.cli.options import Assignments, PlanFile, resolve

app = typer.Typer(help="Show the resolved plan, or the schemas.", no_args_is_help=True, rich_markup_mode=None)


def show(
    plan: PlanFile = None,
    assignments: Assignments = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object per key.")] = False,
) -> None:
    """Print every value of the plan and where it came from."""
    from robust.audit.plan_layers import flatten_plan

    resolved = resolve(plan, named={}, assignments=assignments)
    rows = [(key, _plain(value), resolved.origin(key)) for key, value in flatten_plan(resolved.plan)]
    if as_json:
        typer.echo(json.dumps([{"key": k, "value": v, "origin": o} for k, v, o in rows], indent=2))
        return
    width = max(len(key) for key, _, _ in rows)
    for key, value, origin in rows:
        text = json.dumps(value, ensure_ascii=False)
        typer.echo(f"{key:<{width}}  {text}  # {origin}")


def schema(
    which: Annotated[str, typer.Argument(help="plan or record.")] = "plan",
) -> None:
    """Print the JSON Schema of the plan or of the record."""
    from robust.audit.plan import plan_schema
    from robust.errors import UsageError
    from robust.record import record_schema

    if which not in {"plan", "record"}:
        raise UsageError(f"there is no schema {which!r}", wanted="plan or record")
    typer.echo(json.dumps(plan_schema() if which == "plan" else record_schema(), indent=2))


app.command("show")(interruptible(show))
app.command("schema")(interruptible(schema))


def _plain(value: Any) -> Any:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
