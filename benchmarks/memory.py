"""Peak resident memory of whole processes, as the system counted it when they ended."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, SHARED, Page, child, robust_command

DEMO = str(ROOT / "examples" / "digits" / "robust.toml")
MNIST = ("audit", "--model", str(SHARED / "mnist_wk17a.onnx"), "--data", str(SHARED.parent / "mnist" / "test.npz"))
SMALL = ("--set", "data.limit=40", "--set", "threads=1", "--quiet")


def commands() -> dict[str, list[str]]:
    """Name -> arguments of Python."""
    found = {
        "import torch": ["-c", "import torch"],
        "demo, accuracy alone": robust_command("audit", DEMO, "--only", "accuracy", "--quiet"),
        "demo, attacks alone": robust_command("audit", DEMO, "--only", "attacks", "--quiet"),
        "demo, certificates alone": robust_command("audit", DEMO, "--only", "certificates", "--quiet"),
        "demo, everything": robust_command("audit", DEMO, "--quiet"),
    }
    if SHARED.is_dir():
        for name in ("accuracy", "certificates"):
            found[f"MNIST wk17a, 40 samples, {name} alone"] = robust_command(*MNIST, *SMALL, "--only", name)
    return found


def main() -> None:
    """Run and write ``results/memory.md``."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    page = Page("memory", "Peak memory")
    rows = []
    base = 1.0
    for name, arguments in commands().items():
        with tempfile.TemporaryDirectory() as folder:
            run = child(arguments, Path(folder))
        base = run.peak if name == "import torch" else base
        rows.append((name, f"{run.peak:.0f}", f"{run.peak / base:.2f}", f"{run.cpu:.1f}", run.status))
    page.say("One run each, of the process itself; the solver of `smt` is a process of its own and not counted.")
    page.table(("process", "peak MiB", "over `import torch`", "CPU s", "exit status"), rows)
    page.say("Noise: peaks repeat to a few MiB; they depend on torch's build far more than on the load of the machine.")
    page.write()


if __name__ == "__main__":
    main()
