"""MAP-Elites with pictures from networks of the place (Nguyen, Yosinski and Clune 2015, section 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.fooling.cppn import LARGEST, Canvas, Genomes, Rates, random_genomes, restructured
from attacks.fooling.evolution import Evolution, check_budget
from attacks.fooling.operators import polynomial_mutation
from robust.errors import UsageError
from robust.subjects.protocols import Classifier


class PatternElites(Evolution):
    """Genomes are networks that paint regular pictures. A child is a random elite, restructured and mutated.

    Args:
        batch, evaluations, target: see ``Evolution``.
        hidden: places for hidden nodes.
        mutation_rate: share of connections whose weight mutates.
        strength: index of the polynomial mutation of weights.
        connect, disconnect, grow, shrink: probabilities of a connection more or less, of a node more or less; those of
            the published code.
        change: probability that a node gets another function.
    """

    name = "cppn"

    def __init__(
        self,
        *,
        batch: int = 100,
        evaluations: int = 40_000,
        target: float = 0.9999,
        hidden: int = 16,
        mutation_rate: float = 0.1,
        strength: float = 15.0,
        connect: float = 0.5,
        disconnect: float = 0.3,
        grow: float = 0.5,
        shrink: float = 0.2,
        change: float = 0.1,
    ) -> None:
        check_budget(batch, evaluations, target, (mutation_rate, connect, disconnect, grow, shrink, change))
        if hidden < 1:
            raise UsageError("pictures need room for nodes", wanted="hidden of at least 1", got=hidden)
        self.batch, self.evaluations, self.target, self.hidden = batch, evaluations, target, hidden
        self.mutation_rate, self.strength = mutation_rate, strength
        self.connect, self.disconnect, self.grow, self.shrink, self.change = connect, disconnect, grow, shrink, change

    def genome_shape(self, classifier: Classifier) -> tuple[int, ...]:
        """One row of numbers."""
        places = 4 + self.hidden + Canvas.of(tuple(classifier.input_shape)).channels
        return (places * places + places,)

    def first(self, size: int, classifier: Classifier, generator: torch.Generator) -> Tensor:
        """Networks without hidden nodes."""
        channels = Canvas.of(tuple(classifier.input_shape)).channels
        return random_genomes(size, channels, self.hidden, generator, classifier.device).packed()

    def varied(self, elites: Tensor, size: int, generation: int, generator: torch.Generator) -> Tensor:
        """Restructured, and their weights mutated."""
        parents = elites[torch.randint(len(elites), (size,), generator=generator).to(elites.device)]
        rates = Rates(self.connect, self.disconnect, self.grow, self.shrink, self.change)
        child = restructured(Genomes.unpacked(parents, self.hidden), rates, generator)
        unit = (child.weights / LARGEST + 1) / 2
        moved = LARGEST * (2 * polynomial_mutation(unit, self.mutation_rate, self.strength, generator) - 1)
        weights = torch.where(child.weights == 0, 0.0, moved)
        return Genomes(weights, child.functions, self.hidden).packed()

    def inputs_of(self, genomes: Tensor, classifier: Classifier) -> Tensor:
        """What the networks paint."""
        return Genomes.unpacked(genomes, self.hidden).draw(Canvas.of(tuple(classifier.input_shape)))
