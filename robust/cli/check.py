"""``robust check``: a proof established again by the independent checker, which shares no code with what made it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robust.errors import UsageError

if TYPE_CHECKING:
    from robust.checker.verdict import Established

EXIT_VALID, EXIT_INVALID, EXIT_UNUSABLE, EXIT_OPEN = 0, 1, 2, 3


def check(
    proof: Annotated[
        Path,
        typer.Argument(help="Written by robust verify --proof; or a folder of NAME.npz and NAME.vnnlib."),
    ],
    model: Annotated[Path, typer.Argument(help="The ONNX file, gzipped or not.")],
    query: Annotated[Path | None, typer.Argument(help="The VNN-LIB query of one proof, gzipped or not.")] = None,
) -> None:
    """Establish a proof again: read model, query and proof anew, and bound every part, with rounding bounded as well.

    Of a folder, as audits write it (proofs/), each proof is checked against the model, which may be a later one of the
    same architecture: what was proved of another file is invalid.

    Exit status: 0 valid, 1 invalid, 2 a file is not what it should be, 3 beyond this checker. Of a folder the worst.
    """
    from robust.checker.check import check_proof
    from robust.checker.verdict import InvalidError, NotEstablishedError, RefusedError

    if proof.is_dir():
        raise typer.Exit(_folder(proof, model, query))
    if query is None:
        raise UsageError("the question of the proof is missing", wanted="PROOF MODEL QUERY, or FOLDER MODEL", got=proof)
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
    typer.echo("valid")
    typer.echo(_said(found))
    typer.echo(f"model  sha256 {found.models[0]}\nquery  sha256 {found.query}")


def _said(found: Established) -> str:
    if found.falsified:
        return f"In real numbers an input of the query reaches unsafe outputs, {found.smallest:.3g} inside of them."
    added = f", and {found.added} more of the checker's own" if found.added else ""
    cases = "input set" if found.cases == 1 else "input sets"
    parts = "1 part" if found.rows == 1 else f"{found.rows} parts"
    apart = f",\neach at least {found.smallest:.3g} away from the unsafe outputs" if found.smallest > 0 else ""
    return (
        "In real numbers the model reaches no unsafe output of the query:\n"
        f"{found.cases} {cases} in {parts}{added}{apart}.\nNothing is said about float32 runs."
    )


def _folder(folder: Path, model: Path, query: Path | None) -> int:
    """Every proof of a folder, a line for each; the exit status."""
    from robust.checker.check import check_proof
    from robust.checker.verdict import InvalidError, NotEstablishedError, RefusedError

    proofs = sorted(folder.glob("*.npz"))
    if query is not None:
        raise UsageError("a folder holds its own questions", wanted="FOLDER MODEL", got=query)
    if not proofs:
        raise UsageError(f"there is no proof in {folder}", wanted="NAME.npz beside NAME.vnnlib")
    counts = dict.fromkeys((EXIT_VALID, EXIT_INVALID, EXIT_UNUSABLE, EXIT_OPEN), 0)
    for proof in proofs:
        started = time.perf_counter()
        try:
            found = check_proof(proof, model, _question(proof))
            status, said = EXIT_VALID, f"valid            {found.rows} part{'s' if found.rows != 1 else ''}"
        except InvalidError as error:
            status, said = EXIT_INVALID, f"invalid          {error}"
        except NotEstablishedError as error:
            status, said = EXIT_OPEN, f"not established  {error}"
        except RefusedError as error:
            status, said = EXIT_UNUSABLE, f"refused          {error}"
        counts[status] += 1
        typer.echo(f"{proof.name}  {time.perf_counter() - started:6.2f} s  {said}")
    others = [
        f"{counts[status]} {word}"
        for status, word in ((EXIT_INVALID, "invalid"), (EXIT_OPEN, "not established"), (EXIT_UNUSABLE, "refused"))
        if counts[status]
    ]
    typer.echo(f"{counts[EXIT_VALID]} of {len(proofs)} valid" + (f"; {', '.join(others)}" if others else ""))
    return next((status for status in (EXIT_INVALID, EXIT_UNUSABLE, EXIT_OPEN) if counts[status]), EXIT_VALID)


def _question(proof: Path) -> Path:
    plain = proof.with_suffix(".vnnlib")
    packed = plain.with_name(plain.name + ".gz")
    return packed if packed.exists() and not plain.exists() else plain
