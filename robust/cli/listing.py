"""``robust list``: what there is, a line each."""

from __future__ import annotations

from typing import Annotated

import typer


def list_things(
    kind: Annotated[str | None, typer.Argument(help="checks, attacks, verifiers, detectors or data.")] = None,
) -> None:
    """List checks, attacks, verifiers, detectors and built-in data sets."""
    from robust.audit.listing import LISTS
    from robust.errors import UsageError

    if kind is not None and kind not in LISTS:
        raise UsageError(f"there is no list {kind!r}", wanted=", ".join(LISTS))
    for name, entries in LISTS.items():
        if kind is not None and name != kind:
            continue
        typer.echo(f"{name}:")
        width = max(len(entry) for entry in entries)
        for entry, line in entries.items():
            typer.echo(f"  {entry:<{width}}  {line}")
