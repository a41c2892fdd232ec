"""``robust verify MODEL --data ...``: which samples are certified, falsified or unknown within a radius, for people."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from robust.cli.interrupts import say_interrupted, silence_output
from robust.errors import RobustError, UsageError

if TYPE_CHECKING:
    from robust.audit.plan import Plan
    from robust.audit.verification_state import Verification

EXIT_CERTIFIED, EXIT_FALSIFIED, EXIT_BAD_INPUT, EXIT_UNKNOWN = 0, 1, 2, 3
ROWS = 50
"""Rows of the table that are shown where nobody says how many."""

EPILOG = """exit status: 0 every sample is certified at every radius; 1 some are falsified or misclassified; 2 the input
is bad; 3 some are unknown and none is falsified; 130 interrupted (what is decided is printed)"""


class OutOfTimeError(KeyboardInterrupt):
    """The time that ``--timeout`` gives is over. Like Ctrl-C it passes through ``except Exception``."""


def verify_data(argv: Sequence[str]) -> int:
    """The command, from its arguments to its exit status.

    Args:
        argv: what follows ``robust verify``.
    """
    try:
        options = _parser().parse_args(list(argv))
    except SystemExit as end:  # argparse has said what is wrong, or printed the help
        return int(end.code or 0)
    try:
        return _verify(options)
    except RobustError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_BAD_INPUT


def radius(text: str) -> float:
    """``8/255``, ``0.03`` or ``1e-2`` as a number.

    Raises:
        UsageError: it is no finite number of at least 0.
    """
    try:
        value = float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError):
        value = -1.0
    if not value >= 0:
        raise UsageError(f"cannot read the radius {text!r}", wanted="a number of at least 0, for example 8/255 or 0.03")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="robust verify",
        description="Attack and prove every sample of a data set within a radius.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("model", nargs="?", help="model.onnx, package.module:function, or a file with --trust-model")
    add("--data", help=".npz, .npy, .csv, .parquet, a folder of class folders, or builtin:digits")
    add("--eps", action="append", required=True, help="radius in input units: 8/255, 0.03; several: 2/255,8/255")
    add("--norm", choices=("linf", "l2"), default="linf", help="of the balls (linf)")
    add("--method", default="crown", help="bounds: interval, crown, ... as `robust list verifiers` names them (crown)")
    add("--complete", type=float, default=0.0, metavar="S", help="seconds of branch and bound per unknown sample (0)")
    add("--limit", type=int, metavar="N", help="at most N samples, stratified by class, all of them shown")
    add("--rows", type=int, metavar="N", help=f"rows of the table ({ROWS}, or --limit)")
    add("--timeout", type=float, metavar="S", help="seconds for attack and certificates; then what is left is unknown")
    add("--steps", type=int, default=20, help="steps of PGD, from two starts each (20)")
    add("--labels", help="label column of a table, or labels file of a .npy")
    add("--weights", help="safetensors or weights-only state dict")
    add("--trust-model", action="store_true", default=None, help="allow formats that can run code when loaded")
    add("--mean", type=_numbers, help="subtracted inside the model: a number, or one per channel: 0.5,0.4,0.4")
    add("--std", type=_numbers, help="divided by inside the model")
    add("--input-box", nargs=2, type=float, metavar=("LOW", "HIGH"), help="smallest and largest input value")
    add("--device", help="cpu, cuda, cuda:1, ...")
    add("--seed", type=int, help="all randomness comes from it")
    add("--set", action="append", dest="assignments", metavar="KEY=VALUE", help="any key of an audit's plan")
    add("--json", metavar="FILE", help="write everything as JSON; -: to standard output, instead of the table")
    add("--witnesses", type=Path, metavar="DIR", help="keep the inputs that falsify, as .npz")
    add("--quiet", action="store_true", help="no progress")
    return parser


def _numbers(text: str) -> float | tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    return values[0] if len(values) == 1 else values


def _epsilons(texts: Sequence[str]) -> tuple[float, ...]:
    return tuple(sorted({radius(part) for text in texts for part in text.split(",")}))


def _plan(options: argparse.Namespace) -> Plan:
    from robust.cli.options import resolve, sources

    for name in ("limit", "rows", "steps"):
        value = getattr(options, name)
        if value is not None and value < (0 if name == "rows" else 1):
            raise UsageError(f"--{name} is too small", wanted="at least 1", got=value)
    if not 0 <= options.complete < float("inf"):
        raise UsageError("--complete is no time", wanted="seconds, at least 0", got=options.complete)
    if options.timeout is not None and not 0 < options.timeout < float("inf"):
        raise UsageError("--timeout is no time", wanted="seconds above 0", got=options.timeout)
    named: dict[str, Any] = sources(
        model=options.model,
        weights=options.weights,
        trust=options.trust_model,
        data=options.data,
        labels=options.labels,
        groups=None,
        reference=None,
        generator=None,
    ) | {
        "seed": options.seed,
        "device": options.device,
        "model.mean": options.mean,
        "model.std": options.std,
        "model.input_box": None if options.input_box is None else tuple(options.input_box),
        "data.limit": options.limit,
        "data.allow_missing_classes": True,
    }
    return resolve(None, named=named, assignments=options.assignments).plan


def _verify(options: argparse.Namespace) -> int:
    epsilons, plan = _epsilons(options.eps), _plan(options)
    if options.witnesses is not None:
        from robust.audit.run_directory import make_directory

        make_directory(options.witnesses)
    from robust.audit.assemble import assemble
    from robust.audit.verification import run, verification
    from robust.audit.verification_state import Question

    context = assemble(plan).context
    state = verification(
        context, Question(options.norm, epsilons, options.method, options.steps, complete=options.complete)
    )
    ending: KeyboardInterrupt | None = None
    try:
        with _deadline(options.timeout):
            run(state, seconds=options.timeout, watch=_watcher(options.quiet))
    except KeyboardInterrupt as error:
        ending = error
        reason = "time ran out" if isinstance(error, OutOfTimeError) else "interrupted"
        state.notes.append(f"{reason}: what was not reached is unknown")
    status = exit_status(state)
    _report(state, options, status)
    if ending is not None and not isinstance(ending, OutOfTimeError):
        return say_interrupted(ending)
    return status


def exit_status(state: Verification) -> int:
    """The status that the answers deserve, over all radii."""
    from robust.audit.verification_state import Answer

    answers = {answer for place in range(len(state.question.epsilons)) for answer in state.verdicts(place)}
    if answers & {Answer.FALSIFIED, Answer.MISCLASSIFIED}:
        return EXIT_FALSIFIED
    return EXIT_UNKNOWN if Answer.UNKNOWN in answers else EXIT_CERTIFIED


def _report(state: Verification, options: argparse.Namespace, status: int) -> None:
    from robust.cli import verify_report

    if options.witnesses is not None:
        verify_report.write_witnesses(state, options.witnesses)
    if options.json is not None:
        text = verify_report.as_json(state, status)
        if options.json != "-":
            from robust.audit.run_directory import keep_file

            keep_file(Path(options.json), text.encode())
    rows = options.rows if options.rows is not None else max(ROWS, options.limit or 0)
    try:
        if options.json == "-":
            sys.stdout.write(text)
        else:
            verify_report.print_report(state, rows)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich exits where nobody reads; the status stays
        silence_output()


def _watcher(quiet: bool) -> Any:
    def watch(stage: str, done: int, total: int) -> None:
        if not quiet and sys.stderr.isatty():
            sys.stderr.write(f"\r{stage}: {done} of {total} samples " + ("\n" if done == total else ""))
            sys.stderr.flush()

    return watch


@contextmanager
def _deadline(seconds: float | None) -> Iterator[None]:
    """``OutOfTimeError`` after so many seconds; no limit where there is no alarm (another thread than the main one)."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
