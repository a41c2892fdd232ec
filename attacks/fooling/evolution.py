"""MAP-Elites over classes (Mouret and Clune 2015; Nguyen, Yosinski and Clune 2015, section 2.2), for any encoding."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from robust.errors import UsageError
from robust.subjects.protocols import Classifier

STRIP = (1, 3, 10, 30, 100, 300, 1000)
"""Generations after which elites are kept to be shown."""
SHOWN = 10
"""Of so many classes, the first ones."""
LOOK_EVERY = 5
"""Generations between two looks from the host: whether all classes are done, time is up, somebody watches."""


@dataclass(eq=False)
class Progress:
    """Where an evolution is, and whatever is needed to go on from there.

    Attributes:
        archive: the elites' genomes and their scores.
        reached: int64 ``[k]``, as of ``Fooling``.
        generation: how many there were.
        used: rows evaluated.
        history: as of ``Fooling``.
        strip: the genomes of the first elites, at generations further and further apart, and how many rows had been
            evaluated by then.
    """

    archive: Archive
    reached: Tensor
    generation: int = 0
    used: int = 0
    history: list[tuple[int, float, float]] = field(default_factory=list)
    strip: list[tuple[int, Tensor]] = field(default_factory=list)


class Evolution(FoolingMethod):
    """Evolution that needs confidences only: the subject may be a black box.

    A genome becomes an input in the unit cube, mapped to the input box. A child comes of one or two random elites, and
    is offered to every class at once.

    Args of all encodings:
        batch: children per generation.
        evaluations: rows through the model, at most.
        target: confidence at which a class is done; the search ends when all are.
    """

    needs_gradients = False
    batch: int
    evaluations: int
    target: float

    @abstractmethod
    def genome_shape(self, classifier: Classifier) -> tuple[int, ...]:
        """Shape of one genome."""

    @abstractmethod
    def first(self, size: int, classifier: Classifier, generator: torch.Generator) -> Tensor:
        """Random genomes ``[size, *genome_shape]``."""

    @abstractmethod
    def varied(self, elites: Tensor, size: int, generation: int, generator: torch.Generator) -> Tensor:
        """Children ``[size, *genome_shape]`` of elites ``[k, *genome_shape]``."""

    @abstractmethod
    def inputs_of(self, genomes: Tensor, classifier: Classifier) -> Tensor:
        """Inputs in the unit cube ``[n, *shape]``."""

    def __call__(
        self, classifier: Classifier, generator: torch.Generator, targets: Sequence[int] | None = None
    ) -> Fooling:
        """One elite for each of ``targets``."""
        return self.evolve(classifier, generator, targets)

    def begin(self, classifier: Classifier, targets: Sequence[int] | None = None) -> Progress:
        """Before the first generation."""
        count, device = len(resolve_targets(classifier, targets)), classifier.device
        archive = Archive(count, self.genome_shape(classifier), device)
        return Progress(archive, torch.full((count,), -1, dtype=torch.int64, device=device))

    def evolve(
        self,
        classifier: Classifier,
        generator: torch.Generator,
        targets: Sequence[int] | None = None,
        *,
        progress: Progress | None = None,
        stop: Callable[[Progress], bool] = lambda progress: False,
    ) -> Fooling:
        """The same, from where an earlier search was.

        Args:
            classifier, generator, targets: as in the call.
            progress: of an earlier search with the same targets; changed.
            stop: asked every few generations whether to end.
        """
        now = progress or self.begin(classifier, targets)
        classes, wanted = resolve_targets(classifier, targets), math.log(self.target)
        done = bool((now.reached >= 0).all())
        while now.used < self.evaluations and not done:
            size = min(self.batch, self.evaluations - now.used)
            if now.generation == 0:
                children = self.first(size, classifier, generator)
            else:
                children = self.varied(now.archive.elites, size, now.generation, generator)
            with torch.no_grad():
                logits = classifier.logits(to_box(self.inputs_of(children, classifier), classifier.input_box))
            now.archive.offer(children, log_confidences(logits)[:, classes])
            now.used += size
            now.reached = torch.where((now.reached < 0) & (now.archive.scores >= wanted), now.used, now.reached)
            now.generation += 1
            if now.generation in STRIP:
                now.strip.append((now.used, now.archive.elites[:SHOWN].clone()))
            if (now.generation - 1) % LOOK_EVERY == 0:
                now.history.append(_moment(now))
                done = bool((now.reached >= 0).all()) or stop(now)
        inputs = to_box(self.inputs_of(now.archive.elites, classifier), classifier.input_box)
        confidences = replayed_confidences(classifier, inputs, classes)
        if not now.history or now.history[-1][0] != now.used:
            now.history.append(_moment(now))
        used, history = now.used + len(classes), tuple(now.history)
        strip = tuple((at, to_box(self.inputs_of(g, classifier), classifier.input_box)) for at, g in now.strip)
        return Fooling(inputs, classes, confidences, now.reached, used, 0, history, strip)


def check_budget(batch: int, evaluations: int, target: float, rates: Sequence[float]) -> None:
    """Whether hyperparameters are any.

    Raises:
        UsageError: a budget below 1, or a rate that is none.
    """
    if batch < 1 or evaluations < 1:
        raise UsageError("evolution needs a batch and a budget", wanted="at least 1", got=f"{batch}, {evaluations}")
    if not 0 < target <= 1 or not all(0 <= rate <= 1 for rate in rates):
        raise UsageError("a rate is no rate", wanted="0 < target <= 1; rates from 0 to 1")


def _moment(now: Progress) -> tuple[int, float, float]:
    confidences = now.archive.scores.exp()
    return now.used, float(confidences.min()), float(confidences.quantile(0.5))
