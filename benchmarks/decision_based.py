"""HopSkipJump against foolbox's at the same number of queries, on the same samples, in one run."""

from __future__ import annotations

import argparse
import contextlib
import math
import time
import warnings
from typing import Any

import torch
from torch import Tensor

from attacks.hop_skip_jump import HopSkipJump
from benchmarks.attack_subjects import classifier, digits
from benchmarks.measure import SHARED, Page
from benchmarks.subjects import Trial, trials

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import eagerpy
    import foolbox


class SpentError(Exception):
    """The peer has asked so often as it may."""


class Counted(foolbox.models.base.Model):  # type: ignore[misc]
    """The subject as foolbox's model for one sample: counts queries and keeps the nearest wrong answer among them."""

    def __init__(self, trial: Trial, row: int, queries: int) -> None:
        self.trial, self.left = trial, queries
        self.x, self.label, self.nearest = trial.x[row], int(trial.labels[row]), math.inf

    @property
    def bounds(self) -> Any:
        return foolbox.types.Bounds(0.0, 1.0)

    def __call__(self, inputs: Any) -> Any:
        points, restore = eagerpy.astensor_(inputs)
        if self.left < len(points.raw):
            raise SpentError
        self.left -= len(points.raw)
        with torch.no_grad():
            logits = self.trial.classifier.logits(points.raw)
        wrong = logits.argmax(1) != self.label
        sizes = (points.raw.double() - self.x.double()).flatten(1).norm(dim=1)[wrong]
        self.nearest = min([self.nearest, *sizes.tolist()])
        return restore(eagerpy.astensor(logits))


def theirs(trial: Trial, queries: int) -> Tensor:
    """Smallest L2 distance of each sample, float64 ``[n]``, one sample at a time."""
    found = []
    for row in range(len(trial.x)):
        model = Counted(trial, row, queries)
        attack = foolbox.attacks.HopSkipJumpAttack()
        with contextlib.suppress(SpentError, ValueError):  # ValueError: it found no start
            attack.run(model, trial.x[row : row + 1], trial.labels[row : row + 1])
        found.append(model.nearest)
    return torch.tensor(found, dtype=torch.float64)


def networks(samples: int) -> list[Trial]:
    """The shipped digits network, and MNIST networks where the data are."""
    found = [trial for trial in trials(samples) if trial.name == "digits"]
    if not (SHARED.parent / "mnist").is_dir():
        return found
    x, labels = digits("test")
    for kind in ("standard", "adversarial"):
        subject = classifier(kind)
        right = torch.nonzero(subject.replay(x[: 2 * samples]).argmax(1) == labels[: 2 * samples])[:samples, 0]
        found.append(Trial(f"MNIST {kind}", subject, x[right], labels[right], ()))
    return found


def main() -> None:
    """Run and write ``results/decision_based.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--queries", type=int, default=2500)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    settings = parser.parse_args()
    torch.set_num_threads(1)
    page, rows = Page("decision_based", "HopSkipJump against foolbox's"), []
    for trial in networks(settings.samples):
        for seed in settings.seeds:
            clock = time.process_time()
            attempt = HopSkipJump(queries=settings.queries)(
                trial.classifier, trial.x, trial.labels, torch.Generator().manual_seed(seed)
            )
            mine = time.process_time() - clock
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                clock = time.process_time()
                other = theirs(trial, settings.queries)
            medians = [float(found.median()) for found in (attempt.distances, other)]
            rows.append(
                (
                    f"{trial.name}, n = {len(trial.x)}, seed {seed}",
                    *(f"{median:.4f}" for median in medians),
                    f"{medians[0] / medians[1]:.3f}",
                    f"{float((attempt.distances <= other).float().mean()):.2f}",
                    str(int(attempt.forward.max())),
                    f"{mine:.1f} / {time.process_time() - clock:.1f}",
                )
            )
            print(rows[-1], flush=True)
    page.say(
        f"L2, {settings.queries:,} queries per sample, samples answered rightly. Ours: the replayed witness, all queries "
        "counted. foolbox's: the nearest wrong answer among its first queries, whether it would return it or not, one "
        "sample at a time (its estimate couples the samples of a batch)."
    )
    page.table(
        (
            "network",
            "median L2, ours",
            "foolbox's",
            "ratio",
            "share of samples no farther",
            "most queries, ours",
            "CPU s, ours / foolbox's",
        ),
        rows,
    )
    page.write()


if __name__ == "__main__":
    main()
