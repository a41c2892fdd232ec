"""Every sample of a data set against a tier of attacks, within ascending radii: broken, or not broken by these."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from attacks.attack import gives_gradients
from attacks.attempt import Attempt
from attacks.balls import AnyNorm
from attacks.diagnostics import Symptom, diagnose
from attacks.ensemble import Ensemble, Tier
from robust.audit.check import Context, blocks
from robust.errors import UsageError

BLOCK = 100
"""Samples per step; between steps it may be stopped."""

DIAGNOSED = 40
"""Samples in which signs of masked gradients are looked for."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        norm: of the balls.
        epsilons: radii in input units, ascending, above 0.
        tier: of the ensemble.
        diagnosis: whether to look for signs of masked gradients.
    """

    norm: AnyNorm
    epsilons: tuple[float, ...]
    tier: Tier
    diagnosis: bool = True

    def __post_init__(self) -> None:
        if not self.epsilons or not all(0 < epsilon < np.inf for epsilon in self.epsilons):
            raise UsageError("an attack needs a radius above 0", wanted="for example 8/255", got=self.epsilons)


@dataclass(eq=False)
class AttackRun:
    """What is found so far. Arrays have a row per radius and a place per sample of ``context.data``.

    Attributes:
        context: subject and data.
        question: what is asked.
        broken: bool ``[radii, n]``: a witness within that radius was replayed on the deployed model.
        attacked: bool ``[radii, n]``: the attack ran through, or had nothing left to do.
        distances: float ``[n]``, of the witness; infinite where there is none.
        answers: int64 ``[n]``, to the witness; -1 where there is none.
        stages: name of the attack that broke each sample; empty where none did.
        forward: int64 ``[n]``, queries.
        backward: int64 ``[n]``, gradient evaluations.
        witnesses: sample -> witness within the smallest radius that sufficed, float32 ``[*shape]``.
        found_at: sample -> that radius.
        symptoms: signs of masked gradients that were looked for.
        notes: what a reader must know, sentences.
        seconds: how long it took.
    """

    context: Context
    question: Question
    broken: NDArray[np.bool_] = field(init=False)
    attacked: NDArray[np.bool_] = field(init=False)
    distances: NDArray[np.float64] = field(init=False)
    answers: NDArray[np.int64] = field(init=False)
    stages: list[str] = field(init=False)
    forward: NDArray[np.int64] = field(init=False)
    backward: NDArray[np.int64] = field(init=False)
    witnesses: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    found_at: dict[int, float] = field(default_factory=dict)
    symptoms: tuple[Symptom, ...] = ()
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        count = len(self.context.data)
        self.broken, self.attacked = (np.zeros((len(self.question.epsilons), count), dtype=bool) for _ in range(2))
        self.distances, self.answers = np.full(count, np.inf), np.full(count, -1, dtype=np.int64)
        self.forward, self.backward = (np.zeros(count, dtype=np.int64) for _ in range(2))
        self.stages = [""] * count

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Bool ``[n]``: misclassified from the start."""
        return np.asarray(self.context.predictions != self.context.data.labels)

    @property
    def complete(self) -> bool:
        """Whether every sample was attacked within every radius."""
        return bool(self.attacked.all())

    def stands(self, place: int) -> NDArray[np.bool_]:
        """Bool ``[n]``: right, attacked within radius number ``place``, and not broken."""
        return np.asarray(self.attacked[place] & ~self.broken[place] & ~self.wrong)

    def masked(self) -> list[Symptom]:
        """The signs that mean: do not trust what stands. More than one sample in twenty shows them."""
        return [each for each in self.symptoms if each.masks and each.count > 0.05 * each.n]


def run_attack(run: AttackRun, watch: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Attack all samples, block by block; what is found stands in ``run`` also where this is interrupted.

    Args:
        run: prepared.
        watch: told how many samples of how many are through.
    """
    started, context, count = time.perf_counter(), run.context, len(run.context.data)
    if not gives_gradients(context.classifier, context.samples([0])):
        run.notes.append("the model gives no gradients: the ensemble is Square alone, which asks for scores")
    ensemble = Ensemble(norm=run.question.norm, tier=run.question.tier)
    try:
        if run.question.diagnosis:
            _diagnose(run)
        for block in blocks(count, BLOCK):
            _attack(run, ensemble, block)
            watch(block[-1] + 1, count)
    finally:
        run.seconds += time.perf_counter() - started


def _attack(run: AttackRun, ensemble: Ensemble, block: tuple[int, ...]) -> None:
    context, rows, known = run.context, list(block), None
    x, labels = context.samples(block), context.labels(block)
    for place, epsilon in enumerate(run.question.epsilons):
        question = run.question
        generator = context.torch_generator("attack", question.tier, question.norm, repr(epsilon), block[0])
        attempt = ensemble(context.classifier, x, labels, epsilon, generator, known)
        _keep(run, ensemble, attempt, block, epsilon)
        run.broken[place:, rows] |= attempt.success.cpu().numpy() & ~run.wrong[rows]
        run.attacked[place, rows] = True
        known = attempt


def _keep(run: AttackRun, ensemble: Ensemble, attempt: Attempt, block: tuple[int, ...], epsilon: float) -> None:
    """Passes, and witnesses that were not there at a smaller radius."""
    run.forward[list(block)] += attempt.forward.cpu().numpy()
    run.backward[list(block)] += attempt.backward.cpu().numpy()
    success, names = attempt.success.cpu().numpy(), ensemble.stage_names(attempt.broken_in)
    new = [row for row, i in enumerate(block) if success[row] and not run.wrong[i] and i not in run.found_at]
    if not new:
        return
    points = attempt.adversarials[new]
    answers = run.context.classifier.replay(points).argmax(1).cpu().numpy()
    for row, point, answer in zip(new, points.cpu().numpy(), answers, strict=True):
        index = block[row]
        run.witnesses[index], run.found_at[index] = point, epsilon
        run.distances[index], run.answers[index] = float(attempt.distances[row]), int(answer)
        run.stages[index] = names[row]


def _diagnose(run: AttackRun) -> None:
    right = np.flatnonzero(~run.wrong)
    few = right[:: max(1, -(-len(right) // DIAGNOSED))].tolist()
    if not few:
        return
    question = run.question
    epsilon = question.epsilons[len(question.epsilons) // 2]
    generator = run.context.torch_generator("attack", "diagnosis", question.norm, repr(epsilon))
    x, labels = run.context.samples(few), run.context.labels(few)
    run.symptoms = diagnose(run.context.classifier, x, labels, epsilon, question.norm, generator).symptoms
