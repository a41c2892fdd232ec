"""The ``robust`` command: its subcommands, and how errors become exit statuses.

====== ==============================================================
status meaning
====== ==============================================================
0      passed, or finished without a threshold to judge
1      a threshold or a control failed
2      the audit could not run: usage, plan, model, data, installation
3      finished, but something asked for stayed undecided
130    interrupted by Ctrl-C; finished work is kept
====== ==============================================================
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from robust import __version__
from robust.cli import audit, config, doctor, init, listing, report
from robust.cli.siblings import require_our_siblings
from robust.errors import RobustError

EXIT_CANNOT_RUN = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="robust",
    help="Audit a trained model: attacks, proofs, fooling images, out-of-distribution behaviour, fairness, generators.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("audit")(audit.audit)
app.command("report")(report.report)
app.command("list")(listing.list_things)
app.command("init")(init.init)
app.add_typer(config.app, name="config")
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"robust-audit {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the console command."""
    try:
        require_our_siblings()
        app()
    except RobustError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_CANNOT_RUN)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception:
        traceback.print_exc()
        typer.echo("error: this is a fault of robust-audit, not of your model or data; please report it", err=True)
        sys.exit(EXIT_CANNOT_RUN)
