"""The ``robust`` command: its subcommands, and how errors become exit statuses.

====== ==============================================================
status meaning
====== ==============================================================
0      passed, or finished without a threshold to judge
1      a threshold or a control failed
2      the audit could not run: usage, plan, model, data, installation
3      finished, but something asked for stayed undecided
130    interrupted by Ctrl-C; finished work is kept (143: by SIGTERM)
====== ==============================================================
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from robust import __version__
from robust.cli import attack, audit, check, config, doctor, facts, fairness, fool, init, listing, replay, report
from robust.cli.interrupts import KEPT, interruptible, raise_on_sigterm, say_interrupted
from robust.cli.siblings import require_our_siblings
from robust.errors import RobustError

EXIT_CANNOT_RUN = 2

app = typer.Typer(
    name="robust",
    help="Audit a trained model: attacks, proofs, fooling images, out-of-distribution behaviour, fairness, generators.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("audit")(interruptible(audit.audit, KEPT))
app.command("facts")(interruptible(facts.facts))
app.command("fairness")(interruptible(fairness.fairness))
app.command("attack")(interruptible(attack.attack))
app.command("check")(interruptible(check.check))
app.command("fool")(interruptible(fool.fool))
app.command("replay")(interruptible(replay.replay))
app.command("report")(interruptible(report.report))
app.command("list")(interruptible(listing.list_things))
app.command("init")(interruptible(init.init))
app.add_typer(config.app, name="config")
app.command("doctor")(interruptible(doctor.doctor))


def _solver(context: typer.Context) -> None:
    """Answer a VNN-LIB query: sat, unsat, unknown or timed-out. See robust verify --help."""
    from robust.cli.verify import solver_main

    raise typer.Exit(solver_main([context.info_name or "verify", *context.args]))


def _supports(context: typer.Context) -> None:
    """Say what the solver can do, in the form that VNN-LIB 2 asks for."""
    _solver(context)


_AS_THEY_ARE = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
app.command("verify", context_settings=_AS_THEY_ARE)(_solver)
app.command("supports", context_settings=_AS_THEY_ARE)(_supports)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"robust-audit {__version__}")
        raise typer.Exit
    if context.invoked_subcommand != "doctor":  # whose task it is to look at strangers
        require_our_siblings()


def main() -> None:
    """Entry point of the console command."""
    try:
        raise_on_sigterm()
        app()
    except RobustError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_CANNOT_RUN)
    except KeyboardInterrupt as error:
        sys.exit(say_interrupted(error))
    except Exception:
        traceback.print_exc()
        typer.echo("error: this is a fault of robust-audit, not of your model or data; please report it", err=True)
        sys.exit(EXIT_CANNOT_RUN)
