"""Neuron splitting of many samples: all in common batches against one after the other, in CPU seconds.

Samples are those that CROWN leaves open at a radius; both ways may bound the same number of domains for each.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.measure import Page
from benchmarks.subjects import Trial, trials
from robust.graph import trace
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from verifiers import Network
from verifiers.branching.neuron_splitting import split_many
from verifiers.branching.outcome import Outcome, Replay
from verifiers.certify import certify, rival_matrices
from verifiers.deadline import Deadline
from verifiers.region import ball_region

RADII = {"digits": 0.05, "MNIST wk17a": 0.1}


def open_cases(trial: Trial, radius: float) -> tuple[Network, list[Property], Replay]:
    """What CROWN leaves open."""
    classifier, box = trial.classifier, trial.classifier.input_box
    module = classifier.module()
    assert module is not None
    network = Network(trace(module, classifier.input_shape, device=classifier.device, box=box))
    proved = certify(network, trial.x, trial.labels, [radius], norm="linf", box=box, method="crown")[0]
    x, labels = trial.x[~proved], trial.labels[~proved]
    region, zero = ball_region(x, radius, "linf", box), torch.zeros(1, dtype=torch.float64)
    cases = [
        Property(Box(low, high), UnsafeSet(tuple(Halfspaces(row[None], zero) for row in rows)))
        for low, high, rows in zip(
            region.lower, region.upper, rival_matrices(labels, network.graph.outputs), strict=True
        )
    ]

    def replay(case: int, points: Tensor) -> Tensor | None:
        inside = points[cases[case].inputs.contains(points)]
        broken = classifier.replay(inside).argmax(1) != labels[case]
        return inside[broken][0] if bool(broken.any()) else None

    return network, cases, replay


def one_by_one(network: Network, cases: Sequence[Property], replay: Replay, domains: int) -> list[Outcome]:
    """Each in a search of its own."""
    found = []
    for place, case in enumerate(cases):
        found += split_many(
            network,
            [case],
            Deadline(None),
            replay=lambda _, points, place=place: replay(place, points),
            domains=domains,
        )
    return found


def together(network: Network, cases: Sequence[Property], replay: Replay, domains: int) -> list[Outcome]:
    """All in one search."""
    return split_many(network, cases, Deadline(None), replay=replay, domains=domains)


WAYS: dict[str, Callable[[Network, Sequence[Property], Replay, int], list[Outcome]]] = {
    "one by one": one_by_one,
    "together": together,
}


def main() -> None:
    """Run and write ``results/branching.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--domains", type=int, default=300)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    page, rows = Page("branching", "Neuron splitting of many samples"), []
    for trial in trials(settings.samples):
        if trial.name not in RADII:
            continue
        network, cases, replay = open_cases(trial, RADII[trial.name])
        for name, way in WAYS.items():
            way(network, cases[:2], replay, 10)
            clock = time.process_time()
            found = way(network, cases, replay, settings.domains)
            seconds = time.process_time() - clock
            verdicts = Counter(outcome.verdict.name for outcome in found)
            counts = [verdicts[verdict] for verdict in ("VERIFIED", "FALSIFIED", "UNKNOWN")]
            size = f"{trial.name}, {RADII[trial.name]}: {len(cases)} of {len(trial.x)}"
            rows.append((size, name, *counts, sum(outcome.domains for outcome in found), f"{seconds:.1f}"))
    page.say(f"L-inf balls that CROWN leaves open; at most about {settings.domains} domains each; one run.")
    page.table(("samples", "way", "verified", "falsified", "unknown", "domains", "CPU s"), rows)
    page.write()


if __name__ == "__main__":
    main()
