"""What an attack is: it proposes inputs near samples; what counts is replayed on the real model.

An attack never proves anything. A sample that it does not break is *not broken by this attack*.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.attempt import Attempt, Tally
from attacks.balls import AnyNorm, check_epsilon, distance, inside, project, uniform_in_ball
from attacks.goals import Goal, as_goal
from robust.errors import DataRangeError, DataShapeError, DataTypeError, SubjectError
from robust.subjects.protocols import Classifier


class NoGradientError(SubjectError):
    """A gradient attack was asked of a subject that gives no gradients."""


@dataclass(frozen=True, eq=False)
class Problem:
    """The samples that still stand, as one round of an attack sees them.

    Attributes:
        classifier: the subject.
        x: float32 ``[m, *shape]``.
        goal: what is wanted of each.
        epsilon: radius in input units, above 0.
        rows: place of each among the ``total`` samples of the call.
        total: number of samples of the call.
        generator: owns the randomness, on the CPU.
        tally: counts passes, by place among the ``total``.
        best: best effort so far ``[m, *shape]``.
        margins: its distance from the goal ``[m]``; infinite where there was no effort yet.
    """

    classifier: Classifier
    x: Tensor
    goal: Goal
    epsilon: float
    rows: Tensor
    total: int
    generator: torch.Generator
    tally: Tally
    best: Tensor
    margins: Tensor

    def draw(self, norm: AnyNorm) -> Tensor:
        """A point of the ball of radius ``epsilon`` around each sample, uniformly; may leave the box.

        Numbers are drawn for all samples of the call and then picked, so that the draw of a sample does not depend
        on which others still stand.
        """
        unit = uniform_in_ball(self.total, tuple(self.x.shape[1:]), norm, self.generator)
        return self.x + self.epsilon * unit[self.rows.cpu()].to(self.x)

    def scatter(self, norm: AnyNorm, seed: int | None = None) -> Tensor:
        """Where a climb may begin: as ``draw``, but for L1, where uniform points are dense and flat, normal noise as
        wide as the box, which the projection makes sparse (Croce and Hein 2021, appendix).

        Args:
            norm: of the ball.
            seed: draws by a generator of its own, the same whatever was drawn before.
        """
        own = self.generator if seed is None else torch.Generator().manual_seed(seed)
        shape = tuple(self.x.shape[1:])
        if norm != "l1":
            return self.x + self.epsilon * uniform_in_ball(self.total, shape, norm, own)[self.rows.cpu()].to(self.x)
        box = self.classifier.input_box
        noise = torch.randn(self.total, *shape, generator=own)[self.rows.cpu()].to(self.x)
        return self.x + noise * (box.upper - box.lower).to(self.x)


class Attack(ABC):
    """Base of all attacks inside a ball. Hyperparameters are keyword-only in the constructor, data in the call."""

    name: ClassVar[str]
    needs_gradients: ClassVar[bool] = True
    norm: AnyNorm
    rounds: int = 1
    """How many independent tries (restarts, draws) each surviving sample gets."""

    @abstractmethod
    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One try: candidates ``[m, *shape]`` anywhere, and ``dead`` (see ``Attempt``) ``[m]`` or None."""

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        wanted: Tensor | Goal,
        epsilon: float,
        generator: torch.Generator,
        known: Attempt | None = None,
    ) -> Attempt:
        """Try to reach the goal within ``epsilon``.

        Samples that reach it from the start, or did in ``known``, are not attacked; after each round only the
        survivors go on. Every candidate is projected into ball and box in float64, checked there, and replayed.

        Args:
            classifier: the subject.
            x: samples float32 ``[n, *shape]`` inside its box.
            wanted: true classes int64 ``[n]`` (any other answer is a success), or a goal.
            epsilon: radius in input units; larger than the box is as good as the box.
            generator: a CPU generator; the global ones are never touched.
            known: an attempt at the same samples and goal with an epsilon no larger, whose passes are not counted.

        Raises:
            NoGradientError: it needs gradients and the subject gives none.
            DataTypeError, DataShapeError, DataRangeError, LabelError: samples or labels do not fit the subject.
            PropertyError: epsilon is not a radius, or the goal speaks of other outputs.
        """
        x = checked_samples(classifier, x)
        goal = as_goal(wanted, len(classifier.class_names), len(x), classifier.device)
        epsilon = check_epsilon(epsilon)
        if self.needs_gradients and len(x):
            require_gradients(self.name, classifier, x[:1])
        state = State.start(classifier, x, goal, known, self.norm)
        rounds = self.useful_rounds(classifier, x) if epsilon > 0 and len(x) else []
        seeds = torch.randint(2**62, (self.rounds,), generator=generator).tolist()
        for round_ in rounds:
            rows = torch.nonzero(~state.success)[:, 0]
            if not len(rows):
                break
            own = torch.Generator().manual_seed(seeds[round_])
            problem = state.problem(classifier, goal, epsilon, rows, own)
            candidates, dead = self.propose(problem, round_)
            state.judge(problem, candidates, dead, self.norm, round_)
        return state.attempt(self.norm)

    def useful_rounds(self, classifier: Classifier, x: Tensor) -> list[int]:
        """Which rounds this subject allows; all, unless an attack says otherwise."""
        return list(range(self.rounds))

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


class State:
    """What is known of each sample while an attack works."""

    def __init__(self, x: Tensor, success: Tensor, distances: Tensor, best: Tensor, margins: Tensor) -> None:
        self.x, self.success, self.distances, self.best, self.margins = x, success, distances, best, margins
        self.adversarials, self.dead = x.clone(), torch.zeros_like(success)
        self.asked = torch.zeros_like(success)
        self.broken_in = torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
        self.tally = Tally.zeros(len(x), x.device)

    @classmethod
    def start(cls, classifier: Classifier, x: Tensor, goal: Goal, known: Attempt | None, norm: AnyNorm) -> State:
        """From an earlier attempt, or by asking the model about the samples themselves."""
        if known is not None:
            if len(known) != len(x):
                raise DataShapeError("the known attempt is of other samples", wanted=len(x), got=len(known))
            distances = known.distances if known.norm == norm else distance(x, known.adversarials, norm)
            distances = torch.where(known.success, distances, math.inf)
            state = cls(x, known.success.clone(), distances, known.best.clone(), known.margins.clone())
            state.adversarials = known.adversarials.clone()
            return state
        logits = replayed(classifier, x) if len(x) else torch.zeros(0, len(classifier.class_names), device=x.device)
        reached = goal.reached(logits)
        state = cls(x, reached, torch.where(reached, 0.0, math.inf).double(), x.clone(), goal.margin(logits))
        state.tally.forward.fill_(1)
        return state

    def problem(
        self, classifier: Classifier, goal: Goal, epsilon: float, rows: Tensor, generator: torch.Generator
    ) -> Problem:
        """The samples at ``rows``, to work on."""
        return Problem(
            classifier,
            self.x[rows],
            goal.take(rows),
            epsilon,
            rows,
            len(self.x),
            generator,
            self.tally,
            self.best[rows],
            self.margins[rows],
        )

    def judge(self, problem: Problem, candidates: Tensor, dead: Tensor | None, norm: AnyNorm, round_: int) -> None:
        """Project, replay, and keep what the real model says."""
        rows, x, epsilon = problem.rows, problem.x, problem.epsilon
        box = problem.classifier.input_box
        points = project(x, candidates.detach().to(x), epsilon, norm, box)
        logits = replayed(problem.classifier, points)
        self.tally.add(rows, forward=1)
        lies = inside(x, points, epsilon, norm, box)
        broken, margins = problem.goal.reached(logits) & lies, problem.goal.margin(logits)
        better = lies & (broken | (margins < problem.margins))
        self.best[rows[better]], self.margins[rows[better]] = points[better], margins[better]
        hit = rows[broken]
        self.success[hit] = True
        self.adversarials[hit] = points[broken]
        self.distances[hit], self.broken_in[hit] = distance(x, points, norm)[broken], round_
        if dead is not None:
            self.dead[rows] = dead & (self.dead[rows] | ~self.asked[rows])
            self.asked[rows] = True

    def attempt(self, norm: AnyNorm) -> Attempt:
        """All of it."""
        return Attempt(
            norm,
            self.adversarials,
            self.success,
            self.distances,
            self.dead,
            self.best,
            self.margins,
            self.tally.forward,
            self.tally.backward,
            self.broken_in,
            self.tally.unstarted & ~self.success,
        )


def replayed(classifier: Classifier, x: Tensor) -> Tensor:
    """The real model's logits, float32 ``[n, classes]`` on the subject's device, in whatever precision it answers."""
    return classifier.replay(x).to(classifier.device, torch.float32)


def gives_gradients(classifier: Classifier, x: Tensor) -> bool:
    """Whether gradients reach the input at ``x`` ``[n, *shape]``: what the subject says, and a try."""
    if not classifier.differentiable:
        return False
    with torch.enable_grad():
        return bool(classifier.logits(x.detach().clone().requires_grad_()).requires_grad)


def require_gradients(name: str, classifier: Classifier, x: Tensor) -> None:
    """Raise NoGradientError where ``gives_gradients`` says no."""
    if not gives_gradients(classifier, x):
        raise NoGradientError(
            f"{name} is a gradient attack and {classifier.name} gives no gradients",
            wanted="a differentiable subject (a torch module, or an ONNX file whose operators are all known)",
            got="a black box",
            hint="give the model in a differentiable form, or ask for attacks that need no gradients",
        )


def checked_samples(classifier: Classifier, x: Tensor) -> Tensor:
    """The samples as float32 on the subject's device.

    Raises:
        DataTypeError: whole numbers, which no ball is about.
        DataShapeError: not of the subject's shape.
        DataRangeError: outside of its box, or NaN.
    """
    wanted = tuple(classifier.input_shape)
    if tuple(x.shape[1:]) != wanted or x.ndim == 0:
        raise DataShapeError(
            "samples do not fit the subject",
            wanted=f"samples [n, {', '.join(map(str, wanted))}]",
            got=f"samples {list(x.shape)}",
        )
    if not x.is_floating_point():
        raise DataTypeError(
            "an attack moves samples by fractions", wanted="floats", got=x.dtype, hint="convert and scale the samples"
        )
    x = x.detach().to(classifier.device, torch.float32)
    if not bool(classifier.input_box.contains(x).all()):
        raise DataRangeError(
            "a sample lies outside the declared input box",
            wanted="values inside the box",
            got="values outside it, or NaN",
            hint="declare the box that the data really has, or scale the data",
        )
    return x
