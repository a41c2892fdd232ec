"""``robust init``: a commented plan for the model and data at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.cli.options import (
    Assignments,
    Data,
    GeneratorSource,
    Groups,
    Labels,
    Model,
    Reference,
    Trust,
    Weights,
    resolve,
    sources,
)


def init(
    model: Model = None,
    data: Data = None,
    labels: Labels = None,
    group: Groups = None,
    weights: Weights = None,
    trust_model: Trust = None,
    reference: Reference = None,
    generator: GeneratorSource = None,
    assignments: Assignments = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the plan.")] = Path("robust.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing plan.")] = False,
) -> None:
    """Load the model and the data once, and write a plan with every key, its default and its meaning."""
    from robust.audit.plan_writer import write_plan
    from robust.errors import UsageError

    if model is None or data is None:
        raise UsageError(
            "a plan needs a model and data", wanted="robust init --model MODEL --data DATA", hint="see `robust init -h`"
        )
    if output.exists() and not force:
        raise UsageError(f"{output} exists", hint="give --force to overwrite it, or another --output")
    named = sources(
        model=model,
        weights=weights,
        trust=trust_model,
        data=data,
        labels=labels,
        groups=group,
        reference=reference,
        generator=generator,
    )
    resolved = resolve(None, named=named, assignments=assignments)
    text = write_plan(resolved, output.parent)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {output}", wanted="a file in a folder that exists and can be written to", got=error
        ) from error
    typer.echo(f"wrote {output}; now run: robust audit {'' if output.name == 'robust.toml' else output}".rstrip())
