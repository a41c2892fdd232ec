"""A list of instances in one process: rows of model, query and timeout, as the verification competitions write them."""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from robust.cli.proofs import keep_proof
from robust.cli.solve import Solver
from robust.errors import RobustError, UsageError
from robust.record.answer import Meanings
from verifiers.deadline import Deadline

COLUMNS = ("onnx", "vnnlib", "verdict", "seconds", "cpu_seconds", "stage", "reason", "proof", "real", "deployed")


@dataclass(frozen=True)
class Instance:
    """A row: model and query as the list writes them, where they lie, and the seconds that the list allows."""

    onnx: str
    vnnlib: str
    model: Path
    query: Path
    timeout: float | None


@dataclass(frozen=True)
class Outcome:
    """What became of an instance: ``sat``, ``unsat``, ``unknown``, ``timed-out``, or ``error``; the name of the
    file that proves it, if one was asked for; and what it says of real numbers and of float32 runs."""

    instance: Instance
    verdict: str
    seconds: float
    cpu_seconds: float
    stage: str
    reason: str
    proof: str = ""
    meanings: Meanings | None = None

    def row(self) -> tuple[str, ...]:
        """In the order of ``COLUMNS``."""
        times = (f"{self.seconds:.3f}", f"{self.cpu_seconds:.3f}")
        said = self.meanings
        meant = ("", "") if said is None else (said.real.value, said.deployed.value)
        first = (self.instance.onnx, self.instance.vnnlib, self.verdict)
        return (*first, *times, self.stage, self.reason, self.proof, *meant)


def read_list(path: Path) -> list[Instance]:
    """Rows of a list; a header is recognised, further columns are ignored.

    Raises:
        UsageError: it cannot be read, a row has too few columns, a timeout is no number.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read the list {path}", wanted="rows of onnx,vnnlib,timeout", got=error) from error
    found = []
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells[0].lower() == "onnx"):
            continue
        if len(cells) < 2:
            raise UsageError(f"{path}, line {number}: too few columns", wanted="onnx,vnnlib,timeout", got=row)
        found.append(_instance(path, number, cells))
    if not found:
        raise UsageError(f"the list {path} is empty", wanted="rows of onnx,vnnlib,timeout")
    return found


def _instance(path: Path, number: int, cells: list[str]) -> Instance:
    try:
        timeout = float(cells[2]) if len(cells) > 2 and cells[2] else None
    except ValueError as error:
        raise UsageError(f"{path}, line {number}: a timeout is a number", got=cells[2]) from error
    if timeout is not None and not 0 < timeout < float("inf"):
        raise UsageError(f"{path}, line {number}: a timeout is a number of seconds", wanted="> 0", got=cells[2])
    model, query = _packed(path.parent / cells[0]), _packed(path.parent / cells[1])
    return Instance(cells[0], cells[1], model, query, timeout)


def _packed(path: Path) -> Path:
    """The gzipped file where the plain one is missing."""
    packed = path.with_name(path.name + ".gz")
    return packed if not path.exists() and packed.exists() else path


def run_instances(
    solver: Solver, instances: list[Instance], most: float | None = None, proofs: Path | None = None
) -> Iterator[Outcome]:
    """Answer one after the other.

    Args:
        solver: keeps models from one to the next.
        instances: of ``read_list``.
        most: at most so many seconds for each.
        proofs: folder for the proofs of rows; the solver has to keep them.
    """
    for number, item in enumerate(instances, 1):
        limits = [limit for limit in (item.timeout, most) if limit is not None]
        wall, cpu = time.monotonic(), time.process_time()
        try:
            found = solver.solve(item.query, {"": item.model}, Deadline(min(limits) if limits else None))
            verdict, stage, reason, kept, said = found.result, found.stage, found.reason, "", found.meanings
            if proofs is not None and verdict in ("sat", "unsat"):
                kept = f"{number:05d}.npz"
                keep_proof(proofs / kept, found, item.query, {"": item.model})
        except RobustError as error:
            verdict, stage, reason, kept, said = "error", "", " ".join(str(error).split()), "", None
        yield Outcome(item, verdict, time.monotonic() - wall, time.process_time() - cpu, stage, reason, kept, said)


def run_list(arguments: argparse.Namespace) -> int:
    """``robust verify --instances``: a line per instance, in the table of answers as soon as it is known; the exit
    status."""
    if arguments.files or arguments.network:
        raise UsageError("a list names its own models and queries", got=arguments.files or arguments.network)
    if arguments.proof is not None:
        raise UsageError("--proof is for one query", wanted="--proofs FOLDER")
    instances = read_list(arguments.instances)
    if arguments.proofs is not None:
        _make(arguments.proofs)
    solver = Solver(engine=arguments.engine, seed=arguments.seed, keep_proof=arguments.proofs is not None)
    verdicts = set()
    with contextlib.ExitStack() as stack:
        file = None if arguments.output is None else stack.enter_context(_opened(arguments.output))
        for found in run_instances(solver, instances, arguments.timeout, arguments.proofs):
            verdicts.add(found.verdict)
            line = f"{found.verdict:9s} {found.seconds:8.2f} s  {found.instance.onnx}  {found.instance.vnnlib}"
            sys.stdout.write(line + (f"  {found.reason}\n" if found.verdict == "error" else "\n"))
            sys.stdout.flush()
            if file is not None:
                _write_row(file, found.row())
    return 2 if "error" in verdicts else 3 if verdicts & {"unknown", "timed-out"} else 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}", got=error) from error


def _opened(path: Path) -> TextIO:
    """The table of answers with its head, open for rows."""
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"cannot write {path}", got=error) from error
    _write_row(file, COLUMNS)
    return file


def _write_row(file: TextIO, cells: Iterable[str]) -> None:
    """A row at once: whatever ends the list, the answers until then are in the file."""
    try:
        csv.writer(file).writerow(cells)
        file.flush()
    except OSError as error:
        raise UsageError(f"cannot write {file.name}", got=error) from error
