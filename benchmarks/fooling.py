"""How many evaluations until every class is called with 99.99 % confidence?"""

from __future__ import annotations

import argparse
import statistics

import torch
from torch import nn

from attacks.fooling import Fooling, FoolingMethod, GradientAscent, MapElites, PatternElites
from benchmarks.measure import Page, paired, ratio
from benchmarks.subjects import Trial, trials
from robust.subjects import TorchClassifier

METHODS: dict[str, FoolingMethod] = {
    "gradient ascent": GradientAscent(),
    "MAP-Elites, batch 100": MapElites(batch=100),
    "MAP-Elites, batch 10": MapElites(batch=10),
}
GENERATIONS = 50
"""Of the comparison of numbers of classes."""
ELSEWHERE = """\
Figures of others, from an earlier measurement on another small MNIST network and machine, so not to be divided by
ours: gradient ascent with Adam 380 evaluations; `ribs` GridArchive with each image offered to all ten cells 12,100;
`ribs` in its ordinary use reached one or two classes in 60,000."""


def evaluations(made: Fooling) -> int | None:
    """Rows until the last class was done; None if one never was."""
    return int(made.reached.max()) if bool((made.reached >= 0).all()) else None


def row(trial: Trial, name: str, method: FoolingMethod, seeds: int) -> tuple[object, ...]:
    """One method on one network over several seeds."""
    runs = [method(trial.classifier, torch.Generator().manual_seed(seed)) for seed in range(seeds)]
    done = [count for run in runs if (count := evaluations(run)) is not None]
    classes = [int((run.reached >= 0).sum()) for run in runs]
    times = paired({name: lambda: method(trial.classifier, torch.Generator().manual_seed(0))}, 3)
    needed = f"{statistics.median(done):,.0f} [{min(done):,}, {max(done):,}]" if done else "-"
    return (
        trial.name,
        name,
        f"{len(done)} of {seeds}",
        needed,
        f"{min(classes)} of {len(trial.classifier.class_names)}",
        times[name],
    )


def thousand(page: Page) -> None:
    """What a generation costs with a thousand classes, against ten: the same network, a wider synthetic head."""
    subjects, rows = {}, []
    for classes in (10, 1000):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2), nn.ReLU(), nn.Flatten(),
            nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, classes),
        )  # fmt: skip
        subjects[classes] = TorchClassifier(module.eval(), (1, 28, 28), name=f"{classes} classes")
    for name, kind in (("MAP-Elites", MapElites), ("CPPN", PatternElites)):
        method = kind(batch=100, evaluations=100 * GENERATIONS, target=1.0)
        calls = {
            str(classes): lambda subject=subject, method=method: method(subject, torch.Generator().manual_seed(0))
            for classes, subject in subjects.items()
        }
        times = paired(calls, 5)
        rows.append((name, times["10"], times["1000"], ratio(times["1000"], times["10"])))
    page.say(
        f"A thousand classes: CPU seconds of {GENERATIONS} generations of 100 children, on a network of MNIST's size."
    )
    page.table(("encoding", "10 classes", "1,000 classes", "ratio"), rows)


def main() -> None:
    """Run and write ``results/fooling.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    page = Page("fooling", "Fooling images: evaluations to 99.99 % in every class")
    rows = [row(trial, name, method, settings.seeds) for trial in trials(1) for name, method in METHODS.items()]
    page.say(
        "An evaluation is an input through the model; gradient ascent also takes its gradient. Median [range] over "
        "seeds that got all classes within the default budgets; CPU seconds of seed 0, replay included."
    )
    page.table(("network", "method", "seeds done", "evaluations", "classes, worst seed", "CPU seconds"), rows)
    thousand(page)
    page.say(ELSEWHERE)
    page.say("Evaluations are exact for a seed; seconds are noisy, because other processes shared the cores.")
    page.write()


if __name__ == "__main__":
    main()
