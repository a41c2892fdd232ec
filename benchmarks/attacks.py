"""Our PGD, cascading over radii and restarts, against foolbox's stock loop with the same steps on the same samples."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass

import torch

from attacks.attempt import Attempt
from attacks.catalogue import make_attack
from benchmarks.measure import Page, paired, ratio
from benchmarks.subjects import Trial, trials

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox

STEPS, RESTARTS = 40, 2


@dataclass
class Result:
    """Shares still right at each radius, and rows through the model."""

    robust: list[float]
    forward: int
    backward: int


def ours(trial: Trial) -> Result:
    """As the check ``attacks`` does it: what a smaller radius broke is not attacked again; successes are replayed."""
    attack = make_attack("pgd", norm="linf", steps=STEPS, restarts=RESTARTS)
    known: Attempt | None = None
    result = Result([], 0, 0)
    for radius in trial.radii:
        known = attack(trial.classifier, trial.x, trial.labels, radius, torch.Generator().manual_seed(0), known)
        result.robust.append(float((~known.success).float().mean()))
        result.forward += known.forward_passes
        result.backward += known.backward_passes
    return result


def stock(trial: Trial) -> Result:
    """foolbox's ``LinfPGD(...).repeat(restarts)`` at each radius for itself; parameters are frozen, as ours are."""
    torch.manual_seed(0)
    module = trial.classifier.module()
    assert module is not None
    rows = [0, 0]

    def count(_: object, inputs: tuple[torch.Tensor, ...], __: object) -> None:
        rows[0] += len(inputs[0])
        rows[1] += len(inputs[0]) if inputs[0].requires_grad else 0

    handle = module.register_forward_hook(count)
    model = foolbox.PyTorchModel(module, bounds=(0.0, 1.0), device="cpu")
    robust = []
    for radius in trial.radii:
        attack = foolbox.attacks.LinfPGD(steps=STEPS, rel_stepsize=2.5 / STEPS).repeat(RESTARTS)
        _, _, success = attack(model, trial.x, trial.labels, epsilons=radius)
        robust.append(float((~success).float().mean()))
    handle.remove()
    return Result(robust, rows[0], rows[1])


def main() -> None:
    """Run and write ``results/attacks.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    page = Page("attacks", "PGD: the cascade against foolbox's loop")
    rows = []
    for trial in trials(settings.samples):
        times = paired({"ours": lambda t=trial: ours(t), "stock": lambda t=trial: stock(t)}, settings.repeats)
        mine, theirs = ours(trial), stock(trial)
        rows.append(
            (
                f"{trial.name}, n = {len(trial.x)}",
                ", ".join(f"{radius:g}" for radius in trial.radii),
                ", ".join(f"{a:.3f} / {b:.3f}" for a, b in zip(mine.robust, theirs.robust, strict=True)),
                f"{mine.forward:,} + {mine.backward:,}",
                f"{theirs.forward:,} + {theirs.backward:,}",
                times["ours"],
                times["stock"],
                ratio(times["stock"], times["ours"]),
            )
        )
    page.say(
        f"L-inf, {STEPS} steps of 2.5 / {STEPS} of the radius, {RESTARTS} random starts, on samples answered rightly. "
        "Rows are samples through the model, forward + backward; ours include replays in onnxruntime. CPU seconds: "
        f"median [range] of {settings.repeats} paired rounds. Speed: seconds of foolbox over ours, above 1 is faster. "
        "Ours takes turns between two losses and remembers the best iterate."
    )
    page.table(
        (
            "network",
            "radii",
            "robust accuracy, ours / foolbox",
            "rows, ours",
            "rows, foolbox",
            "s, ours",
            "s, foolbox",
            "speed",
        ),
        rows,
    )
    page.say("Noise: other processes shared the cores; trust a ratio to about its range, and no difference below 0.1.")
    page.write()


if __name__ == "__main__":
    main()
