"""Proofs kept and checked: what keeping one costs the search, what the independent checker takes, and how large it is."""

from __future__ import annotations

import argparse
import contextlib
import csv
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch

from benchmarks.measure import ROOT, Page
from robust.checker.check import check_proof
from robust.checker.verdict import InvalidError, NotEstablishedError, RefusedError
from robust.cli.proofs import keep_proof
from robust.cli.solve import Answer, Solver
from robust.properties.vnnlib import read_query
from verifiers.branching.problem import Problem, Proved
from verifiers.deadline import Deadline

LISTS = {"acasxu": 50, "rl_benchmarks": 20, "collins_rul_cnn": 20, "mnist_fc": 20, "oval21": 6, "sri_resnet_a": 4}
"""Benchmark -> how many of its first queries without a counterexample are taken."""
LIMIT = 60.0


@dataclass(frozen=True)
class Row:
    """One query: CPU seconds without and with a proof, and of its check; bytes, parts, and what the checker said."""

    plain: float
    kept: float
    checked: float
    size: int
    parts: int
    said: str
    stage: str


def solved(solver: Solver, query: Path, model: Path) -> tuple[Answer, float]:
    clock = time.process_time()
    name = read_query(query).networks[0].name
    answer = solver.solve(query, {name: model}, Deadline(LIMIT))
    return answer, time.process_time() - clock


def checked(proof: Path, model: Path, query: Path) -> tuple[str, int, float]:
    """What the checker says, the parts that it bounded, its CPU seconds."""
    clock = time.process_time()
    try:
        found = check_proof(proof, model, query)
        said, parts = "valid", found.rows + found.added
    except NotEstablishedError as error:
        said, parts = f"not established: {error}", 0
    except (InvalidError, RefusedError) as error:
        said, parts = f"INVALID: {error}", 0
    return said, parts, time.process_time() - clock


def rows_of(folder: Path, most: int, scratch: Path) -> list[Row]:
    with (folder / "instances.csv").open(encoding="utf-8") as file:
        listed = [row for row in csv.DictReader(file) if row["expected"] == "unsat"]
    plain, keeping, found = Solver(), Solver(keep_proof=True), []
    for row in listed[:most]:
        query, model = folder / (row["vnnlib"] + ".gz"), folder / (row["onnx"] + ".gz")
        first, before = solved(plain, query, model)
        answer, kept = solved(keeping, query, model)
        if answer.result != "unsat" or first.result != "unsat":
            print(folder.name, row["onnx"], row["vnnlib"], first.result, answer.result, flush=True)
            continue
        path = scratch / "proof.npz"
        keep_proof(path, answer, query, {"": model})
        said, parts, seconds = checked(path, model, query)
        found.append(Row(before, kept, seconds, path.stat().st_size, parts, said, answer.stage))
        print(folder.name, row["onnx"], row["vnnlib"], found[-1], flush=True)
    return found


def memory(folder: Path, scratch: Path) -> list[tuple[int, float]]:
    """Parts of a proof, and the largest memory in MiB that its check took besides reading the model."""
    model, result = folder / "onnx" / "ACASXU_run2a_1_1_batch_2000.onnx.gz", []
    for name in ("prop_4", "prop_3", "prop_1"):
        query = folder / "vnnlib" / f"{name}.vnnlib.gz"
        answer, _ = solved(Solver(keep_proof=True), query, model)
        if answer.result != "unsat":
            continue
        path = scratch / "proof.npz"
        keep_proof(path, answer, query, {"": model})
        tracemalloc.start()
        found = check_proof(path, model, query)
        result.append((found.rows, tracemalloc.get_traced_memory()[1] / 2**20))
        tracemalloc.stop()
    return result


@contextlib.contextmanager
def unsound() -> Iterator[None]:
    """The same search with bounds as they are computed, and nothing confirmed."""
    nothing = {"Roundoff": lambda *_, **__: None}
    with (
        mock.patch.multiple("verifiers.branching.input_splitting", **nothing),
        mock.patch.multiple("verifiers.bounding", **nothing),
        mock.patch.object(Problem, "confirmed", lambda self, domains, effort: Proved(domains.bound, domains.bound)),
    ):
        yield


def confirmation(folder: Path, most: int) -> tuple[int, float, float]:
    """Queries that are proved either way; CPU seconds of the sound search, and of the unsound one."""
    with (folder / "instances.csv").open(encoding="utf-8") as file:
        listed = [row for row in csv.DictReader(file) if row["expected"] == "unsat"]
    count, sound, bare = 0, 0.0, 0.0
    for row in listed[:most]:
        query, model = folder / (row["vnnlib"] + ".gz"), folder / (row["onnx"] + ".gz")
        solver = Solver()
        solved(solver, query, model)  # reads and traces
        answer, one = solved(solver, query, model)
        with unsound():
            other, two = solved(solver, query, model)
        if answer.result == other.result == "unsat":
            count, sound, bare = count + 1, sound + one, bare + two
    return count, sound, bare


def main() -> None:
    """Run, print, and write ``results/certificates.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="holds vnncomp/")
    parser.add_argument("--benchmarks", nargs="*", default=list(LISTS), choices=list(LISTS))
    settings = parser.parse_args()
    torch.set_num_threads(1)
    page = Page("certificates", "Proofs kept, and checked by an independent program")
    page.say(
        f"Queries that hold; one process, CPU seconds, at most {LIMIT:g} s each; those that were not decided with and "
        "without a proof are left out. The checker's seconds include reading the ONNX file. *parts*: boxes, or leaves."
    )
    table = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in settings.benchmarks:
            folder = settings.shared / "vnncomp" / name
            rows = rows_of(folder, LISTS[name], Path(scratch)) if folder.is_dir() else []
            if rows:
                table.append(_cells(name, rows))
        page.table(
            ("benchmark", "proofs", "valid", "search s", "with proof", "check s", "check / search", "parts", "bytes, median / largest"),
            table,
        )  # fmt: skip
        found = memory(settings.shared / "vnncomp" / "acasxu", Path(scratch)) if table else []
        words = ", ".join(f"{peak:.1f} MiB for {parts} parts" for parts, peak in sorted(found))
        costs = [
            (name, *confirmation(settings.shared / "vnncomp" / name, LISTS[name]))
            for name in ("acasxu", "mnist_fc")
            if name in settings.benchmarks and (settings.shared / "vnncomp" / name).is_dir()
        ]
        page.say(
            "What soundness costs: the search as it is, and with bounds as they are computed and nothing confirmed."
        )
        page.table(
            ("benchmark", "queries", "sound s", "unsound s", "sound / unsound"),
            [
                (name, count, f"{one:.1f}", f"{two:.1f}", f"{one / max(two, 1e-9):.2f}")
                for name, count, one, two in costs
            ],
        )
        page.say(f"Largest memory that a check of an acasxu proof took, of Python's and numpy's own: {words}.")
    page.write()


def _cells(name: str, rows: list[Row]) -> list[object]:
    plain, kept, checks = (sum(getattr(row, part) for row in rows) for part in ("plain", "kept", "checked"))
    sizes = [row.size for row in rows]
    return [
        name,
        len(rows),
        sum(row.said == "valid" for row in rows),
        f"{plain:.1f}",
        f"{kept:.1f}",
        f"{checks:.1f}",
        f"{checks / kept:.2f}",
        sum(row.parts for row in rows),
        f"{statistics.median(sizes):.0f} / {max(sizes)}",
    ]


if __name__ == "__main__":
    main()
