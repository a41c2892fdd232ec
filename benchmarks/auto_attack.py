"""Our tiers against AutoAttack (pyautoattack, where it is installed): robust accuracy, passes, CPU seconds, one run."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attacks.balls import AnyNorm
from attacks.ensemble import Ensemble, Tier
from benchmarks.attack_subjects import classifier, digits
from benchmarks.measure import SHARED, Page
from robust.subjects import load_classifier
from robust.subjects.torch_classifier import TorchClassifier

PEER_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
QUESTIONS: tuple[tuple[str, AnyNorm, float], ...] = (
    ("standard", "linf", 0.1),
    ("adversarial", "linf", 0.2),
    ("standard", "l2", 1.0),
    ("adversarial", "l2", 1.5),
    ("standard", "l1", 6.0),
    ("adversarial", "l1", 8.0),
    ("wk17a", "linf", 0.1),
)
"""Network, norm, radius. ``wk17a`` is provably trained."""


@dataclass
class Result:
    """Samples that stand, rows through the model, CPU seconds."""

    stands: Tensor
    forward: int
    backward: int
    seconds: float

    def cells(self, other: Result | None) -> list[str]:
        n = len(self.stands)
        passes = f"{self.forward / n:,.0f} + {self.backward / n:,.0f}"
        cells = [f"{self.stands.float().mean():.3f}", passes, f"{self.seconds:.1f}"]
        if other is not None:
            share = (self.forward + self.backward) / (other.forward + other.backward)
            cells += [f"{share:.3f}", f"{self.seconds / other.seconds:.3f}"]
        return cells


def subject(kind: str) -> TorchClassifier:
    if kind in ("standard", "adversarial"):
        return classifier(kind)
    found = load_classifier(str(SHARED / f"mnist_{kind}.onnx"))
    module = found.module()
    assert module is not None
    return TorchClassifier(module, (1, 28, 28), output="logits", name=kind)


def samples(model: TorchClassifier, count: int, seed: int) -> tuple[Tensor, Tensor]:
    x, y = digits("test")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    right = order[model.replay(x[order]).argmax(1) == y[order]][:count]
    return x[right], y[right]


def ours(model: TorchClassifier, x: Tensor, y: Tensor, norm: AnyNorm, radius: float, tier: Tier, seed: int) -> Result:
    clock = time.process_time()
    found = Ensemble(norm=norm, tier=tier)(model, x, y, radius, torch.Generator().manual_seed(seed))
    return Result(~found.success, found.forward_passes, found.backward_passes, time.process_time() - clock)


def theirs(peer: Any, model: TorchClassifier, x: Tensor, y: Tensor, norm: AnyNorm, radius: float, seed: int) -> Result:
    rows = [0, 0]

    def forward(z: Tensor) -> Tensor:
        rows[0] += len(z)
        rows[1] += len(z) if z.requires_grad else 0
        return model.logits(z)

    clock = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng():
        attack = peer.AutoAttack(forward, norm=PEER_NORMS[norm], eps=radius, device="cpu", seed=seed)
        points, _ = attack.run_standard_evaluation(x, y)
    seconds = time.process_time() - clock
    return Result(model.replay(points).argmax(1) == y, rows[0], rows[1], seconds)


def main() -> None:
    """Run and write ``results/auto_attack.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    try:
        peer = importlib.import_module("pyautoattack")
    except ImportError:
        peer = None
    page = Page("auto_attack", "The ensemble's tiers against AutoAttack")
    rows = []
    for seed in range(settings.seeds):
        for kind, norm, radius in QUESTIONS:
            model = subject(kind)
            x, y = samples(model, settings.samples, seed)
            other = None if peer is None else theirs(peer, model, x, y, norm, radius, seed)
            where = f"{kind}, {norm} {radius:g}, seed {seed}"
            if other is not None:
                rows.append([where, "AutoAttack", *other.cells(None), "", ""])
                print(rows[-1], flush=True)
            for tier in ("standard", "fast"):
                found = ours(model, x, y, norm, radius, tier, seed)  # type: ignore[arg-type]
                rows.append([where, tier, *found.cells(other)])
                print(rows[-1], flush=True)
    page.say(
        f"{settings.samples} MNIST test digits that each network answers rightly; a small CNN trained plainly and by PGD "
        "(L-inf 0.2) by `benchmarks.attack_subjects`, and a provably trained one. AutoAttack is version 0.2.0 of "
        "pyautoattack with its standard settings. Passes are forward + backward per sample, replays and the first look "
        "at the sample included. The last two columns are ours over AutoAttack's in the same run."
    )
    page.table(
        ("network, norm, seed", "attack", "robust accuracy", "passes", "CPU s", "passes, share", "CPU, share"), rows
    )
    page.say("Other processes shared the cores: trust a ratio of seconds to about a fifth.")
    page.write()


if __name__ == "__main__":
    main()
