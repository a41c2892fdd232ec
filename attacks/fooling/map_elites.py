"""MAP-Elites with direct encoding: every coordinate is a gene (Nguyen, Yosinski and Clune 2015, section 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.fooling.evolution import Evolution, check_budget
from attacks.fooling.operators import polynomial_mutation, simulated_binary_crossover
from robust.errors import UsageError
from robust.subjects.protocols import Classifier


class MapElites(Evolution):
    """Every coordinate is a gene in the unit cube. A child is a random elite, crossed with another, and mutated.

    Args:
        batch, evaluations, target: see ``Evolution``.
        mutation_rate: share of coordinates that mutate at first.
        halve_every: generations after which that share is halved.
        strength: index of the polynomial mutation.
        crossover_rate: probability that a child has two parents.
        crossover_index: index of the simulated binary crossover.
    """

    name = "map_elites"

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
        check_budget(batch, evaluations, target, (mutation_rate, crossover_rate))
        if halve_every < 1 or mutation_rate == 0:
            raise UsageError("nothing mutates", wanted="0 < mutation_rate, 1 <= halve_every")
        self.batch, self.evaluations, self.target = batch, evaluations, target
        self.mutation_rate, self.halve_every, self.strength = mutation_rate, halve_every, strength
        self.crossover_rate, self.crossover_index = crossover_rate, crossover_index

    def genome_shape(self, classifier: Classifier) -> tuple[int, ...]:
        """That of an input."""
        return tuple(classifier.input_shape)

    def first(self, size: int, classifier: Classifier, generator: torch.Generator) -> Tensor:
        """Uniform noise."""
        return torch.rand(size, *classifier.input_shape, generator=generator).to(classifier.device)

    def varied(self, elites: Tensor, size: int, generation: int, generator: torch.Generator) -> Tensor:
        """Crossed and mutated."""
        cells = torch.randint(len(elites), (2, size), generator=generator).to(elites.device)
        children = elites[cells[0]]
        if self.crossover_rate > 0:
            children = simulated_binary_crossover(
                children, elites[cells[1]], self.crossover_rate, self.crossover_index, generator
            )
        rate = self.mutation_rate * 0.5 ** (generation // self.halve_every)
        return polynomial_mutation(children, rate, self.strength, generator)

    def inputs_of(self, genomes: Tensor, classifier: Classifier) -> Tensor:
        """The genomes themselves."""
        return genomes
