"""``robust check``: a proof established again by the independent checker, which shares no code with what made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.errors import UsageError

EXIT_VALID, EXIT_INVALID, EXIT_OPEN = 0, 1, 3


def check(
    proof: Annotated[Path, typer.Argument(help="Written by robust verify --proof.")],
    model: Annotated[Path, typer.Argument(help="The ONNX file, gzipped or not.")],
    query: Annotated[Path, typer.Argument(help="The VNN-LIB query, gzipped or not.")],
) -> None:
    """Establish a proof again: read model, query and proof anew, and bound every part, with rounding bounded as well.

    Exit status: 0 valid, 1 invalid, 2 a file is not what it should be, 3 beyond this checker.
    """
    from robust.checker.check import check_proof
    from robust.checker.verdict import InvalidError, NotEstablishedError, RefusedError

    try:
        found = check_proof(proof, model, query)
    except RefusedError as error:
        raise UsageError("nothing was checked", wanted="a proof, its model and its query", got=error) from error
    except InvalidError as error:
        typer.echo(f"invalid\n{error}")
        raise typer.Exit(EXIT_INVALID) from error
    except NotEstablishedError as error:
        typer.echo(f"not established\n{error}")
        raise typer.Exit(EXIT_OPEN) from error
    added = f", and {found.added} more of the checker's own" if found.added else ""
    cases = "input set" if found.cases == 1 else "input sets"
    apart = f",\neach at least {found.smallest:.3g} away from the unsafe outputs" if found.smallest > 0 else ""
    typer.echo("valid")
    if found.falsified:
        typer.echo(
            f"In real numbers an input of the query reaches unsafe outputs, {found.smallest:.3g} inside of them."
        )
        typer.echo(f"model  sha256 {found.models[0]}\nquery  sha256 {found.query}")
        return
    typer.echo("In real numbers the model reaches no unsafe output of the query:")
    typer.echo(f"{found.cases} {cases} in {found.rows} parts{added}{apart}.")
    typer.echo("Nothing is said about float32 runs.")
    typer.echo(f"model  sha256 {found.models[0]}\nquery  sha256 {found.query}")
