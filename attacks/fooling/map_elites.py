"""MAP-Elites with direct encoding (Mouret and Clune 2015; Nguyen, Yosinski and Clune 2015, section 2.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.fooling.archive import Archive
from attacks.fooling.fooling import (
    Fooling,
    FoolingMethod,
    log_confidences,
    replayed_confidences,
    resolve_targets,
    to_box,
)
from attacks.fooling.operators import polynomial_mutation, simulated_binary_crossover
from robust.errors import UsageError
from robust.subjects.protocols import Classifier

LOOK_EVERY = 5
"""Generations between two looks from the host at whether all classes are done."""


class MapElites(FoolingMethod):
    """Evolution that needs confidences only: the subject may be a black box.

    Every coordinate is a gene in the unit cube (mapped to the input box). A child is a random elite, crossed with
    another, mutated, and offered to every class at once.

    Args:
        batch: children per generation.
        evaluations: rows through the model, at most.
        target: confidence at which a class is done; the search ends when all are.
        mutation_rate: share of coordinates that mutate at first.
        halve_every: generations after which that share is halved.
        strength: index of the polynomial mutation.
        crossover_rate: probability that a child has two parents.
        crossover_index: index of the simulated binary crossover.
    """

    name = "map_elites"
    needs_gradients = False

    def __init__(
        self,
        *,
        batch: int = 100,
        evaluations: int = 40_000,
        target: float = 0.9999,
        mutation_rate: float = 0.1,
        halve_every: int = 1000,
        strength: float = 15.0,
        crossover_rate: float = 0.5,
        crossover_index: float = 10.0,
    ) -> None:
        if batch < 1 or evaluations < 1 or halve_every < 1:
            raise UsageError(
                "MAP-Elites needs a batch and a budget", wanted="at least 1", got=f"{batch}, {evaluations}"
            )
        if not (0 < target <= 1 and 0 < mutation_rate <= 1 and 0 <= crossover_rate <= 1):
            raise UsageError("a rate is no rate", wanted="0 < target, mutation_rate <= 1; 0 <= crossover_rate <= 1")
        self.batch, self.evaluations, self.target = batch, evaluations, target
        self.mutation_rate, self.halve_every, self.strength = mutation_rate, halve_every, strength
        self.crossover_rate, self.crossover_index = crossover_rate, crossover_index

    def __call__(
        self, classifier: Classifier, generator: torch.Generator, targets: Sequence[int] | None = None
    ) -> Fooling:
        """One elite for each of ``targets``."""
        classes = resolve_targets(classifier, targets)
        device, shape = classifier.device, tuple(classifier.input_shape)
        archive = Archive(len(classes), shape, device)
        reached = torch.full((len(classes),), -1, dtype=torch.int64, device=device)
        history: list[tuple[int, float, float]] = []
        used, wanted = 0, math.log(self.target)
        for generation in range(-(-self.evaluations // self.batch)):
            size = min(self.batch, self.evaluations - used)
            children = self._children(archive, size, generation, generator)
            with torch.no_grad():
                logits = classifier.logits(to_box(children, classifier.input_box))
            archive.offer(children, log_confidences(logits)[:, classes])
            used += size
            reached = torch.where((reached < 0) & (archive.scores >= wanted), used, reached)
            if generation % LOOK_EVERY == 0:
                history.append(_moment(used, archive.scores))
                if bool((reached >= 0).all()):
                    break
        inputs = to_box(archive.elites, classifier.input_box)
        confidences = replayed_confidences(classifier, inputs, classes)
        if not history or history[-1][0] != used:
            history.append(_moment(used, archive.scores))
        return Fooling(inputs, classes, confidences, reached, used + len(classes), 0, tuple(history))

    def _children(self, archive: Archive, size: int, generation: int, generator: torch.Generator) -> Tensor:
        shape = tuple(archive.elites.shape[1:])
        if generation == 0:
            return torch.rand(size, *shape, generator=generator).to(archive.elites)
        elites = archive.elites
        cells = torch.randint(len(elites), (2, size), generator=generator).to(elites.device)
        children = elites[cells[0]]
        if self.crossover_rate > 0:
            children = simulated_binary_crossover(
                children, elites[cells[1]], self.crossover_rate, self.crossover_index, generator
            )
        rate = self.mutation_rate * 0.5 ** (generation // self.halve_every)
        return polynomial_mutation(children, rate, self.strength, generator)


def _moment(used: int, scores: Tensor) -> tuple[int, float, float]:
    confidences = scores.exp()
    return used, float(confidences.min()), float(confidences.quantile(0.5))
