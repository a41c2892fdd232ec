"""Every sample of a data set against a tier of attacks, within ascending radii: broken, or not broken by these."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from attacks.attack import Attack, gives_gradients
from attacks.attempt import Attempt
from attacks.balls import AnyNorm
from attacks.catalogue import make_attack
from attacks.diagnostics import Symptom, diagnose
from attacks.ensemble import Ensemble, Tier
from robust.audit.check import Context, blocks
from robust.errors import UsageError

BLOCK = 100
"""Samples per step; between steps it may be stopped."""

BLACK_BOX = {"square": 5000, "nes": 5000, "spsa": 5000, "hopskipjump-ball": 2500}
"""Attacks that ask for scores or answers alone and may stand in for the ensemble, and their queries by default."""

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
        attack: ``ensemble``, or one of ``BLACK_BOX`` alone, which the tier says nothing of.
        queries: of such an attack, per sample and radius; None: its default.
    """

    norm: AnyNorm
    epsilons: tuple[float, ...]
    tier: Tier
    diagnosis: bool = True
    attack: str = "ensemble"
    queries: int | None = None

    def __post_init__(self) -> None:
        if not self.epsilons or not all(0 < epsilon < np.inf for epsilon in self.epsilons):
            raise UsageError("an attack needs a radius above 0", wanted="for example 8/255", got=self.epsilons)
        if self.attack != "ensemble" and self.attack not in BLACK_BOX:
            raise UsageError(
                "this attack does not stand alone", wanted=", ".join(("ensemble", *BLACK_BOX)), got=self.attack
            )
        if self.attack == "ensemble" and self.queries is not None:
            raise UsageError("the ensemble's queries are its tier's", wanted="no number of queries", got=self.queries)

    def make(self) -> Attack:
        """The attack that is asked for."""
        if self.attack == "ensemble":
            return Ensemble(norm=self.norm, tier=self.tier)
        return make_attack(self.attack, norm=self.norm, queries=self.queries or BLACK_BOX[self.attack])

    def in_words(self) -> str:
        """The attack and its budget."""
        if self.attack == "ensemble":
            return f"the ensemble, tier {self.tier}"
        return f"{self.attack}, {self.queries or BLACK_BOX[self.attack]:,} queries per sample and radius"


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


def run_attack(run: AttackRun, watch: Callable[[int, int], None] = lambda done, total: None, start: int = 0) -> None:
    """Attack all samples, block by block; what is found stands in ``run`` also where this is interrupted.

    Args:
        run: prepared.
        watch: told how many samples of how many are through.
        start: samples that are through already, a number that it was told before.
    """
    before, started, context, count = run.seconds, time.perf_counter(), run.context, len(run.context.data)
    alone = run.question.attack != "ensemble"
    if not alone and not gives_gradients(context.classifier, context.samples([0])):
        run.notes.append("the model gives no gradients: the ensemble is Square alone, which asks for scores")
    attack = run.question.make()
    try:
        if run.question.diagnosis:
            _diagnose(run)
        for block in blocks(count, BLOCK):
            if block[0] < start:
                continue
            _attack(run, attack, block)
            run.seconds = before + time.perf_counter() - started
            watch(block[-1] + 1, count)
        missed = int((~run.attacked).any(0).sum())
        if missed:
            run.notes.append(
                f"{missed} of {count} samples: {attack.name} found no input with another answer to begin from; nothing "
                "is known of them, and they count neither way"
            )
    finally:
        run.seconds = before + time.perf_counter() - started


def _attack(run: AttackRun, attack: Attack, block: tuple[int, ...]) -> None:
    context, rows, known = run.context, list(block), None
    x, labels = context.samples(block), context.labels(block)
    for place, epsilon in enumerate(run.question.epsilons):
        question = run.question
        kind = question.tier if question.attack == "ensemble" else question.attack
        generator = context.torch_generator("attack", kind, question.norm, repr(epsilon), block[0])
        attempt = attack(context.classifier, x, labels, epsilon, generator, known)
        _keep(run, attack, attempt, block, epsilon)
        run.broken[place:, rows] |= attempt.success.cpu().numpy() & ~run.wrong[rows]
        run.attacked[place, rows] = ~attempt.unstarted.cpu().numpy()
        known = attempt


def _keep(run: AttackRun, attack: Attack, attempt: Attempt, block: tuple[int, ...], epsilon: float) -> None:
    """Passes, and witnesses that were not there at a smaller radius."""
    run.forward[list(block)] += attempt.forward.cpu().numpy()
    run.backward[list(block)] += attempt.backward.cpu().numpy()
    success, names = attempt.success.cpu().numpy(), _names(attack, attempt)
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


def _names(attack: Attack, attempt: Attempt) -> list[str]:
    """Who broke each sample."""
    if isinstance(attack, Ensemble):
        return attack.stage_names(attempt.broken_in)
    return [attack.name if round_ >= 0 else "" for round_ in attempt.broken_in.tolist()]


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
