"""What all benchmarks share: paired repeats in CPU seconds, peak memory of a child, tables and their page."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
_FOLDERS = [folder / "shared" / "data" / "models" for folder in ROOT.parents]
SHARED = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])
"""Further trained networks, if the checkout, or a folder around it, has them beside it."""


@dataclass(frozen=True)
class Timing:
    """CPU seconds of some repeats of one thing."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:.3g} [{min(self.seconds):.3g}, {max(self.seconds):.3g}]"


def paired(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Each call in turn, ``repeats`` rounds after one round to warm up: what disturbs one round disturbs all in it."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 1):
        for name, call in calls.items():
            clock = time.process_time()
            call()
            if round_:
                found[name].append(time.process_time() - clock)
    return {name: Timing(tuple(seconds)) for name, seconds in found.items()}


def ratio(one: Timing, other: Timing) -> str:
    """Median over rounds of ``one / other``, with the range."""
    ratios = [a / b for a, b in zip(one.seconds, other.seconds, strict=True)]
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


@dataclass(frozen=True)
class Child:
    """One run of a Python child: CPU and wall seconds, peak resident memory in MiB, exit status."""

    cpu: float
    wall: float
    peak: float
    status: int


def child(arguments: Sequence[str], folder: Path) -> Child:
    """Run ``python *arguments`` in ``folder`` with the checkout importable, one thread, output thrown away."""
    found = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
    clock = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Child(
        cpu=usage.ru_utime + usage.ru_stime,
        wall=time.perf_counter() - clock,
        peak=usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        status=process.returncode,
    )


def robust_command(*words: str) -> list[str]:
    """Arguments for ``child`` that are the command ``robust``."""
    return ["-c", "from robust.cli import main; main()", *words]


@dataclass
class Page:
    """A page of results, printed as it grows and written at the end."""

    name: str
    title: str
    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(text, flush=True)
        self.lines += [text, ""]

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        text = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
        text += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
        self.say("\n".join(text))

    def write(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        head = [f"# {self.title}", "", f"`python -m benchmarks.{self.name}`. {machine()}", ""]
        text = "\n".join([*head, *self.lines]).rstrip() + "\n"
        (RESULTS / f"{self.name}.md").write_text(text, encoding="utf-8")


def machine() -> str:
    """Date, processor and versions, without names or paths of the machine."""
    versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "numpy", "foolbox", "onnxruntime"))
    return (
        f"{time.strftime('%Y-%m-%d')}, {_processor()}, {os.cpu_count()} cores, one thread used, "
        f"Python {platform.python_version()}, {versions}."
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
