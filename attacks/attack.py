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

from attacks.balls import Norm, check_epsilon, distance, inside, project, uniform_in_ball
from robust.errors import DataRangeError, DataShapeError, LabelError, SubjectError
from robust.subjects.protocols import Classifier


class NoGradientError(SubjectError):
    """A gradient attack was asked of a subject that gives no gradients."""


@dataclass
class Tally:
    """Rows that went through the model, forward and backward, by an attack; filled while it works."""

    forward: int = 0
    backward: int = 0


@dataclass(frozen=True, eq=False)
class Attempt:
    """What an attack left behind, for ``n`` samples.

    Attributes:
        adversarials: float32 ``[n, *shape]``; the sample itself where there is no success.
        success: bool ``[n]``: the real model answers this input, which lies in ball and box, with another class
            than the label (or with NaN). Samples that were wrong from the start are successes at distance 0.
        distances: float64 ``[n]`` in input units, measured; infinite where there is no success.
        dead: bool ``[n]``: every gradient that the attack asked for was zero or not finite; False if it asked none.
        forward_passes: rows through the model, replays included.
        backward_passes: rows whose gradient was taken.
    """

    adversarials: Tensor
    success: Tensor
    distances: Tensor
    dead: Tensor
    forward_passes: int
    backward_passes: int


@dataclass(frozen=True, eq=False)
class Problem:
    """The samples that still stand, as one round of an attack sees them.

    Attributes:
        classifier: the subject.
        x: float32 ``[m, *shape]``.
        labels: int64 ``[m]``.
        epsilon: radius in input units, above 0.
        rows: place of each among the ``total`` samples of the call.
        total: number of samples of the call.
        generator: owns the randomness, on the CPU.
        tally: counts passes.
    """

    classifier: Classifier
    x: Tensor
    labels: Tensor
    epsilon: float
    rows: Tensor
    total: int
    generator: torch.Generator
    tally: Tally

    def draw(self, norm: Norm) -> Tensor:
        """A point of the ball of radius ``epsilon`` around each sample, uniformly; may leave the box.

        Numbers are drawn for all samples of the call and then picked, so that the draw of a sample does not depend
        on which others still stand.
        """
        unit = uniform_in_ball(self.total, tuple(self.x.shape[1:]), norm, self.generator)
        return self.x + self.epsilon * unit[self.rows.cpu()].to(self.x)


class Attack(ABC):
    """Base of all attacks inside a ball. Hyperparameters are keyword-only in the constructor, data in the call."""

    name: ClassVar[str]
    needs_gradients: ClassVar[bool] = True
    norm: Norm
    rounds: int = 1
    """How many independent tries (restarts, draws) each surviving sample gets."""

    @abstractmethod
    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One try: candidates ``[m, *shape]`` anywhere, and ``dead`` (see ``Attempt``) ``[m]`` or None."""

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Tensor,
        epsilon: float,
        generator: torch.Generator,
        known: Attempt | None = None,
    ) -> Attempt:
        """Try to change the answers within ``epsilon``.

        Samples that are wrong from the start, or broken in ``known``, are not attacked; after each round only the
        survivors go on. Every candidate is projected into ball and box in float64, checked there, and replayed.

        Args:
            classifier: the subject.
            x: samples float32 ``[n, *shape]`` inside its box.
            labels: true classes int64 ``[n]``.
            epsilon: radius in input units.
            generator: a CPU generator; the global ones are never touched.
            known: an attempt at the same samples with an epsilon no larger.

        Raises:
            NoGradientError: it needs gradients and the subject gives none.
            DataShapeError, DataRangeError, LabelError: samples or labels do not fit the subject.
            PropertyError: epsilon is not a radius.
        """
        x, labels = _checked(classifier, x, labels)
        epsilon = check_epsilon(epsilon)
        if self.needs_gradients and len(x) and not gives_gradients(classifier, x[:1]):
            raise NoGradientError(
                f"{self.name} is a gradient attack and {classifier.name} gives no gradients",
                wanted="a differentiable subject (a torch module, or an ONNX file whose operators are all known)",
                got="a black box",
                hint="give the model in a differentiable form, or ask for attacks that need no gradients",
            )
        state = _State.start(classifier, x, labels, known)
        for round_ in range(self.rounds if epsilon > 0 else 0):
            rows = torch.nonzero(~state.success)[:, 0]
            if not len(rows):
                break
            problem = Problem(classifier, x[rows], labels[rows], epsilon, rows, len(x), generator, state.tally)
            candidates, dead = self.propose(problem, round_)
            state.judge(problem, candidates, dead, self.norm, first=round_ == 0)
        return state.attempt()

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


class _State:
    """What is known of each sample while an attack works."""

    def __init__(self, x: Tensor, success: Tensor, adversarials: Tensor, distances: Tensor) -> None:
        self.x, self.success, self.adversarials, self.distances = x, success, adversarials, distances
        self.dead = torch.zeros_like(success)
        self.tally = Tally()

    @classmethod
    def start(cls, classifier: Classifier, x: Tensor, labels: Tensor, known: Attempt | None) -> _State:
        if known is not None:
            return cls(x, known.success.clone(), known.adversarials.clone(), known.distances.clone())
        wrong = is_wrong(classifier.replay(x), labels) if len(x) else labels.bool()
        distances = torch.where(wrong, 0.0, math.inf).double()
        state = cls(x, wrong, x.clone(), distances)
        state.tally.forward = len(x)
        return state

    def judge(self, problem: Problem, candidates: Tensor, dead: Tensor | None, norm: Norm, *, first: bool) -> None:
        rows, x, epsilon = problem.rows, problem.x, problem.epsilon
        box = problem.classifier.input_box
        points = project(x, candidates.detach().to(x), epsilon, norm, box)
        broken = is_wrong(problem.classifier.replay(points), problem.labels)
        self.tally.forward += len(rows)
        broken &= inside(x, points, epsilon, norm, box)
        hit = rows[broken]
        self.success[hit] = True
        self.adversarials[hit] = points[broken]
        self.distances[hit] = distance(x, points, norm)[broken]
        if dead is not None:
            self.dead[rows] = dead if first else self.dead[rows] & dead

    def attempt(self) -> Attempt:
        return Attempt(
            self.adversarials, self.success, self.distances, self.dead, self.tally.forward, self.tally.backward
        )


def is_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Bool ``[n]``: the answer is not the label, or there is no answer because a logit is NaN."""
    return (logits.argmax(1) != labels.to(logits.device)).to(labels.device) | logits.isnan().any(1).to(labels.device)


def gives_gradients(classifier: Classifier, x: Tensor) -> bool:
    """Whether gradients reach the input at ``x`` ``[n, *shape]``: what the subject says, and a try."""
    if not classifier.differentiable:
        return False
    with torch.enable_grad():
        return bool(classifier.logits(x.detach().clone().requires_grad_()).requires_grad)


def _checked(classifier: Classifier, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    wanted = tuple(classifier.input_shape)
    if tuple(x.shape[1:]) != wanted or labels.shape != x.shape[:1]:
        raise DataShapeError(
            "samples and labels do not fit the subject",
            wanted=f"samples [n, {', '.join(map(str, wanted))}] and labels [n]",
            got=f"samples {list(x.shape)} and labels {list(labels.shape)}",
        )
    x, labels = x.detach().to(classifier.device, torch.float32), labels.to(classifier.device)
    if not bool(classifier.input_box.contains(x).all()):
        raise DataRangeError(
            "a sample lies outside the declared input box",
            wanted="values inside the box",
            got="values outside it, or NaN",
            hint="declare the box that the data really has, or scale the data",
        )
    classes = len(classifier.class_names)
    if labels.dtype != torch.int64 or bool(((labels < 0) | (labels >= classes)).any()):
        raise LabelError("labels do not fit the classes", wanted=f"int64 in 0..{classes - 1}", got=labels.dtype)
    return x, labels
