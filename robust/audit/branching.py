"""Branch and bound of balls around samples: the one place where audits and ``robust verify --data`` ask for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.balls import Norm, distance, inside, project
from robust.audit.check import Context
from robust.properties import Box, Halfspaces, L2Ball, Property, UnsafeSet
from robust.record import Verdict
from verifiers import Deadline, Effort, Network, ball_region
from verifiers.branching.box_method import is_small
from verifiers.branching.outcome import Outcome
from verifiers.certify import rival_matrices
from verifiers.split_each import split_each


@dataclass(frozen=True)
class Ball:
    """One question: does every input of this ball keep the sample's label?

    Attributes:
        sample: place in ``context.data``.
        norm: of the ball.
        epsilon: its radius in input units; the ball is cut to the input box.
        slack: by how much margins of the graph must exceed zero, as the deployed model is only nearly the graph.
    """

    sample: int
    norm: Norm
    epsilon: float
    slack: float


@dataclass(frozen=True, eq=False)
class Settled:
    """The answer to one ball.

    Attributes:
        verdict: VERIFIED, FALSIFIED with a witness that the deployed model answers wrongly, or UNKNOWN.
        reason: a sentence.
        domains: parts that were bounded.
        seconds: how long it took.
        timed_out: seconds ran out on the way, so that another run may end otherwise.
        witness: float32 ``[*shape]``, for FALSIFIED.
        distance: of the witness from the sample.
        answer: of the deployed model to the witness.
        runs: VERIFIED holds in every float32 run as well, not only over the real numbers.
    """

    verdict: Verdict
    reason: str
    domains: int
    seconds: float
    timed_out: bool = False
    witness: NDArray[np.float32] | None = None
    distance: float = np.inf
    answer: int = -1
    runs: bool = False


def branch_and_bound(
    network: Network,
    context: Context,
    balls: Sequence[Ball],
    *,
    seconds: float,
    domains: int | None = None,
    effort: Effort | None = None,
    done: Callable[[int, Settled], None] = lambda place, settled: None,
) -> list[Settled]:
    """Decide balls, by splitting inputs where few of them vary and then by splitting neurons.

    Args:
        network: of the classifier of ``context``.
        context: subject and data.
        balls: around samples that the deployed model answers rightly.
        seconds: for each ball, at most, on average.
        domains: parts of each ball that either way of splitting may bound, at most. The same call gives the same
            answers then, unless seconds run out.
        effort: limits on memory.
        done: told each ball's place and answer as soon as there is one: what an interruption leaves.

    Returns:
        The answers in the order of the balls.
    """
    cases = [property_of(context, ball, network.graph.outputs) for ball in balls]
    deadline, clock = Deadline(seconds * len(balls)), _Clock(len(balls))
    found: dict[int, Settled] = {}

    def watch(place: int, outcome: Outcome) -> None:
        found[place] = _settled(context, balls[place], outcome, clock.end(place), deadline.expired)
        done(place, found[place])

    with _one_thread_if(is_small(network)):
        split_each(
            network,
            cases,
            deadline,
            effort=effort,
            domains=domains,
            replay=lambda place, points: _replay(context, balls[place], points),
            watch=watch,
        )
    return [found[place] for place in range(len(balls))]


class _Clock:
    """Time of balls that are worked on together: at any moment those that are open share it alike."""

    def __init__(self, count: int) -> None:
        self._last = time.perf_counter()
        self._spent = np.zeros(count)
        self._open = np.ones(count, dtype=bool)

    def end(self, place: int) -> float:
        """Seconds of a ball that is decided or given up now."""
        now = time.perf_counter()
        self._spent[self._open] += (now - self._last) / max(1, int(self._open.sum()))
        self._last, self._open[place] = now, False
        return float(self._spent[place])


@contextmanager
def _one_thread_if(small: bool) -> Iterator[None]:
    """Small tensors gain nothing from more, and lose a factor of ten where other processes work beside."""
    before = torch.get_num_threads()
    if small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def property_of(context: Context, ball: Ball, outputs: int) -> Property:
    """The question as a property: unsafe where some rival's logit comes within the slack of the label's.

    Args:
        context: subject and data.
        ball: around a sample.
        outputs: logits of the network.
    """
    region = ball_region(context.samples([ball.sample]), ball.epsilon, ball.norm, context.classifier.input_box)
    rows = rival_matrices(context.labels([ball.sample]).cpu(), outputs)[0].double()
    slack = torch.tensor([ball.slack], dtype=torch.float64)
    unsafe = UnsafeSet(tuple(Halfspaces(row[None], slack) for row in rows))
    box = Box(region.lower[0], region.upper[0])
    if region.center is None or region.radius is None:
        return Property(box, unsafe)
    return Property(L2Ball(region.center[0], float(region.radius[0]), box), unsafe)


def _replay(context: Context, ball: Ball, points: Tensor) -> Tensor | None:
    """The first point, put into the ball where rounding left it outside, that the deployed model answers wrongly."""
    sample, box = context.samples([ball.sample]), context.classifier.input_box
    points = points.to(context.device).float()
    centres = sample.expand(len(points), *sample.shape[1:])
    points = project(centres, points, ball.epsilon, ball.norm, box)
    points = points[inside(centres, points, ball.epsilon, ball.norm, box)]
    if not len(points):
        return None
    broken = context.classifier.replay(points).argmax(1).to(points.device) != context.labels([ball.sample])
    return points[broken][0] if bool(broken.any()) else None


def _settled(context: Context, ball: Ball, outcome: Outcome, seconds: float, timed_out: bool) -> Settled:
    if outcome.witness is None or outcome.verdict is not Verdict.FALSIFIED:
        return Settled(outcome.verdict, outcome.reason, outcome.domains, seconds, timed_out, runs=outcome.runs)
    point = outcome.witness[None]
    return Settled(
        outcome.verdict,
        outcome.reason,
        outcome.domains,
        seconds,
        witness=outcome.witness.cpu().numpy().astype(np.float32),
        distance=float(distance(context.samples([ball.sample]), point, ball.norm)),
        answer=int(context.classifier.replay(point).argmax(1)),
    )
