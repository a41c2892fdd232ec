"""Ctrl-C, termination and a reader who went away: a sentence and the status that shells expect, not a traceback."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")

EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_NO_READER = 128 + signal.SIGPIPE
KEPT = "finished work is kept; the same command continues where it stopped"


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came. Like Ctrl-C it passes through ``except Exception`` and lets everything close."""


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises ``TerminatedError`` in the main thread."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise TerminatedError


def interruptible(command: Callable[P, R], note: str = "") -> Callable[P, R]:
    """``command`` with an end of its own for each signal; its signature, which typer reads, stays."""

    @functools.wraps(command)
    def guarded(*args: P.args, **options: P.kwargs) -> R:
        try:
            return command(*args, **options)
        except KeyboardInterrupt as error:
            raise typer.Exit(say_interrupted(error, note)) from None
        except BrokenPipeError:
            silence_output()
            raise typer.Exit(EXIT_NO_READER) from None

    return guarded


def say_interrupted(error: KeyboardInterrupt, note: str = "") -> int:
    """Say so on standard error; the exit status: 130, or 143 for SIGTERM."""
    terminated = isinstance(error, TerminatedError)
    typer.echo(": ".join(part for part in ("terminated" if terminated else "interrupted", note) if part), err=True)
    return EXIT_TERMINATED if terminated else EXIT_INTERRUPTED


def silence_output() -> None:
    """Nobody reads standard output any more: send the rest nowhere, so that closing it is no second error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
