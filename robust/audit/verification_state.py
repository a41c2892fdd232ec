"""What ``robust verify --data`` asks of every sample, and what is known of the answers so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from attacks.balls import Norm
from robust.audit.check import Context
from robust.audit.decided import MISCLASSIFIED
from verifiers import Network


class Answer(StrEnum):
    """What is known of one sample at one radius."""

    CERTIFIED = "certified"
    """The deployed model is right, and no input of the ball is proved to change that."""
    FALSIFIED = "falsified"
    """An input of the ball, replayed on the deployed model, is answered wrongly."""
    UNKNOWN = "unknown"
    """Neither. Never to be read as safe."""
    MISCLASSIFIED = "misclassified"
    """The deployed model is wrong at the sample itself."""


@dataclass(frozen=True)
class Question:
    """What is asked of every sample.

    Attributes:
        norm: of the balls.
        epsilons: radii in input units, ascending.
        method: of the bounds.
        steps: gradient steps of one restart of the attack.
        restarts: random starts of the attack.
        complete: seconds of branch and bound for each sample that attack and bounds leave unknown, at each radius.
    """

    norm: Norm
    epsilons: tuple[float, ...]
    method: str
    steps: int = 20
    restarts: int = 2
    complete: float = 0.0


@dataclass(eq=False)
class Verification:
    """What is decided so far. Every array has a row per radius and a place per sample of ``context.data``.

    Attributes:
        context: subject and data.
        question: what is asked.
        falsified: bool ``[radii, n]``: broken by a witness that was replayed.
        proved: bool ``[radii, n]``: by bounds, before the deployed model has its say.
        slacks: float ``[n]``: by how much margins of the graph must exceed zero, as the deployed model differs from it
            by half as much; infinite where it differs by too much, or nothing was bounded.
        seen: bool ``[radii, n]``: the deployed model was right at every point that was drawn from the ball.
        bounded: bool ``[n]``: bounds were asked.
        attacked: bool ``[radii, n]``: the attack was asked.
        breakers, provers: text ``[radii, n]``: the engine that found the witness, or the proof; empty where none did.
        took: float ``[radii, n]``: seconds of all engines together until a sample was decided, a block sharing alike.
        distances: float ``[n]``, of the nearest witness; infinite where there is none.
        answers: int64 ``[n]``, what the deployed model answers to that witness; -1 where there is none.
        witnesses: sample -> its nearest witness, float32 ``[*shape]``.
        found_at: sample -> the smallest radius at which the attack found it.
        notes: what a reader must know, sentences.
        seconds: stage -> how long it took.
        graph: what is bounded; None where there is no way to.
    """

    context: Context
    question: Question
    falsified: NDArray[np.bool_] = field(init=False)
    proved: NDArray[np.bool_] = field(init=False)
    seen: NDArray[np.bool_] = field(init=False)
    bounded: NDArray[np.bool_] = field(init=False)
    attacked: NDArray[np.bool_] = field(init=False)
    breakers: NDArray[np.str_] = field(init=False)
    provers: NDArray[np.str_] = field(init=False)
    took: NDArray[np.float64] = field(init=False)
    slacks: NDArray[np.float64] = field(init=False)
    distances: NDArray[np.float64] = field(init=False)
    answers: NDArray[np.int64] = field(init=False)
    witnesses: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    found_at: dict[int, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    graph: Network | None = None

    def __post_init__(self) -> None:
        shape = len(self.question.epsilons), len(self.context.data)
        self.falsified, self.proved, self.attacked = (np.zeros(shape, dtype=bool) for _ in range(3))
        self.breakers, self.provers = (np.full(shape, "", dtype="<U32") for _ in range(2))
        self.took = np.zeros(shape)
        self.seen = np.ones(shape, dtype=bool)
        self.bounded = np.zeros(shape[1], dtype=bool)
        self.slacks = np.full(shape[1], np.inf)
        self.distances, self.answers = np.full(shape[1], np.inf), np.full(shape[1], -1, dtype=np.int64)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Bool ``[n]``: misclassified."""
        return np.asarray(self.context.predictions != self.context.data.labels)

    def verdicts(self, place: int) -> list[Answer]:
        """One answer per sample at radius number ``place``."""
        certified = self.proved[place] & self.seen[place] & self.bounded & ~self.falsified[place]
        result = np.where(certified, Answer.CERTIFIED, Answer.UNKNOWN).astype(object)
        result[self.falsified[place]] = Answer.FALSIFIED
        result[self.wrong] = Answer.MISCLASSIFIED
        return [Answer(item) for item in result]

    def engines(self, place: int) -> list[str]:
        """Who gave the answers of ``verdicts``; empty for unknown."""
        names = {Answer.MISCLASSIFIED: MISCLASSIFIED, Answer.UNKNOWN: ""}
        found = []
        for row, answer in enumerate(self.verdicts(place)):
            by = self.breakers if answer is Answer.FALSIFIED else self.provers
            found.append(names[answer] if answer in names else str(by[place, row]))
        return found

    def spend(self, place: int, rows: Sequence[int], seconds: float) -> None:
        """Add a block's time at radius number ``place`` to its samples ``rows`` that are undecided there."""
        chosen = np.asarray(rows, dtype=np.int64)
        waiting = chosen[~self.wrong[chosen] & ~self.falsified[place, chosen] & ~self.proved[place, chosen]]
        self.took[place, waiting] += seconds / max(1, len(chosen))

    def breaks(self, place: int, rows: NDArray[np.bool_], engine: str) -> None:
        """Witnesses of samples ``rows`` (a mask) within radius number ``place`` and every larger one."""
        for further in range(place, len(self.falsified)):
            new = rows & ~self.falsified[further]
            self.breakers[further, new] = engine
            self.falsified[further, new] = True

    def proves(self, place: int, rows: NDArray[np.bool_], engine: str) -> None:
        """Proofs for samples ``rows`` (a mask) within radius number ``place`` and every smaller one."""
        for nearer in range(place + 1):
            new = rows & ~self.proved[nearer]
            self.provers[nearer, new] = engine
            self.proved[nearer, new] = True

    def contradictions(self) -> int:
        """Balls that bounds call safe and in which the deployed model was seen to be wrong. More than 0 is a fault."""
        return int((self.proved & ~self.wrong & (self.falsified | ~self.seen)).sum())

    @property
    def complete(self) -> bool:
        """Whether everything that can be asked was asked."""
        return bool(self.attacked.all()) and (self.graph is None or bool(self.bounded.all()))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of a block of code to a stage, however it ends."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
