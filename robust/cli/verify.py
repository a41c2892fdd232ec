"""``robust verify``, ``supports``, ``--name`` and ``--version``: the solver interface of VNN-LIB 2, and a list mode.

Parsed with argparse and without any package that only the other commands need.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from robust.errors import RobustError, UsageError

if TYPE_CHECKING:
    from robust.cli.solve import Answer

EXIT_UNSAT, EXIT_SAT, EXIT_CANNOT_RUN, EXIT_UNDECIDED, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
ENGINES = ("all", "search", "interval", "crown", "input-splitting", "neuron-splitting", "alpha-crown", "zonotope", "z3")

_DESCRIPTION = """\
Answer whether an input allowed by a VNN-LIB query reaches the outputs that it describes. The first line of standard
output is sat (there is such an input; it follows, replayed on the model by onnxruntime), unsat (there is none),
unknown or timed-out.

  robust verify QUERY.vnnlib --network NAME=MODEL.onnx --timeout 60   the solver interface of VNN-LIB
  robust verify MODEL.onnx QUERY.vnnlib                               the same for people
  robust verify --instances FILE.csv                                  rows of onnx, vnnlib, timeout
  robust verify MODEL.onnx --data DATA --eps 8/255 every sample of a data set; its options: --data -h
"""
_EPILOG = """\
Exit status: with --network 0 for every answer; without it 0 unsat, 1 sat, 3 unknown or timed-out. A list: 0 when all
instances have an answer, 3 when some are open. Always 2 when something cannot be read, 130 after Ctrl-C.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint="robust verify --help")


def build_parser() -> argparse.ArgumentParser:
    """The options of ``robust verify``."""
    parser = _Parser(
        prog="robust verify",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="a query; or a model (.onnx, .onnx.gz) and a query, in any order")
    add("--network", action="append", default=[], metavar="NAME=MODEL", help="the model of a declared network")
    add(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="answer within so many seconds; for a list: at most so many",
    )
    add("--engine", choices=ENGINES, default="all", help="stages that may answer (default: all)")
    add("--seed", type=int, default=0, help="of the witness search (default: 0)")
    add("--instances", type=Path, metavar="CSV", help="run a list in one process; paths relative to the file")
    add("--output", type=Path, metavar="CSV", help="write the answers of a list")
    add("--proof", "--certificate", type=Path, metavar="FILE", help="write what proves unsat, or the witness of sat")
    add("--proofs", type=Path, metavar="FOLDER", help="the same for a list, a file for each proved row")
    add("--serialise-assignments", "--assignments", metavar="FOLDER", help="accepted; assignments are printed instead")
    return parser


def solver_main(words: Sequence[str]) -> int:
    """Run one of the solver's commands; the exit status.

    Args:
        words: the command line behind ``robust``.
    """
    try:
        return _run(list(words), time.monotonic())
    except RobustError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_CANNOT_RUN
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except Exception:
        traceback.print_exc()
        print("error: this is a fault of robust-audit, not of your model or query; please report it", file=sys.stderr)  # noqa: T201
        return EXIT_CANNOT_RUN


def _run(words: list[str], start: float) -> int:
    command, rest = words[0], words[1:]
    if command in ("--name", "--version"):
        from robust import __version__

        if rest:
            raise UsageError(f"{command} stands alone", got=" ".join(rest))
        _say("robust-audit" if command == "--name" else __version__)
        return 0
    if command in ("supports", "capabilities"):
        from robust.cli.supports import answer

        sys.stdout.write(answer(rest))
        return 0
    from robust.cli.siblings import require_our_siblings

    require_our_siblings()
    if any(word == "--data" or word.startswith("--data=") for word in rest):
        return int(importlib.import_module("robust.cli.verify_data").verify_data(rest))
    arguments = build_parser().parse_args(rest)
    if arguments.timeout is not None and not 0 < arguments.timeout < math.inf:
        raise UsageError("a timeout is a number of seconds", wanted="> 0", got=arguments.timeout)
    if arguments.proofs is not None and arguments.instances is None:
        raise UsageError("--proofs is for a list", wanted="--proof FILE")
    if arguments.instances is not None:
        from robust.cli.instances import run_list

        return run_list(arguments)
    return _single(arguments, start)


def _single(arguments: argparse.Namespace, start: float) -> int:
    query, models = _named_files(arguments.files, arguments.network)
    if arguments.serialise_assignments is not None:
        print("warning: --serialise-assignments is not supported; the assignment is printed", file=sys.stderr)  # noqa: T201
    status = EXIT_UNSAT if arguments.network else EXIT_UNDECIDED
    if arguments.timeout is None:
        return _answer(arguments, query, models, None, start)
    reserve = min(0.5, 0.1 * arguments.timeout)
    watch = _watch(arguments.timeout - reserve / 2 - (time.monotonic() - start), status)
    try:
        return _answer(arguments, query, models, arguments.timeout - reserve, start)
    finally:
        watch.cancel()


def _answer(
    arguments: argparse.Namespace, query: Path, models: dict[str, Path], seconds: float | None, start: float
) -> int:
    from robust.cli.solve import Solver
    from robust.record.answer import NEITHER
    from verifiers.deadline import Deadline

    kept = arguments.proof
    if kept is not None:
        from robust.cli.proofs import keep_proof, require_folder_of

        require_folder_of(kept)
    solver = Solver(engine=arguments.engine, seed=arguments.seed, keep_proof=kept is not None)
    found = solver.solve(query, models, Deadline(seconds, start=start))
    if kept is not None and found.result in ("sat", "unsat"):
        keep_proof(kept, found, query, models)
    with _SPOKEN:
        _say(found.text())
        if not arguments.network or found.result in ("unknown", "timed-out"):
            holds = f" ({found.meanings.sentence})" if found.meanings != NEITHER else ""
            said = f"{found.stage + ': ' if found.stage else ''}{found.reason}{holds}"
            print(said, file=sys.stderr)  # noqa: T201
        return EXIT_UNSAT if arguments.network else _status(found)


def _named_files(files: list[str], networks: list[str]) -> tuple[Path, dict[str, Path]]:
    """The query, and the model of each network."""
    models: dict[str, Path] = {}
    for word in networks:
        name, sign, path = word.partition("=")
        if not (name and sign and path):
            raise UsageError("--network takes a name and a file", wanted="NAME=MODEL.onnx", got=word)
        if name in models:
            raise UsageError(f"--network names {name!r} twice")
        models[name] = Path(path)
    if models:
        if len(files) != 1:
            raise UsageError("with --network there is one query", wanted="QUERY --network NAME=MODEL", got=files)
        return Path(files[0]), models
    found = [word for word in files if word.removesuffix(".gz").endswith(".onnx")]
    queries = [word for word in files if word not in found]
    if len(found) != 1 or len(queries) != 1:
        raise UsageError(
            "a model and a query are needed",
            wanted="MODEL.onnx QUERY.vnnlib, or QUERY --network NAME=MODEL.onnx",
            got=" ".join(files) or "nothing",
        )
    return Path(queries[0]), {"": Path(found[0])}


_SPOKEN = threading.Lock()
"""Held by whoever answers: the solver, or the watch."""


def _watch(seconds: float, status: int) -> threading.Timer:
    """Answer ``timed-out`` and end the process in so many seconds, whatever a library is in the middle of."""

    def end() -> None:
        if _SPOKEN.acquire(blocking=False):
            _say("timed-out")
            os._exit(status)

    timer = threading.Timer(max(0.0, seconds), end)
    timer.daemon = True
    timer.start()
    return timer


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _status(found: Answer) -> int:
    return {"unsat": EXIT_UNSAT, "sat": EXIT_SAT}.get(found.result, EXIT_UNDECIDED)
