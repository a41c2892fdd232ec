"""How long until something happens: the bare interpreter, the package, the command, a first audit."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, Child, Page, child, robust_command

MODEL = str(ROOT / "examples" / "digits" / "classifier.onnx")
FIRST_LOOK = ("audit", "--model", MODEL, "--data", "builtin:digits", "--only", "accuracy", "--quiet")
COMMANDS: dict[str, list[str]] = {
    "python, doing nothing": ["-c", "pass"],
    "import robust": ["-c", "import robust"],
    "robust --help": robust_command("--help"),
    "import torch": ["-c", "import torch"],
    "robust list": robust_command("list"),
    "robust audit, 1,797 digits, accuracy alone": robust_command(*FIRST_LOOK),
}


def runs_of(arguments: list[str], repeats: int) -> list[Child]:
    """Each in an empty folder of its own, so that nothing is kept from one to the next."""
    runs = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(child(arguments, Path(folder)))
    return runs


def main() -> None:
    """Run and write ``results/start_up.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    settings = parser.parse_args()
    found: dict[str, list[Child]] = {name: [] for name in COMMANDS}
    for _ in range(settings.repeats):
        for name, arguments in COMMANDS.items():
            found[name] += runs_of(arguments, 1)
    torch_seconds = statistics.median(run.cpu for run in found["import torch"])
    page = Page("start_up", "Start-up")
    rows = []
    for name, runs in found.items():
        cpu = [run.cpu for run in runs]
        rows.append(
            (
                name,
                f"{statistics.median(cpu):.2f} [{min(cpu):.2f}, {max(cpu):.2f}]",
                f"{statistics.median(run.wall for run in runs):.2f}",
                f"{statistics.median(cpu) / torch_seconds:.2f}",
                ", ".join(sorted({str(run.status) for run in runs})),
            )
        )
    page.say(f"Fresh processes, median [range] of {settings.repeats} rounds in which each command ran once.")
    page.table(("command", "CPU s", "wall s", "CPU s over `import torch`", "exit status"), rows)
    page.say("Noise: other processes shared the cores, which lengthens wall seconds most; files were in the cache.")
    page.write()


if __name__ == "__main__":
    main()
