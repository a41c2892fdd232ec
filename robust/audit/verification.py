"""Every sample of a data set by attack and by bounds: certified, falsified, misclassified or unknown.

Attack and proof speak of the same balls, and check each other: what the deployed model is seen to answer wrongly is
never called certified, whatever the bounds say, and the contradiction is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.attack import Attack, Attempt, gives_gradients
from attacks.balls import Norm
from attacks.catalogue import make_attack
from robust.audit.check import Context, blocks
from robust.audit.checks.certificate_controls import TOLERANCE, try_balls
from robust.errors import GraphError, UsageError
from robust.graph import trace
from robust.properties import Box, Halfspaces, L2Ball, Property, UnsafeSet
from robust.record import Verdict
from verifiers import Deadline, Network, ball_region, certify, decide, lower_bounds
from verifiers.certify import rival_matrices
from verifiers.decide import STAGES, Decision

ATTACKED, CERTIFIED = 100, 500
"""Samples per step of the attack and of the certificates. Between steps it may be stopped."""


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


def verification(context: Context, question: Question) -> Verification:
    """Prepared: the network read as a graph, where it can be, and the question tried on one sample.

    Raises:
        UsageError: no such method.
        PropertyError: a radius that is none.
    """
    state = Verification(context, question)
    with state.timed("reading the network"):
        state.graph = _network(state)
        if state.graph is not None:
            _try(state)
    return state


def run(
    state: Verification,
    *,
    seconds: float | None = None,
    watch: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> None:
    """Attack, then bound, all samples; what is decided stands in ``state`` also where this is interrupted.

    Args:
        state: prepared.
        seconds: of which the attack takes half, where there are bounds to compute; it does not stop the bounds.
        watch: told the stage, and how many samples of how many it is through.
    """
    count, attack, started = len(state.context.data), _attack(state), time.monotonic()
    share = np.inf if seconds is None or state.graph is None else seconds / 2
    with state.timed("attack"):
        for block in blocks(count, ATTACKED):
            if time.monotonic() - started > share:
                state.notes.append(f"half of the time was over when the attack had tried {block[0]} samples of {count}")
                break
            _attack_block(state, attack, block)
            watch("attack", block[-1] + 1, count)
    if state.graph is None:
        return
    with state.timed("certificates"):
        for block in blocks(count, CERTIFIED):
            _certify_block(state, state.graph, block)
            watch("certificates", block[-1] + 1, count)
    if state.question.complete > 0:
        with state.timed("branch and bound"):
            _complete(state, state.graph, watch)
    if state.contradictions():
        state.notes.append(
            f"{state.contradictions()} balls were proved safe and yet the deployed model was seen to be wrong in them: "
            "they do not count as certified. Robust-audit or the model's runtime is at fault; please report it"
        )


def _network(state: Verification) -> Network | None:
    classifier = state.context.classifier
    module = classifier.module()
    if module is None:
        state.notes.append("no certificates: the model is a black box, and bounds need its operations")
        return None
    try:
        return Network(trace(module, classifier.input_shape, device=classifier.device, box=classifier.input_box))
    except GraphError as error:
        state.notes.append(f"no certificates: the network cannot be read as an operation graph: {error.message}")
        return None


def _try(state: Verification) -> None:
    """One sample at radius 0: does the engine know the method, and every operator?"""
    context, network = state.context, state.graph
    assert network is not None
    region = ball_region(context.samples([0]), 0.0, state.question.norm, context.classifier.input_box)
    rows = torch.eye(network.graph.outputs, device=context.device)[None]
    try:
        lower_bounds(network, region, rows, state.question.method)
    except GraphError as error:
        state.notes.append(f"no certificates: {error.message}")
        state.graph = None
    except ValueError as error:
        raise UsageError(f"bounds cannot be computed: {error}", hint="see `robust list verifiers`") from error


def _attack(state: Verification) -> Attack:
    context, question = state.context, state.question
    if gives_gradients(context.classifier, context.samples([0])):
        return make_attack("pgd", norm=question.norm, steps=question.steps, restarts=question.restarts)
    state.notes.append("the model gives no gradients: random points of the balls were tried instead of PGD")
    return make_attack("noise", norm=question.norm, draws=question.steps * question.restarts)


def _attack_block(state: Verification, attack: Attack, block: tuple[int, ...]) -> None:
    context, known = state.context, None
    x, labels = context.samples(block), context.labels(block)
    for place, epsilon in enumerate(state.question.epsilons):
        generator = context.torch_generator("verify", attack.name, state.question.norm, repr(epsilon), block[0])
        attempt = attack(context.classifier, x, labels, epsilon, generator, known)
        _keep(state, block, epsilon, attempt)
        broken = attempt.success.cpu().numpy() & ~state.wrong[list(block)]
        state.falsified[place:, list(block)] |= broken
        state.attacked[place, list(block)] = True
        known = attempt


def _keep(state: Verification, block: tuple[int, ...], epsilon: float, attempt: Attempt) -> None:
    """Witnesses that were not there at a smaller radius."""
    success = attempt.success.cpu().numpy()
    new = [
        row
        for row, index in enumerate(block)
        if success[row] and not state.wrong[index] and index not in state.found_at
    ]
    if not new:
        return
    points = attempt.adversarials[new]
    replayed = state.context.classifier.replay(points).argmax(1).cpu().numpy()
    for row, point, answer in zip(new, points.cpu().numpy(), replayed, strict=True):
        index = block[row]
        state.witnesses[index] = point
        state.distances[index], state.answers[index] = float(attempt.distances[row]), int(answer)
        state.found_at[index] = epsilon


def _certify_block(state: Verification, network: Network, block: tuple[int, ...]) -> None:
    context, question = state.context, state.question
    x, labels, box = context.samples(block), context.labels(block), context.classifier.input_box
    gap, scale, rows = 0.0, 0.0, list(block)
    for place, epsilon in enumerate(question.epsilons):
        generator = context.torch_generator("verify", "trial", question.norm, repr(epsilon), block[0])
        trial = try_balls(network.graph, context.classifier, x, labels, epsilon, question.norm, generator)
        gap, scale = max(gap, trial.gap), max(scale, trial.scale)
        state.seen[place, rows] = ~trial.broken.cpu().numpy()
    tolerance = float(getattr(context.classifier, "agreement_tolerance", TOLERANCE))
    if not gap <= tolerance * max(scale, 1e-30):
        state.notes.append(
            f"samples {block[0]} to {block[-1]}: the operation graph and the deployed model differ by up to {gap:.2g}, "
            "so nothing is certified"
        )
    else:
        state.slacks[rows] = 2 * gap
        proved = certify(
            network,
            x,
            labels,
            list(question.epsilons),
            norm=question.norm,
            box=box,
            method=question.method,
            slack=2 * gap,
        )
        state.proved[:, rows] = proved.cpu().numpy()
    state.bounded[rows] = True


def _complete(state: Verification, network: Network, watch: Callable[[str, int, int], None]) -> None:
    """Branch and bound of what is unknown, sample by sample, from the smallest radius until one stays unknown."""
    waiting = [i for i in range(len(state.wrong)) if not state.wrong[i] and np.isfinite(state.slacks[i])]
    more = 0
    for done, index in enumerate(waiting, 1):
        for place, epsilon in enumerate(state.question.epsilons):
            if state.falsified[place, index]:
                break
            if state.proved[place, index]:
                continue
            found = _decided(state, network, index, epsilon)
            more += found.verdict is not Verdict.UNKNOWN
            if found.verdict is Verdict.VERIFIED:
                state.proved[: place + 1, index] = True
                continue
            if found.verdict is Verdict.FALSIFIED and found.witness is not None:
                state.falsified[place:, index] = True
                _witness(state, index, epsilon, found.witness)
            break
        watch("branch and bound", done, len(waiting))
    state.notes.append(
        f"branch and bound decided {more} balls that attack and bounds had left unknown. Its proofs speak of the "
        "network over the real numbers; of float32 rounding they allow for what is typical, not for the worst"
    )


def _decided(state: Verification, network: Network, index: int, epsilon: float) -> Decision:
    context, norm = state.context, state.question.norm
    region = ball_region(context.samples([index]), epsilon, norm, context.classifier.input_box)
    label, outputs = int(context.labels([index])[0]), network.graph.outputs
    rows = rival_matrices(torch.tensor([label]), outputs)[0].double()
    slack = torch.tensor([state.slacks[index]], dtype=torch.float64)
    unsafe = UnsafeSet(tuple(Halfspaces(row[None], slack) for row in rows))
    box = Box(region.lower[0], region.upper[0])
    ball = box if region.center is None else L2Ball(region.center[0], float(region.radius[0]), box)  # type: ignore[index]

    def replay(_: int, points: Tensor) -> Tensor | None:
        points = box.clamp(points.to(context.device)).float()
        inside = points[ball.contains(points)]
        inside = inside[_distances(inside, context.samples([index]), norm) <= epsilon]
        if not len(inside):
            return None
        broken = context.classifier.replay(inside).argmax(1) != label
        return inside[broken][0] if bool(broken.any()) else None

    stages = tuple((name, stage) for name, stage in STAGES if name.endswith("splitting"))
    return decide(
        network, [Property(ball, unsafe)], deadline=Deadline(state.question.complete), replay=replay, stages=stages
    )


def _distances(points: Tensor, sample: Tensor, norm: Norm) -> Tensor:
    move = (points.double() - sample.double()).flatten(1)
    return move.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(move, dim=1)


def _witness(state: Verification, index: int, epsilon: float, point: Tensor) -> None:
    sample = state.context.samples([index])
    state.witnesses[index] = point.cpu().numpy()
    state.distances[index] = float(_distances(point[None], sample, state.question.norm))
    state.answers[index] = int(state.context.classifier.replay(point[None]).argmax(1))
    state.found_at[index] = epsilon
