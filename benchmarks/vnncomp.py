"""Benchmarks of the verification competition, through the command line's own path, beside what peers reached.

``--fresh`` starts a process per instance, as the competition does; otherwise one process keeps models and torch.
``--results FILE`` keeps every answer as it comes: what stands there is not asked again, and the page shows all of it, so
that long lists can be run in parts.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.measure import ROOT, Page, robust_command
from robust.cli.instances import Instance, read_list, run_instances
from robust.cli.solve import Solver

SHARED = ROOT.parent / "shared"
DECIDED = ("sat", "unsat")


@dataclass(frozen=True)
class Run:
    """One instance: our verdict and CPU seconds, what is known, what the peer said."""

    instance: Instance
    limit: float
    verdict: str
    cpu: float
    expected: str
    peer: tuple[str, float, float] | None

    @property
    def wrong(self) -> bool:
        return self.verdict in DECIDED and self.expected in DECIDED and self.verdict != self.expected

    @property
    def penalised(self) -> float:
        """PAR-2: the seconds of an answer, twice the limit without one."""
        return self.cpu if self.verdict in DECIDED else 2 * self.limit


def expectations(folder: Path) -> dict[tuple[str, str], str]:
    with (folder / "instances.csv").open(encoding="utf-8") as file:
        return {(row["onnx"], row["vnnlib"]): row["expected"] for row in csv.DictReader(file)}


def peers(shared: Path) -> dict[tuple[str, str, str], tuple[str, float, float]]:
    """Benchmark, model and query -> verdict, CPU seconds without start-up, and the limit of that run."""
    path = shared / "peers" / "alpha_beta_crown_cpu.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        return {
            (row["benchmark"], row["onnx"], row["vnnlib"]): (
                row["verdict"],
                float(row["cpu_s_without_startup"]),
                float(row["limit_s"]),
            )
            for row in csv.DictReader(file)
        }


def fresh(item: Instance, limit: float) -> tuple[str, float]:
    """A process of its own: first line of standard output, CPU seconds."""
    words = robust_command("verify", str(item.query), "--network", f"N={item.model}", "--timeout", f"{limit:g}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = os.times()
    try:
        result = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, env=environment, timeout=limit + 10, check=False
        )
        verdict = (result.stdout.splitlines() or ["error"])[0] if result.returncode == 0 else "error"
    except subprocess.TimeoutExpired:
        verdict = "overshot"
    after = os.times()
    return verdict, after.children_user + after.children_system - before.children_user - before.children_system


KEPT = ("benchmark", "onnx", "vnnlib", "verdict", "cpu_seconds", "limit")


def kept(path: Path | None) -> dict[tuple[str, str, str], tuple[str, float, float]]:
    """Benchmark, model and query -> verdict, CPU seconds and limit of an earlier run."""
    if path is None or not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        return {
            (row["benchmark"], row["onnx"], row["vnnlib"]): (row["verdict"], float(row["cpu_seconds"]), float(row["limit"]))
            for row in csv.DictReader(file)
        }  # fmt: skip


def keep(path: Path | None, name: str, run: Run) -> None:
    """One more row."""
    if path is None:
        return
    new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(KEPT)
        writer.writerow((name, run.instance.onnx, run.instance.vnnlib, run.verdict, f"{run.cpu:.3f}", f"{run.limit:g}"))


def runs(name: str, settings: argparse.Namespace, shared: Path) -> Iterator[Run]:
    folder = shared / "vnncomp" / name
    known, others = expectations(folder), peers(shared)
    instances = read_list(folder / "instances.csv")
    if settings.peers_only:
        instances = [item for item in instances if (name, item.onnx, item.vnnlib) in others]
    solver, before = Solver(), kept(settings.results)
    for item in instances[: settings.limit]:
        limit = min(settings.timeout, item.timeout or settings.timeout)
        key = (item.onnx, item.vnnlib)
        if (name, *key) in before:
            verdict, cpu, limit = before[(name, *key)]
            yield Run(item, limit, verdict, cpu, known[key], others.get((name, *key)))
            continue
        if settings.fresh:
            verdict, cpu = fresh(item, limit)
        else:
            found = next(run_instances(solver, [item], limit))
            verdict, cpu = found.verdict, found.cpu_seconds
            if verdict == "error":
                print(f"    {item.onnx} {item.vnnlib}: {found.reason}")
        run = Run(item, limit, verdict, cpu, known[key], others.get((name, *key)))
        keep(settings.results, name, run)
        yield run


def table_row(name: str, found: list[Run]) -> list[object]:
    decided = [run for run in found if run.verdict in DECIDED]
    ours = [run for run in found if run.peer is not None]
    peer = [run.peer for run in ours if run.peer is not None]
    peer_decided = [entry for entry in peer if entry[0] in DECIDED]
    both = [run for run in ours if run.verdict in DECIDED]
    cpu = [run.cpu for run in found]
    return [
        name,
        len(found),
        f"{max(run.limit for run in found):g}",
        f"{sum(run.verdict == 'unsat' for run in found)} / {sum(run.verdict == 'sat' for run in found)}",
        len(found) - len(decided),
        sum(run.wrong for run in found),
        f"{statistics.median(cpu):.3g} / {max(cpu):.3g}",
        f"{statistics.mean(run.penalised for run in found):.3g}",
        f"{len(both)} of {len(ours)}" if ours else "-",
        f"{len(peer_decided)} of {len(peer)}" if peer else "-",
        f"{statistics.median(entry[1] for entry in peer):.3g}" if peer else "-",
    ]


COLUMNS = (
    "benchmark",
    "instances",
    "limit s",
    "unsat / sat",
    "open",
    "wrong",
    "CPU s, median / largest",
    "PAR-2",
    "decided where the peer was run",
    "peer decided",
    "peer's median CPU s without start-up",
)


def main() -> int:
    """Run, print, and write ``results/vnncomp.md`` if asked; 1 if a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder that holds vnncomp/ and peers/")
    parser.add_argument("--benchmarks", nargs="*", help="names of folders; all by default")
    parser.add_argument("--limit", type=int, help="at most so many instances of each")
    parser.add_argument("--timeout", type=float, default=20.0, help="at most so many seconds for each")
    parser.add_argument("--fresh", action="store_true", help="a process per instance")
    parser.add_argument("--peers-only", action="store_true", help="only instances that the peer was run on")
    parser.add_argument("--results", type=Path, help="a CSV: answers that stand there are not asked again, others join")
    parser.add_argument(
        "--cpu-clock", action="store_true", help="limits count CPU seconds, where others share the cores"
    )
    parser.add_argument("--write", action="store_true", help="write the page")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    names = settings.benchmarks or sorted(
        path.name for path in (settings.shared / "vnncomp").iterdir() if path.is_dir()
    )
    if settings.cpu_clock:
        time.monotonic = time.process_time  # type: ignore[assignment]
    page = Page("vnncomp", "Benchmarks of the verification competition")
    page.lines.append(
        f"{'A process each' if settings.fresh else 'One process'}, one thread; limits count "
        f"{'CPU' if settings.cpu_clock else 'wall'} seconds.\n"
    )
    rows, wrong = [], []
    for name in names:
        clock, found = time.monotonic(), list(runs(name, settings, settings.shared))
        if found:
            rows.append(table_row(name, found))
            print(f"{name}: {time.monotonic() - clock:.0f} s", flush=True)
        wrong += [run for run in found if run.wrong]
    page.table(COLUMNS, rows)
    for run in wrong:
        page.say(f"WRONG: {run.instance.onnx} {run.instance.vnnlib}: {run.verdict}, known to be {run.expected}")
    if settings.write:
        page.write()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
